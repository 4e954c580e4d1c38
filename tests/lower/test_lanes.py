"""What neighbouring items ask of memory at once, in the schedules that are chosen for NVIDIA."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lower.grouped import NVIDIA
from tests.lower.lanes import Access, accesses
from tests.lower.texts import program
from tilec.dtypes import F32
from tilec.kernel.ir import Buffer, Scope, VType
from tilec.lower.pipeline import lower_program
from tilec.schedule.values import Schedule

SQUARE = (1024, 1024)
PRODUCT = "function (A[L, M], B[N, O]) -> (C) {{ C[i, j : {0}] = +(A[{1}] * B[{2}]); }}"
CONV = (
    "function (X[N, H, W, C], K[3, 3, C, D]) -> (R) "
    "{ R[n, y, x, d : N, H, W, D] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c, d]); }"
)
PROGRAMS: dict[str, tuple[str, dict[str, tuple[int, ...]], str]] = {
    "product": (PRODUCT.format("L, O", "i, k", "k, j"), {"A": SQUARE, "B": SQUARE}, ""),
    "left turned": (PRODUCT.format("M, O", "k, i", "k, j"), {"A": SQUARE, "B": SQUARE}, ""),
    "right turned": (PRODUCT.format("L, N", "i, k", "j, k"), {"A": SQUARE, "B": SQUARE}, ""),
    "128 x 64": (
        PRODUCT.format("L, O", "i, k", "k, j"), {"A": SQUARE, "B": SQUARE},
        "groups 128x64x16, items 8x8",
    ),
    "convolution": (CONV, {"X": (8, 28, 28, 128), "K": (3, 3, 128, 128)}, ""),
    "transpose": ("function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }", {"A": SQUARE}, ""),
    "rows": ("function (A[M, N]) -> (S) { S[i : M] = +(A[i, j]); }", {"A": SQUARE}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_items_that_are_neighbours_share_turns_and_sectors(name: str) -> None:
    text, shapes, schedule = PROGRAMS[name]
    chosen = Schedule.parse(schedule) if schedule else None
    module = lower_program(program(text, **shapes), core=NVIDIA, schedule=chosen)
    found = [each for kernel in module.kernels for each in accesses(kernel)]
    assert {each.buffer.scope for each in found} == {Scope.LOCAL, Scope.GLOBAL}
    for each in found:
        if each.buffer.scope is Scope.LOCAL:
            assert each.turns == each.fewest_turns, each.text
        else:
            assert each.sectors == each.fewest_sectors, each.text


@pytest.mark.parametrize(
    ("offsets", "size", "turns"),
    [
        (np.arange(32) * 4, 4, 1),
        (np.arange(32) * 8, 4, 2),
        (np.arange(32) * 128, 4, 32),
        (np.zeros(32), 4, 1),
        (np.arange(32) * 16, 16, 4),
        (np.arange(32) // 2 * 16, 16, 2),  # neighbours share
        (np.arange(32) % 8 * 16, 16, 4),  # quarters ask for the same, but not neighbours
        (np.arange(32) * 8, 8, 2),
    ],
)
def test_turns(offsets: np.ndarray, size: int, turns: int) -> None:
    held = Buffer("a", VType(F32), 4096, scope=Scope.LOCAL)
    assert Access("", held, offsets.astype(int), size).turns == turns
