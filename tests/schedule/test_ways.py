"""Spaces of several ways, without a compiler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tilec.schedule.fourier import FourierPlan
from tilec.schedule.values import Blocked, KernelSchedule, Rewritten, Tiled
from tilec.schedule.ways import Blocks, Transforms, Under, Ways
from tilec.schedule.winograd import WinogradPlan
from tilec.target.core import Core

TILE = Tiled("j", "i", 4, 16, 2)
WIDE = Tiled("j", "i", 2, 16, 4)


@dataclass(frozen=True, slots=True)
class Two:
    """A space of two tiles."""

    def ranked(self) -> Sequence[KernelSchedule]:
        return (TILE, WIDE)

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        return (WIDE,) if plan == TILE else ()


def test_ways_take_turns_after_their_heads() -> None:
    blocks = Blocks(Blocked(0, 64))
    space = Ways((TILE, Rewritten("strassen")), (Two(), Under("strassen", None), blocks))
    assert space.ranked() == [TILE, Rewritten("strassen"), Blocked(0, 64), WIDE]
    assert space.near(TILE) == [WIDE]
    assert {each.size for each in space.near(Blocked(0, 64)) if isinstance(each, Blocked)} == {
        32, 45, 54, 77, 96, 128,
    }  # fmt: skip


def test_schedules_under_a_method() -> None:
    space = Under("lowering-1", Two())
    assert space.ranked() == [Rewritten("lowering-1", TILE), Rewritten("lowering-1", WIDE)]
    assert space.near(Rewritten("lowering-1", TILE)) == [Rewritten("lowering-1", WIDE)]
    assert space.near(Rewritten("lowering-2", TILE)) == ()
    assert space.near(TILE) == ()
    assert Under("strassen", None).near(Rewritten("strassen")) == ()


@pytest.mark.parametrize(
    ("plan", "texts"),
    [
        (
            WinogradPlan("F(4x4,3x3)", 20, 6, 16, 4, "tiles"),
            ("block 10,", " 5x4x16", " 6x2x16", ", group 4,", " 4x1x16, block 20, late 16,"),
        ),
        (
            WinogradPlan("F(4x4,3x3)", 4, 4, 16, 1, "filters", late=16),
            ("late 32,", " 4x1x16, block 4, parallel filters"),
        ),
        (
            FourierPlan("FFT(22x22,11x11)", 9, 6, 16, 4),
            ("FFT(14x22,", "FFT(30x30", "parallel"),
        ),
    ],
)
def test_beside_a_transform(plan: WinogradPlan | FourierPlan, texts: tuple[str, ...]) -> None:
    near = Transforms((), Core(), 4, 1 << 25).near(plan)
    assert plan not in near
    assert len(set(near)) == len(near)
    for text in texts:
        assert any(text in str(each) for each in near), (text, [*map(str, near)])
