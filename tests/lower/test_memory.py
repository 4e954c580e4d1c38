"""The workspace: what is alive at the same time does not overlap."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tilec.dtypes import F32, U8
from tilec.kernel.ir import Buffer, VType
from tilec.lower.memory import ALIGN_BYTES, Lifetime, plan


def lifetime(name: str, elems: int, first: int, last: int) -> Lifetime:
    return Lifetime(Buffer(name, VType(F32), elems, writable=True), first, last)


def offsets(*items: Lifetime) -> tuple[dict[str, int], int]:
    placed, total = plan(items)
    return {each.buffer.name: each.offset_bytes for each in placed}, total


def test_nothing() -> None:
    assert plan(()) == ((), 0)


def test_a_chain_needs_two_at_a_time() -> None:
    found, total = offsets(*(lifetime(f"t{n}", 16, n, n + 1) for n in range(9)))
    assert total == 2 * 64
    assert set(found.values()) == {0, 64}


def test_the_last_reader_and_the_next_writer_are_one_call() -> None:
    """A kernel may not write what it reads, so both are alive."""
    found, total = offsets(lifetime("a", 16, 0, 1), lifetime("b", 16, 1, 2))
    assert (found["a"], found["b"], total) == (0, 64, 128)


def test_a_gap_is_used() -> None:
    found, total = offsets(
        lifetime("long", 64, 0, 9), lifetime("big", 48, 0, 1), lifetime("small", 16, 3, 4)
    )
    assert total == 4 * (64 + 48)
    assert found["small"] == 256


def test_sizes_are_whole_cache_lines() -> None:
    assert lifetime("a", 1, 0, 0).bytes == ALIGN_BYTES
    assert lifetime("a", 17, 0, 0).bytes == 2 * ALIGN_BYTES
    assert Lifetime(Buffer("b", VType(U8), 65), 0, 0).bytes == 2 * ALIGN_BYTES


spans = st.tuples(st.integers(1, 200), st.integers(0, 9), st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(st.lists(spans, max_size=12))
def test_no_two_that_are_alive_overlap(drawn: list[tuple[int, int, int]]) -> None:
    items = tuple(
        lifetime(f"t{n}", size, at, at + more) for n, (size, at, more) in enumerate(drawn)
    )
    placed, total = plan(items)
    where = {each.buffer.name: each.offset_bytes for each in placed}
    assert set(where) == {item.buffer.name for item in items}
    for item in items:
        start = where[item.buffer.name]
        assert start % ALIGN_BYTES == 0
        assert start + item.bytes <= total
        for other in items:
            if other is item or other.first > item.last or item.first > other.last:
                continue
            begin = where[other.buffer.name]
            assert start + item.bytes <= begin or begin + other.bytes <= start
    needed = [sum(i.bytes for i in items if i.first <= at <= i.last) for at in range(14)]
    assert max(needed) <= total <= 2 * max(needed)
