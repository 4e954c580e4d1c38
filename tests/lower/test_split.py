"""Long reductions in two steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lower.interpret import run_module
from tests.lower.texts import flat_piece, program
from tilec.dtypes import F32, F64
from tilec.kernel.ir import For, LoopKind
from tilec.kernel.verify import verify
from tilec.kernel.walk import statements
from tilec.lower import split as splitting
from tilec.lower.flatten import offsets
from tilec.lower.pipeline import lower_program
from tilec.lower.split import FEW_OUTPUTS, MANY_POINTS, TASK, TASKS, split
from tilec.tensor.ir import TensorType


def test_a_long_sum_becomes_two() -> None:
    halves = split(flat_piece("S[] = +(A[i])", A=(1 << 20,)), F32)
    assert halves is not None
    (task,) = halves.partial.piece.axes
    assert (task.name, task.extent) == (TASK, TASKS)
    (part,) = halves.partial.piece.parts
    assert [axis.extent for axis in part.axes] == [(1 << 20) // TASKS]
    assert part.constraints == ()
    assert halves.buffer.high == TASKS
    (final,) = halves.final.piece.parts
    assert [(axis.name, axis.extent) for axis in final.axes] == [(TASK, TASKS)]


def test_a_rest_is_a_constraint() -> None:
    halves = split(flat_piece("S[] = +(A[i])", A=((1 << 20) + 1,)), F32)
    assert halves is not None
    (part,) = halves.partial.piece.parts
    assert len(part.constraints) == 1
    assert part.axes[0].extent * TASKS >= (1 << 20) + 1


def test_each_output_has_its_own_partial_results() -> None:
    halves = split(flat_piece("S[j : M] = +(A[i, j])", A=(1 << 18, 3)), F64)
    assert halves is not None
    assert halves.buffer.high == 3 * TASKS
    assert [axis.name for axis in halves.partial.piece.axes] == [TASK, "j"]
    assert halves.partial.stores == offsets(halves.final.piece.parts[0].body)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("S[] = +(A[i])", (MANY_POINTS - 1,)),
        ("S[j : M] = +(A[i, j])", (1 << 20, FEW_OUTPUTS)),
        ("S[] = +(A[i, j, k]), i + j < 100, j + k < 99", (TASKS - 1,) * 3),
        ("S[i : 3] = >(A[j]), i < 2", (1 << 20,)),  # nothing reaches S[2]
    ],
)
def test_what_is_not_split(text: str, shape: tuple[int, ...]) -> None:
    assert split(flat_piece(text, A=shape), F32) is None


@settings(max_examples=12, deadline=None)
@given(
    agg=st.sampled_from("+*<>"),
    rows=st.integers(64, 200),
    columns=st.integers(1, 3),
    reach=st.one_of(st.none(), st.integers(1, 300)),
)
def test_split_reductions_equal_plain_ones(
    agg: str, rows: int, columns: int, reach: int | None
) -> None:
    """With a threshold that small arrays reach."""
    patch = pytest.MonkeyPatch()
    patch.setattr(splitting, "MANY_POINTS", 64)
    constraint = "" if reach is None else f", i + j < {reach}"
    made = program(
        f"function (A[N, M]) -> (S) {{ S[j : M] = {agg}(A[i, j]){constraint}; }}",
        A=TensorType(F64, (rows, columns)),
    )
    random = np.random.default_rng(rows)
    array = (
        random.choice([-1.0, 1.0], rows * columns)
        if agg == "*"
        else random.integers(-9, 9, rows * columns).astype(float)
    )
    try:
        module = lower_program(made)
    finally:
        patch.undo()
    verify(module)
    (result,) = run_module(module, {"A": array})
    (plain,) = run_module(lower_program(made, disable=("thread",)), {"A": array})
    np.testing.assert_array_equal(result, plain)
    if reach is None:
        loops = [s for k in module.kernels for s in statements(k.body) if isinstance(s, For)]
        assert any(loop.kind is LoopKind.PARALLEL for loop in loops)
