"""Scattering against NumPy, positions that occur twice included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ops.agreement import Case, agree, np
from tilec import ops
from tilec.errors import ShapeError

RNG = np.random.default_rng(13)
A: Any = RNG.standard_normal((4, 3)).astype(np.float32)
UPDATES: Any = RNG.standard_normal((3, 3)).astype(np.float32)
ROWS: Any = np.array([[0, 2, -1], [0, -4, 1], [3, 2, 1]])


def _replaced(_: Any, new: Any) -> Any:
    return new


COMBINE: dict[ops.Combine, Any] = {
    "replace": _replaced,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_combinations(dtype: str) -> None:
    x, updates = (4 * A).astype(dtype), (4 * UPDATES).astype(dtype)
    points: Any = np.array([[[0], [2]], [[-1], [0]]])
    slices: Any = np.stack([updates[:2], updates[1:]])
    cases: dict[str, Case] = {}
    for name, combine in COMBINE.items():
        rows, columns, whole = x.copy(), x.T.copy(), x.copy()
        for place in np.ndindex(ROWS.shape):
            at = ROWS[place], place[1]
            rows[at] = combine(rows[at], updates[place])
            columns[at[::-1]] = combine(columns[at[::-1]], updates[place])
        for place in np.ndindex(2, 2):
            at = points[place][0]
            whole[at] = combine(whole[at], slices[place])
        cases[f"{name} rows"] = ops.scatter_elements(x, ROWS, updates, 0, name), rows
        found = ops.scatter_elements(x.T.copy(), ROWS.T.copy(), updates.T.copy(), 1, name)
        cases[f"{name} columns"] = found, columns
        cases[f"{name} slices"] = ops.scatter_nd(x, points, slices, name), whole
    agree(cases)


def test_points_and_nothing() -> None:
    points = np.array([[1, 2], [0, -3]])
    wanted = A.copy()
    wanted[[1, 0], [2, 0]] = [7, 8]
    agree(
        {
            "points": (ops.scatter_nd(A, points, np.array([7, 8], np.float32)), wanted),
            "nothing": (ops.scatter_elements(A, ROWS[:0], UPDATES[:0]), A),
        }
    )


def test_faults_are_told() -> None:
    with pytest.raises(ShapeError, match="scatter_elements: positions of shape"):
        ops.scatter_elements(A, ROWS, UPDATES[:2])
    with pytest.raises(ShapeError, match="scatter_nd: positions of shape"):
        ops.scatter_nd(A, ROWS, UPDATES)
