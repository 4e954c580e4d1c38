"""Random differentiable programs: their gradients against those of PyTorch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tilec

SIZE = 4

Rule = Callable[[Any, Any, Any], Any]
"""What a statement computes of two matrices, given PyTorch."""


def _window(torch: Any, a: Any, b: Any) -> Any:
    wide = torch.nn.functional.pad(a, (1, 1))
    return sum(wide[:, k : k + SIZE] * b[:, k : k + 1] for k in range(3))


STATEMENTS: dict[str, Rule] = {
    "{v} = tanh({a}) * {b};": lambda torch, a, b: torch.tanh(a) * b,
    "{v} = relu({a}) - {b};": lambda torch, a, b: torch.relu(a) - b,
    "{v} = relu({a} * {b});": lambda torch, a, b: torch.relu(a * b),
    "{v} = {a} / (1 + {b} * {b});": lambda torch, a, b: a / (1 + b * b),
    "{v} = sigmoid({a}) + sin({b});": lambda torch, a, b: torch.sigmoid(a) + torch.sin(b),
    "{v} = exp(-({a} * {a})) * {b};": lambda torch, a, b: torch.exp(-(a * a)) * b,
    "{v} = {a} < {b} ? {a} * {a} : {b};": lambda torch, a, b: torch.where(a < b, a * a, b),
    "{v}[i, j : N, N] = +({a}[i, k] * {b}[k, j]);": lambda torch, a, b: a @ b,
    "{v}[i, j : N, N] = +({a}[k, i] * {b}[j, k]);": lambda torch, a, b: a.T @ b.T,
    "{v}[i, j : N, N] = +({a}[i, j + k - 1] * {b}[i, k]), k < 3;": _window,
    "{v}S[i, 0 : N, 1] = +({a}[i, j]); {v} = {b} * {v}S;": (
        lambda torch, a, b: b * a.sum(1, keepdim=True)
    ),
    "{v}M[i, 0 : N, 1] = >({a}[i, j]); {v} = {a} - {v}M + {b};": (
        lambda torch, a, b: a - a.max(1, keepdim=True).values + b
    ),
}


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Statements, each with the numbers of the two earlier values that it reads."""
    count = draw(st.integers(1, 5))
    texts = st.sampled_from(sorted(STATEMENTS))
    # One operand is new, so that little is computed for nothing.
    return [(draw(texts), at + 1, draw(st.integers(0, at + 1))) for at in range(count)]


@settings(max_examples=25, deadline=None)
@given(programs(), st.integers(0, 99))
def test_gradients_are_those_of_autograd(made: list[tuple[str, int, int]], seed: int) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    random = np.random.default_rng(seed)
    x, y, d = (random.standard_normal((SIZE, SIZE)) for _ in range(3))
    theirs = [torch.tensor(each, requires_grad=True) for each in (x, y)]
    names, values = ["X", "Y"], list(theirs)
    lines: list[str] = []
    for at, (text, one, other) in enumerate(made):
        names.append(f"V{at}")
        lines.append(text.format(v=names[-1], a=names[one], b=names[other]))
        values.append(STATEMENTS[text](torch, values[one], values[other]))
    program = f"function (X[N, N], Y[N, N]) -> ({names[-1]}) {{\n  " + "\n  ".join(lines) + "\n}"
    found = tilec.grad(tilec.function(program))(x, y, d, target="reference")
    slopes = torch.autograd.grad(values[-1], theirs, torch.tensor(d), allow_unused=True)
    for own, slope in zip(found, slopes, strict=True):
        expected = np.zeros((SIZE, SIZE)) if slope is None else slope.numpy()
        np.testing.assert_allclose(own, expected, rtol=1e-9, atol=1e-9)
