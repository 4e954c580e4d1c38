"""Iterations of parallel loops that meet are found; those that cannot meet are accepted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lower.interpret import Interpreter
from tilec.dtypes import BOOL, F32, I32
from tilec.errors import InternalError
from tilec.kernel import build, races
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Ramp,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.kernel.verify import verify_kernel

F = VType(F32)
A = Buffer("A", F, 4000)
OUT = Buffer("C", F, 4000, writable=True)
WIDE = Buffer("w", VType(F32, 8), 2, scope=Scope.REGISTER, writable=True)
PANEL = Buffer("s", F, 32, scope=Scope.CACHE, writable=True)
ZERO = build.const(0)
p, q, i, j, k = (build.var(name) for name in "pqijk")


def number(value: Expr | int) -> Expr:
    return build.const(value) if isinstance(value, int) else value


def loop(name: str, start: Expr | int, stop: Expr | int, *body: Stmt, step: int = 1) -> For:
    return For(name, number(start), number(stop), body, step)


def parallel(stop: Expr | int, *body: Stmt) -> For:
    return replace(loop("p", 0, stop, *body), kind=LoopKind.PARALLEL)


def put(index: Expr | int, lanes: int = 1, mask: Expr | None = None) -> Store:
    return Store("C", number(index), Const(1.0, VType(F32, lanes)), mask=mask)


def add(index: Expr | int, source: Expr | int, buffer: str = "C") -> Store:
    return Store("C", number(index), Load(buffer, number(source), F))


def at(*terms: tuple[Expr, int] | int) -> Expr:
    total: Expr = ZERO
    for term in terms:
        each = number(term) if isinstance(term, int) else build.mul(term[0], number(term[1]))
        total = build.add(total, each)
    return total


def least(left: Expr | int, right: Expr | int) -> Expr:
    return build.minimum(number(left), number(right))


def most(left: Expr | int, right: Expr | int) -> Expr:
    return build.maximum(number(left), number(right))


def lanes_below(limit: Expr, lanes: int) -> Expr:
    ramp = Ramp(Const(0, VType(I32)), 1, VType(I32, lanes))
    count = build.splat(Apply("cast", (limit,), VType(I32)), lanes)
    return Apply("cmp_lt", (ramp, count), VType(BOOL, lanes))


def kernel(*body: Stmt) -> Kernel:
    return Kernel("k", ("test",), (A, OUT), (WIDE, PANEL), body)


def accept(*body: Stmt) -> None:
    verify_kernel(kernel(*body))


def refuse(words: str, *body: Stmt) -> None:
    with pytest.raises(InternalError, match=words):
        verify_kernel(kernel(*body))


def cheaply(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no need to ask isl."""

    def asked(names: object, rules: object) -> None:
        raise AssertionError("isl was asked")

    monkeypatch.setattr(races, "sample", asked)


def test_all_iterations_write_one_element() -> None:
    refuse(
        r"the iteration p = 0 writes C\[0\], which the iteration p = 1 writes: "
        r"C\[0\] = 1\.0 and C\[0\] = 1\.0; in: parallel for p",
        parallel(2, put(0)),
    )
    accept(parallel(1, put(0)))


def test_neighbours_overlap_by_one_lane() -> None:
    accept(parallel(9, put(at((p, 8)), 8)))
    refuse(r"writes C\[8\], which", parallel(2, put(at((p, 8)), 9)))


def test_a_read_of_what_another_iteration_writes() -> None:
    accept(parallel(9, add(p, p)))
    accept(parallel(9, add(p, at(p_ := (p, 1), 100)), add(at(p_, 200), at(p_, 100))))
    accept(parallel(9, add(p, at((p, 1), 9))))
    refuse(
        r"writes C\[\d\], which the iteration p = \d reads: C\[p\] = C\[p \+ 8\]",
        parallel(9, add(p, at((p, 1), 8))),
    )
    accept(parallel(9, add(p, 0, "A")))


def test_rows_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    cheaply(monkeypatch)
    inside = at((p, 40), (i, 1))
    accept(parallel(9, loop("i", 0, 40, put(inside))))
    across = at((i, 40), (p, 8), (j, 1))
    accept(parallel(5, loop("i", 0, 9, loop("j", 0, 8, put(across)))))
    accept(parallel(5, loop("i", 0, 9, put(at((i, 40), (p, 8)), 8))))


def test_a_row_too_long() -> None:
    refuse(r"writes C\[\d+0\], which", parallel(9, loop("i", 0, 41, put(at((p, 40), (i, 1))))))


