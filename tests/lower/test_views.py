"""Parts of values that are read in place: the same results, fewer kernels and copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.lower.modules import lowered
from tilec import ops
from tilec.program.compile import built

RNG = np.random.default_rng(5)

SLICED = "function f(X[T, N]) -> (Z) { A[i : N] = =(X[AT]); Z[] = +(A[i] * A[i]); }"


@pytest.mark.parametrize(
    ("at", "offset"),
    [
        ("1, i", 64),
        ("0, i", 0),
        ("i + 0, 3", None),  # a column
    ],
)
def test_rows_are_views(at: str, offset: int | None) -> None:
    text = SLICED.replace("AT", at).replace("A[i : N]", "A[i : T]" if "+" in at else "A[i : N]")
    found = lowered(text, (4, 64)).views
    assert [view.offset for view in found] == ([] if offset is None else [offset])


def test_what_begins_within_a_line_is_copied() -> None:
    assert not lowered(SLICED.replace("AT", "1, i"), (4, 60)).views


def test_results_are_copied() -> None:
    assert not lowered("function f(X[T, N]) -> (A) { A[i : N] = =(X[1, i]); }", (4, 64)).views


def test_parts_of_parts_and_of_what_was_computed() -> None:
    text = """function f(X[T, M, N]) -> (Z) {
      E = exp(X);
      A[i, j : M, N] = =(E[1, i, j]);
      B[i, j : 2, N] = =(A[i + 1, j]);
      S[] = +(E[t, i, j]);
      Z[i : 2] = +(B[i, j] * A[i, j] * S[]);
    }"""
    module = lowered(text, (2, 4, 16))
    assert [(v.buffer.name, v.whole, v.offset) for v in module.views] == [
        ("A", "E", 64),
        ("B", "E", 80),
    ]
    assert not lowered(text, (2, 4, 16), off=("views",)).views


def recurrent(kind: str, reverse: bool) -> tuple[Any, tilec.Spec]:
    parts, batch, units, steps = {"lstm": 4, "gru": 3, "simple_rnn": 1}[kind], 16, 32, 6
    w, r = (RNG.standard_normal((parts * units, units)).astype(np.float32) / 6 for _ in range(2))
    b = RNG.standard_normal(parts * units).astype(np.float32)

    def run(x: tilec.Tensor) -> tuple[tilec.Tensor, ...]:
        return getattr(ops, kind)(x, w, r, b, reverse=reverse)

    return run, tilec.Spec((steps, batch, units))


@pytest.mark.parametrize(
    ("kind", "reverse", "most"), [("lstm", False, 2), ("gru", True, 3), ("simple_rnn", False, 1)]
)
def test_steps_of_recurrent_layers_share_their_kernels(kind: str, reverse: bool, most: int) -> None:
    run, spec = recurrent(kind, reverse)
    linked = tilec.trace(run, spec)
    x = RNG.standard_normal(spec.shape).astype(np.float32)
    compiled, function = linked.bound().compile(x), linked.bound()
    for found, wanted in zip(compiled(x), function(x, target="reference"), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    recipe = function.recipe(x, options=tilec.Options())
    main = built(function.parts.text, recipe).main.module
    # Of the inputs' products, of the first step, of the others, and of what is put together.
    steps = {call.kernel for call in main.calls if ".task" not in call.kernel}
    again = [name for name in steps if sum(call.kernel == name for call in main.calls) > 2]
    assert 0 < len([name for name in again if "joined" not in name]) <= most + 1
    panels = [buffer.name for buffer in main.inputs if buffer.name.endswith(".panels")]
    assert len(panels) <= 2  # of the inputs' weights and of the state's, each once
