"""Rows that are divided by a number are multiplied by its inverse."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tests.lower.texts import program
from tilec.kernel.ir import Apply, For
from tilec.kernel.printer import print_kernel
from tilec.kernel.walk import expressions, statements
from tilec.lower.pipeline import lower_program

TEXT = """function (X[M, N]) -> (Y) { R[i, 0 : M, 1] = >(X[i, j]);
  Q[i, 0 : M, 1] = +(X[i, j] * 0); Y = X / (R + Q); }"""


def divisions(text: str) -> list[bool]:
    """Whether each division of the only kernel is one of vectors."""
    (kernel,) = lower_program(program(text, X=(64, 96))).kernels
    assert any(isinstance(each, For) for each in statements(kernel.body)), print_kernel(kernel)
    found = [e for e in expressions(kernel.body) if isinstance(e, Apply) and e.op == "div"]
    return [each.type.lanes > 1 for each in found]


def test_elements_are_multiplied() -> None:
    assert not any(divisions(TEXT))
    twice = divisions(TEXT.replace("X / (R + Q)", "X / (R + Q) + X / R"))
    assert len(twice) == 2
    assert not any(twice)


def test_what_differs_between_elements_is_divided_by() -> None:
    assert all(divisions(TEXT.replace("X / (R + Q)", "(R + Q) / X")))
    assert all(divisions(TEXT.replace("X / (R + Q)", "X / 3 + R * Q")))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_quotients_of_all_magnitudes(kind: type[np.floating]) -> None:
    facts = np.finfo(kind)
    random = np.random.default_rng(3)
    tiny, huge = float(facts.smallest_subnormal), float(facts.max)
    # The largest element of a row is its divisor; 0 times an infinite one is NaN.
    tops = [tiny, 3 * tiny, float(facts.tiny), 1.0, 3.0, huge / 3, huge, 0.0, np.inf, np.nan]
    tops += list(np.exp2(random.uniform(facts.minexp - facts.nmant, facts.maxexp, 40)))
    scales = np.exp2(random.uniform(facts.minexp, 0, (len(tops), 96)))
    tops = np.array(tops, kind)[:, None]
    x = np.where(np.isfinite(tops), -scales.astype(kind), tops)
    x[:, :3] = np.concatenate([tops, np.full_like(tops, -0.0), -abs(tops)], 1)
    text = "f64" if kind is np.float64 else "f32"
    function = tilec.function(TEXT.replace("X[M, N]", f"X[M, N]: {text}"))
    found = np.asarray(function(x))
    with np.errstate(all="ignore"):
        wanted = x / (x.max(1, keepdims=True) + (x * 0).sum(1, keepdims=True))
        close = abs(found - wanted) <= 1.5 * np.spacing(abs(wanted))
    same = (found == wanted) & (np.signbit(found) == np.signbit(wanted))
    assert (close | same | (np.isnan(found) & np.isnan(wanted))).all()