def test_columns_that_reach_the_next_row() -> None:
    across = at((i, 40), (p, 8), (j, 1))
    refuse(r"writes C\[\d+\], which", parallel(6, loop("i", 0, 9, loop("j", 0, 8, put(across)))))


def test_ranges_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """``p`` takes panels ``3 p`` to ``3 p + 3`` of eight, the last of which is narrower."""
    cheaply(monkeypatch)
    low, high = at((p, 3)), least(at((p, 3), 3), 8)
    tiles = loop("j", 0, 4, put(at((j, 400), (i, 40)), 8), put(at((j, 400), (i, 40), 20), 8))
    accept(parallel(3, loop("i", low, least(high, 7), tiles)))
    narrow = loop("i", most(low, 7), high, loop("j", 0, 4, put(at((j, 400), (i, 40)), 4)))
    accept(parallel(3, loop("i", low, least(high, 7), tiles), narrow))


def test_ranges_of_tasks_that_overlap() -> None:
    low, high = at((p, 3)), least(at((p, 3), 4), 8)
    refuse(r"writes C\[3\]", parallel(3, loop("i", low, high, put(i))))


def test_groups_inside_the_range_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    cheaply(monkeypatch)
    low, high = at((p, 5)), least(at((p, 5), 5), 18)
    tile = loop("j", i, least(at((i, 1), 2), high), put(at((j, 10)), 8))
    accept(parallel(4, loop("i", low, high, tile, step=2)))


