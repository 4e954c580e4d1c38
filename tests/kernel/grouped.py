"""Kernels of groups of items, for tests."""

from __future__ import annotations

from tests.llvm.harness import input_buffer, module_of, output_buffer
from tilec.dtypes import F32
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Barrier,
    Buffer,
    Expr,
    For,
    If,
    Let,
    Load,
    LoopKind,
    Module,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)

F = VType(F32)
G, T, S = build.var("g"), build.var("t"), build.var("s")
ITEMS = 8
SHARED = Buffer("shared", F, 2 * ITEMS, scope=Scope.LOCAL, writable=True)
OWN = Buffer("own", F, 4, scope=Scope.REGISTER, writable=True)


def loop(name: str, stop: int, body: tuple[Stmt, ...], kind: LoopKind = LoopKind.SERIAL) -> For:
    return For(name, build.const(0), build.const(stop), body, kind=kind)


def grouped(*body: Stmt, groups: int = 3, items: int = ITEMS) -> Module:
    """A module in which every group runs some statements on A to B."""
    nest = loop("g", groups, (loop("t", items, body, LoopKind.ITEM),), LoopKind.GROUP)
    size = groups * items
    return module_of(
        [nest], [input_buffer("A", F32, size)], [output_buffer("B", F32, size)], [SHARED, OWN]
    )


def at(item: Expr = T) -> Expr:
    return build.add(build.mul(G, build.const(ITEMS)), item)


def shared(index: Expr) -> Load:
    return Load("shared", index, F)


def plus(left: Expr, right: Expr) -> Expr:
    return Apply("add", (left, right), F)


MIRROR = build.sub(build.const(ITEMS - 1), T)
TAKE = Store("shared", T, Load("A", at(), F))
TURN = Store("B", at(), shared(MIRROR))


def tree() -> tuple[Stmt, ...]:
    """The sum of a group, by halves."""
    stmts: list[Stmt] = [TAKE, Barrier()]
    half = ITEMS // 2
    while half:
        below = build.compare("cmp_lt", T, build.const(half))
        total = plus(shared(T), shared(build.add(T, build.const(half))))
        stmts += [If(below, (Store("shared", T, total),)), Barrier()]
        half //= 2
    return (*stmts, Store("B", at(), shared(build.const(0))))


def doubly_buffered(rounds: int) -> tuple[Stmt, ...]:
    """Adds the neighbour's value in each round; one barrier, because halves change."""
    half = build.floor_mod(S, 2)
    other = build.sub(build.const(1), half)
    here = build.add(build.mul(half, build.const(ITEMS)), MIRROR)
    there = build.add(build.mul(other, build.const(ITEMS)), T)
    value = Var("value", F)
    body = (Let(value, plus(shared(here), Load("A", at(), F))), Store("shared", there, value))
    last = build.const(rounds % 2 * ITEMS)
    return (
        TAKE,
        Barrier(),
        loop("s", rounds, (*body, Barrier())),
        Store("B", at(), shared(build.add(last, T))),
    )


def turned_vectors() -> Module:
    """Four elements are fetched at once and stored one by one, in turn."""
    first = build.mul(T, build.const(4))
    load = Store("own", build.const(0), Load("A", first, VType(F32, 4)))
    stores = [
        Store("shared", build.add(first, build.const(n)), Load("own", build.const(3 - n), F))
        for n in range(4)
    ]
    take = Store("B", first, Load("shared", first, VType(F32, 4)))
    nest = loop("g", 1, (loop("t", 2, (load, *stores, take), LoopKind.ITEM),), LoopKind.GROUP)
    inputs, outputs = [input_buffer("A", F32, 8)], [output_buffer("B", F32, 8)]
    return module_of([nest], inputs, outputs, [OWN, SHARED])
