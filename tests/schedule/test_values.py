from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilec.errors import ScheduleError
from tilec.schedule.values import Loops, Plan, Schedule, Tiled, as_schedule, parse_kernel

NAMES = st.sampled_from(["i", "j", "k", "n'", "row", "x1"])
COUNTS = st.integers(1, 1000)


@st.composite
def tiles(draw: st.DrawFn) -> Tiled:
    vector = draw(NAMES)
    row = draw(st.none() | NAMES.filter(lambda name: name != vector))
    parallel = draw(st.none() | NAMES)
    pack_vector = draw(st.booleans())
    return Tiled(
        vector=vector,
        row=row,
        rows=draw(COUNTS),
        lanes=draw(COUNTS),
        vectors=draw(COUNTS),
        pack_vector=pack_vector,
        pack_row=row is not None and draw(st.booleans()),
        reduce_block=draw(st.just(0) | COUNTS),
        row_block=draw(st.just(0) | COUNTS),
        panel_block=draw(st.just(0) | COUNTS),
        tasks=1 if parallel is None else draw(COUNTS),
        parallel=parallel,
        ahead=pack_vector and draw(st.booleans()),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    vector, parallel = draw(st.none() | NAMES), draw(st.none() | NAMES)
    if vector is None:
        return Plan(None, 1, parallel=parallel)
    return Plan(vector, draw(COUNTS), draw(st.booleans()), parallel)


def loops(of: list[Plan]) -> Loops:
    return Loops(tuple(of))


KERNELS = tiles() | st.builds(loops, st.lists(plans(), min_size=1, max_size=3))
SCHEDULES = st.builds(
    Schedule.of, st.dictionaries(st.sampled_from(["", "p_C", "p_D'"]), KERNELS, max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(schedule=SCHEDULES)
def test_text_and_json_round_trip(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule
    assert Schedule.from_json(json.loads(json.dumps(schedule.as_json()))) == schedule
    assert dict(schedule) == dict(schedule.entries)


def test_text() -> None:
    tile = Tiled("j", "i", 14, 16, 2, pack_vector=True, reduce_block=384, tasks=2, parallel="j")
    text = "tile i=14 j=2x16, pack j, reduce block 384, 2 tasks over j"
    assert str(tile) == text
    assert parse_kernel(text) == tile
    cut = replace(tile, reduce_block=4, reduce_loop="k.x")
    assert parse_kernel(str(cut)) == parse_kernel(text.replace("384", "4 of k.x")) == cut
    split = parse_kernel("vector k=16 reduction, parallel .task; scalar")
    assert split == Loops((Plan("k", 16, True, ".task"), Plan(None, 1)))
    assert Loops.of((Plan(None, 1), Plan(None, 1))) == Loops((Plan(None, 1),))


def test_what_is_taken_for_a_schedule() -> None:
    plan = Plan("i", 8)
    assert as_schedule(plan) == as_schedule("vector i=8") == as_schedule(Loops((plan,)))
    assert as_schedule(as_schedule(plan)) == as_schedule(plan)
    with pytest.raises(ScheduleError, match="not a int"):
        as_schedule(3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile i=14 j=2", "the tile 'tile i=14 j=2' cannot be read"),
        ("tile i=4 j=2x16, pack k", "k is no loop of the tile"),
        ("tile -=1 j=2x16, pack i", "i is no loop of the tile"),
        ("tile i=4 j=2x16, glue j", "the part 'glue j' of a tile cannot be read"),
        ("tile i=4 j=2x16, row block x", "the part 'row block x'"),
        ("tile i=4 j=2x16, row block 4, row block 5", "'row block 5' is given twice"),
        ("vector i", "the schedule 'vector i' cannot be read"),
        ("vector i=8, twice", "the part 'twice' of loops cannot be read"),
        ("vector i=8, parallel i, parallel j", "the part 'parallel j'"),
        ("a: scalar\na: scalar", "the kernel 'a' is scheduled twice"),
    ],
)
def test_text_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule.parse(text)
    assert message in caught.value.message


TILE: dict[str, Any] = {
    "kind": "tile", "vector": "j", "row": "i", "rows": 4, "lanes": 8, "vectors": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "a schedule in JSON is an object"),
        ({"a": 3}, "a is 3, which is no object"),
        ({"a": {"kind": "magic"}}, "a.kind is 'magic'"),
        ({"a": {**TILE, "rows": "4"}}, "a.rows is '4', but it is of type int"),
        ({"a": {**TILE, "pack_row": 1}}, "a.pack_row is 1, but it is of type bool"),
        ({"a": {**TILE, "colour": 1}}, "a.colour: there is no such field"),
        ({"a": {"kind": "tile", "vector": "j"}}, "a.lanes is missing"),
        ({"a": {"kind": "loops", "plans": []}}, "a.plans is empty"),
        ({"a": {"kind": "loops", "plans": [1]}}, "a.plans[0] is 1"),
        ({"a": {"kind": "loops", "plans": [{"vector": None}]}}, "a.plans[0].lanes is missing"),
    ],
)
def test_json_that_cannot_be_read(facts: object, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule.from_json(facts)
    assert message in caught.value.message