def test_work_of_one_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tile at the border is that of the task that has row 7."""
    cheaply(monkeypatch)
    low, high = most(at((p, 4), -7), 0), least(at((p, 4), -3), 1)
    mine = build.both(build.compare("cmp_le", low, ZERO), build.compare("cmp_gt", high, ZERO))
    accept(parallel(3, If(mine, (put(5),))))


def test_work_of_two_tasks() -> None:
    mine = build.compare("cmp_gt", p, ZERO)
    refuse(r"p = 1 writes C\[5\], which the iteration p = 2", parallel(3, If(mine, (put(5),))))


def test_chunks_of_vectors_with_a_masked_rest() -> None:
    start = at((p, 64))
    stop = least(at((p, 64), 64), 203)
    whole = build.mul(build.floor_div(build.sub(stop, start), 16), build.const(16))
    end = build.add(start, whole)
    rest = build.sub(stop, end)
    accept(
        parallel(
            4,
            loop("i", start, end, put(i, 16), step=16),
            put(end, 16, lanes_below(rest, 16)),
        )
    )
    longer = build.add(rest, build.const(1))
    refuse(
        r"writes C\[64\], which",
        parallel(
            4,
            loop("i", start, end, put(i, 16), step=16),
            put(end, 16, lanes_below(longer, 16)),
        ),
    )


def test_residues(monkeypatch: pytest.MonkeyPatch) -> None:
    cheaply(monkeypatch)
    accept(parallel(3, loop("i", 0, 50, put(at((i, 3), (p, 1))))))
    accept(parallel(9, loop("i", 0, 9, put(at((i, 90), (p, 10))), put(at((i, 90), (p, 10), 5)))))


def test_residues_that_meet() -> None:
    refuse(r"writes C\[\d+\], which", parallel(4, loop("i", 0, 50, put(at((i, 3), (p, 1))))))


def test_triangles() -> None:
    start = build.floor_div(build.mul(p, build.add(p, build.const(1))), 2)
    refuse(
        "isl cannot|which the iteration",
        parallel(5, loop("i", 0, at((p, 1), 1), put(build.add(start, i)))),
    )
    rows = at((p, 10), (i, 1))
    accept(parallel(10, loop("i", 0, at((p, 1), 1), put(rows))))
    accept(parallel(10, loop("i", p, 10, put(build.add(at((p, 9)), i)))))
    refuse("writes", parallel(10, loop("i", p, 10, put(at((p, 8), (i, 1))))))


def test_what_is_the_same_in_all_iterations() -> None:
    accept(loop("q", 0, 4, parallel(5, put(at((q, 100), (p, 3)), 3))))
    accept(loop("q", 0, 4, parallel(q, put(at((p, 4), (q, 1)), 4))))
    n = Var("n")
    known = Let(n, build.minimum(most(Apply("cast", (Load("A", ZERO, F),), q.type), 0), number(9)))
    accept(known, parallel(5, put(build.add(n, p))))
    refuse("writes", known, parallel(5, loop("i", 0, 2, put(at((n, 1), (p, 1), (i, 1))))))


def test_positions_read_from_memory_may_be_equal() -> None:
    read = Apply("cast", (Load("A", p, F),), q.type)
    refuse("writes", parallel(5, put(build.minimum(most(read, 0), number(9)))))


def test_scratch() -> None:
    mine = Store("s", ZERO, Const(1.0, F))
    accept(parallel(5, mine, Store("w", ZERO, Const(0.0, WIDE.type))))
    refuse("writes s", mine, parallel(5, mine))
    refuse("writes s", parallel(5, mine), parallel(5, mine))
    refuse(r"s\[0\], which .* reads", mine, parallel(5, Store("s", p, Load("s", ZERO, F))))
    accept(mine, parallel(5, Store("C", p, Load("s", ZERO, F))))
    outside = Store("w", ZERO, Const(0.0, WIDE.type))
    refuse("register buffer w crosses", outside, parallel(5, outside))


def test_each_of_nested_loops_is_divided() -> None:
    inner = replace(loop("q", 0, 3, put(p)), kind=LoopKind.PARALLEL)
    refuse("the iteration q = 0", parallel(3, inner))
    refuse("the iteration q = 0", loop("p", 0, 3, inner))
    apart = build.add(build.mul(p, build.const(3)), build.var("q"))
    accept(parallel(3, replace(loop("q", 0, 3, put(apart)), kind=LoopKind.PARALLEL)))


@dataclass
class _Watch(Interpreter):
    """Notes which iterations write and read each element of C."""

    writers: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    readers: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def store(self, stmt: Store) -> None:
        lanes = self.lanes(stmt.index, stmt.stride, stmt.mask, stmt.value.type.lanes)
        for _, offset in lanes:
            self.writers[offset].add(self.values["p"])
        if isinstance(stmt.value, Load):
            self.readers[int(self.value(stmt.value.index))].add(self.values["p"])

    def meets(self) -> bool:
        return any(
            len(writers) > 1 or self.readers[offset] - writers
            for offset, writers in self.writers.items()
        )


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Stmt, ...]:
    """Some stores in up to two loops, whose bounds depend on the parallel loop."""
    share = draw(st.integers(1, 4))
    factors = st.sampled_from([0, 1, 1, 2, 3, 4, 6, 8, 12, 20])
    made: list[Stmt] = []
    for _ in range(draw(st.integers(1, 2))):
        terms = [(name, draw(factors)) for name in (p, i, j)]
        index = at(*terms, draw(st.integers(0, 9)))
        stores: list[Stmt] = [put(index, lanes := draw(st.sampled_from([1, 1, 2, 4])))]
        if draw(st.booleans()):
            stores.append(put(build.add(index, number(draw(st.integers(1, 24)))), lanes))
        if draw(st.integers(0, 3)) == 0:
            stores.append(add(index, build.add(index, number(draw(st.integers(0, 9))))))
        if draw(st.integers(0, 3)) == 0:
            mask = lanes_below(least(draw(st.integers(0, 4)), build.sub(number(5), p)), 4)
            stores.append(put(index, 4, mask))
        if draw(st.integers(0, 2)) == 0:
            left, right = draw(st.sampled_from([(p, i), (i, j), (p, j), (p, number(1))]))
            op = draw(st.sampled_from(["cmp_lt", "cmp_ge", "cmp_eq", "cmp_le"]))
            stores = [If(build.compare(op, left, right), tuple(stores))]
        low, high = at((p, share)), least(at((p, share), share), draw(st.integers(1, 14)))
        ranges = [(low, high), (ZERO, number(draw(st.integers(1, 6)))), (p, number(5))]
        ranges += [(most(low, 7), high), (ZERO, at((p, 1), 1))]
        ranges += [(low, build.add(low, build.mul(build.floor_div(high, 2), number(2))))]
        inner = draw(st.sampled_from([*ranges, (i, least(at((i, 1), 2), high))]))
        outer = draw(st.sampled_from(ranges))
        step = draw(st.sampled_from([1, 1, 2, 4]))
        nested = loop("j", *inner, *stores, step=draw(st.sampled_from([1, 1, 2])))
        made.append(loop("i", *outer, nested, step=step))
    return tuple(made)


@settings(max_examples=200, deadline=None)
@given(body=bodies(), count=st.integers(1, 5))
def test_found_exactly_where_iterations_meet(body: tuple[Stmt, ...], count: int) -> None:
    made = kernel(parallel(count, *body))
    watch = _Watch(made, {})
    watch.run()
    if not watch.meets():
        verify_kernel(made)
        return
    with pytest.raises(InternalError, match="which the iteration"):
        verify_kernel(made)
