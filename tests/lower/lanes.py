"""What the items of a warp ask of memory together: turns of local memory, sectors of the rest.

Local memory has 32 banks of four bytes, and a turn takes one word of each. A quarter of a warp
takes a turn of its own where items take 16 bytes (a half for 8), unless all items have what their
neighbour has, or what the next but one has: then two quarters share a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilec.kernel.groups import Nest, nest_of
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
    Scope,
    Stmt,
    Store,
    Var,
)
from tilec.kernel.printer import print_statement
from tilec.kernel.walk import expressions, roots

WARP, BANKS, WORD, SECTOR = 32, 32, 4, 32

_Offsets = NDArray[Any]
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
    "floor_div": np.floor_divide, "floor_mod": np.remainder, "cmp_lt": np.less,
    "cmp_ge": np.greater_equal, "cmp_eq": np.equal, "logical_and": np.logical_and,
}  # fmt: skip


@dataclass(frozen=True)
class Access:
    """One access of a warp: the first bytes that its items touch, and how many each."""

    text: str
    buffer: Buffer
    offsets: _Offsets
    size: int

    @property
    def turns(self) -> int:
        """Turns of local memory."""
        width = WARP // max(1, self.size // WORD)
        words = [self.offsets[None] // WORD + np.arange(max(1, self.size // WORD))[:, None]]
        parts = np.split(words[0], WARP // width, axis=1)
        if len(parts) > 1:
            pairs = [
                np.concatenate(each, axis=1) for each in zip(parts[::2], parts[1::2], strict=True)
            ]
            if all(map(_is_shared, pairs)):
                parts = pairs
        return sum(_busiest(part) for part in parts)

    @property
    def fewest_turns(self) -> int:
        """As many as there would be if all banks were equally busy."""
        return max(1, self.size // 8, -(-self._touched(WORD) // BANKS))

    @property
    def sectors(self) -> int:
        """Sectors of memory."""
        return self._touched(SECTOR)

    @property
    def fewest_sectors(self) -> int:
        """As many as hold so many bytes."""
        return -(-self._touched(1) // SECTOR)

    def _touched(self, unit: int) -> int:
        every = self.offsets[None] + np.arange(self.size)[:, None]
        return len(np.unique(every // unit))


def _is_shared(words: _Offsets) -> bool:
    return any((words == words[:, np.arange(len(words[0])) ^ other]).all() for other in (1, 2))


def _busiest(words: _Offsets) -> int:
    """Words of the bank that has most of them."""
    return int(np.bincount(np.unique(words) % BANKS).max())


def accesses(kernel: Kernel) -> Iterator[Access]:
    """What the first warp of the first group touches, in the first round of each serial loop."""
    for stmt in kernel.body:
        if isinstance(stmt, For) and stmt.kind is LoopKind.GROUP:
            yield from _nested(kernel, nest_of(stmt))


def _nested(kernel: Kernel, nest: Nest) -> Iterator[Access]:
    buffers = {each.name: each for each in (*kernel.params, *kernel.locals)}
    counts = [int(getattr(loop.stop, "value", 0)) for loop in nest.items]
    places = np.unravel_index(np.arange(WARP), counts)
    names: dict[str, Any] = {loop.var: 0 for loop in nest.groups}
    names |= {loop.var: place for loop, place in zip(nest.items, places, strict=True)}
    yield from _block(nest.body, names, buffers)


def _block(
    body: tuple[Stmt, ...], names: Mapping[str, Any], buffers: Mapping[str, Buffer]
) -> Iterator[Access]:
    known = dict(names)
    for stmt in body:
        yield from _touched(stmt, known, buffers)
        match stmt:
            case Let():
                known[stmt.var.name] = _value(stmt.value, known)
            case For():
                start, stop = (_value(each, known) for each in (stmt.start, stmt.stop))
                count = int(np.max(stop - start)) if stmt.kind is LoopKind.UNROLL else 1
                for trip in range(0, count, stmt.step):
                    yield from _block(stmt.body, {**known, stmt.var: start + trip}, buffers)
            case If():
                if np.all(_value(stmt.condition, known)):
                    yield from _block(stmt.then, known, buffers)
            case _:
                pass


def _touched(
    stmt: Stmt, known: Mapping[str, Any], buffers: Mapping[str, Buffer]
) -> Iterator[Access]:
    found: list[Load | Store] = [stmt] if isinstance(stmt, Store) else []
    given = [each for root in roots(stmt) for each in expressions(root)]
    found += [each for each in given if isinstance(each, Load)]
    for each in found:
        held = buffers[each.buffer]
        if held.scope is Scope.REGISTER:
            continue
        lanes = (each.value if isinstance(each, Store) else each).type.lanes
        offsets = np.broadcast_to(_value(each.index, known), (WARP,)) * held.type.dtype.bytes
        text = print_statement(stmt).strip()
        yield Access(text, held, offsets, lanes * held.type.dtype.bytes)


def _value(expr: Expr, known: Mapping[str, Any]) -> Any:
    match expr:
        case Const():
            return expr.value
        case Var():
            return known[expr.name]
        case Apply():
            return _OPERATIONS[expr.op](*(_value(arg, known) for arg in expr.args))
        case _:
            raise AssertionError(f"{expr} is no offset")
