"""Pages: short rows that lie side by side are copied together, though they go to different places.

A permutation that leaves the last axis in place copies rows. Where a row is shorter than a page of
memory, prefetchers that have just begun to follow it stop, and the next row is on another page. The
rows beside it are on the same one: as many as fill a page are read in turn, and each place that is
written gets its next row, so that everything that is under way is read to the end.

Assumes a kernel whose results are stored once each. Guarantees the same stores, in another order:
only loops are exchanged around a body of stores that reads nothing that the kernel writes.
"""

from __future__ import annotations

from dataclasses import replace

from tilec.kernel import build
from tilec.kernel.ir import Const, For, Kernel, Load, LoopKind, Stmt, Store
from tilec.lower.plan import MIN_TASKS
from tilec.lower.walk import expressions, linear_step
from tilec.records import dataclass

PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Pages:
    """The pass.

    Attributes:
        cache_bytes: Size of the last cache: what it holds is left as it is.
    """

    cache_bytes: int

    def apply(self, kernel: Kernel) -> Kernel:
        """Exchange the loops of a kernel, where that pays."""
        if sum(buffer.bytes for buffer in kernel.params) <= self.cache_bytes:
            return kernel
        written = {buffer.name for buffer in (*kernel.params, *kernel.locals) if buffer.writable}
        return replace(kernel, body=tuple(_nest(stmt, written) for stmt in kernel.body))


def _nest(stmt: Stmt, written: set[str]) -> Stmt:
    """The loops of one piece."""
    loops: list[For] = []
    body: tuple[Stmt, ...] = (stmt,)
    while len(body) == 1 and isinstance(body[0], For):
        loops.append(body[0])
        body = body[0].body
    loads = [each for each in expressions(body) if isinstance(each, Load)]
    is_copy = all(isinstance(each, Store) for each in body)
    if len(loops) < 3 or not is_copy or any(load.buffer in written for load in loads):
        return stmt
    *outer, row = loops
    found = next((each for each in outer[:-1] if _count(each, row, loads)), None)
    if found is None:
        return stmt
    count, first = _count(found, row, loads), build.var(f"{found.var}.page")
    stop = build.minimum(build.add(first, build.const(count)), found.stop)
    made: Stmt = replace(found, start=first, stop=stop, body=(row,), kind=LoopKind.SERIAL)
    for loop in reversed(outer):
        if loop is found:
            made = replace(loop, var=first.name, step=count, body=(made,))
        else:
            made = replace(loop, body=(made,))
    return made


def _count(loop: For, row: For, loads: list[Load]) -> int:
    """Iterations of a loop that read one page, row by row; 0 where it does not pay."""
    edges = (loop.start, loop.stop, row.start, row.stop)
    if not all(isinstance(edge, Const) for edge in edges) or loop.step != 1:
        return 0
    start, stop, low, high = (int(edge.value) for edge in edges if isinstance(edge, Const))
    elems = high - low
    beside = [each for each in loads if linear_step(each.index, loop.var) == elems]
    beside = [each for each in beside if linear_step(each.index, row.var) == 1]
    if not beside:
        return 0
    count = PAGE_BYTES // (elems * beside[0].type.dtype.bytes)
    return count if count > 1 and (stop - start) // count >= MIN_TASKS else 0
