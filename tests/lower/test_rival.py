"""Which of the forms that can compute a reduction is taken."""

from __future__ import annotations

import pytest

import tilec
from tilec import Options
from tilec.schedule.values import Tiled
from tilec.target.core import Core

FORWARD = tilec.function(
    "function (X[N, P, Q, C], K[I, J, C, F]) -> (S) "
    "{ S[n, y, x, f : N, P / 2, Q / 2, F] = +(X[n, 2*y + i - 3, 2*x + j - 3, c] * K[i, j, c, f]); }"
)
SPECS = [tilec.Spec((8, 224, 224, 3)), tilec.Spec((7, 7, 3, 64)), tilec.Spec((8, 112, 112, 64))]
OPTIONS = Options(cpu="skylake-avx512", tuned=False)


def test_lanes_along_a_reduction_beat_a_tile_whose_lanes_lie_far_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its data: 3 channels side by side, and 64 that are summed."""
    server = Core(l3_bytes=64 << 20)
    monkeypatch.setattr("tilec.target.core.host_core", lambda: server)
    schedule = tilec.grad(FORWARD, ("X",)).compile(*SPECS, options=Options(tuned=False)).schedule
    assert "vector f=16 reduction" in str(schedule)


def test_operands_that_no_cache_keeps_go_by_in_passes() -> None:
    """By its weights, it would read 26 MB for each of 49 taps."""
    schedule = tilec.grad(FORWARD, ("K",)).compile(*SPECS, options=OPTIONS).schedule
    (plan,) = schedule.values()
    assert isinstance(plan, Tiled)
    assert plan.reduce_block
    assert plan.pack_vector


@pytest.mark.parametrize("rows", [512, 4096])
def test_a_narrow_operand_that_lies_in_order_stays_where_it_is(rows: int) -> None:
    product = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    specs = tilec.Spec((rows, 4096)), tilec.Spec((4096, 64))
    (plan,) = product.compile(*specs, options=OPTIONS).schedule.values()
    assert isinstance(plan, Tiled)
    assert not plan.pack_row


def test_results_that_are_most_of_the_memory_are_written_row_by_row() -> None:
    product = tilec.function("C[i, j : M, N] = +(A[i, k] * B[j, k])")
    specs = tilec.Spec((4608, 16)), tilec.Spec((1536, 16))
    (plan,) = product.compile(*specs, options=OPTIONS).schedule.values()
    assert isinstance(plan, Tiled)
    assert plan.pack_vector
    assert plan.pack_row
    assert plan.row_block == plan.rows
