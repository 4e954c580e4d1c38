"""Turning: results whose lanes lie apart in the output are stored along its unit-stride loop.

Storing lanes one by one touches a cache line for each. Instead, the tiles of a block of that loop
leave their sums in scratch memory, and the block is stored by vectors along it: each line of the
output is written at once, and what is read in steps is in the first-level cache.
"""

from __future__ import annotations

from tilec.kernel import build
from tilec.kernel.ir import Buffer, Expr, For, Load, LoopKind, Stmt, Store, VType
from tilec.lower.translate import Places, convert, form_expr, translate
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.footprint import turn_distance
from tilec.schedule.product import Product
from tilec.tensor.forms import Axis

SCRATCH = ".turned"
_ZERO = build.const(0)


@dataclass(frozen=True, slots=True)
class Turn:
    """How the results of a tile are turned.

    Attributes:
        axis: The loop along which they are stored.
        is_row: Whether it is the row loop of the tile; else the tile is computed for a block of it.
        block: Iterations of such a block.
    """

    axis: Axis
    is_row: bool
    block: int

    def blocks(self, stmts: list[Stmt]) -> list[Stmt]:
        """The loop over blocks around some statements."""
        if self.is_row:
            return stmts
        low, high = build.const(self.axis.low), build.const(self.axis.high)
        return [For(".turn", low, high, tuple(stmts), step=self.block)]

    def elems(self, problem: Product, rows: int, width: int) -> int:
        """Scratch memory of a tile."""
        count = rows if self.is_row else self.block
        return count * self._distance(problem, rows, width)

    def kept(self, problem: Product, rows: int, width: int, r: Expr, lane: Expr) -> Expr:
        """Where the sum of a row and lane is kept; of the current iteration, if not of the row."""
        distance = build.const(self._distance(problem, rows, width))
        if self.is_row:
            return build.add(build.mul(r, distance), lane)
        own = build.mul(build.sub(build.var(self.axis.name), build.var(".turn")), distance)
        return build.add(build.add(own, build.mul(r, build.const(width))), lane)

    def store(
        self,
        problem: Product,
        places: Places,
        output: Buffer,
        sums: list[Stmt],
        position: dict[str, Expr],
        row: str,
        rows: int,
        width: int,
        valid: int,
    ) -> list[Stmt]:
        """Compute the sums of a block, and store them.

        Args:
            problem: The product.
            places: Where tensors lie.
            output: Where results go.
            sums: What computes the tile and keeps its sums.
            position: First row and lane of the tile, by their loops.
            row: The row loop.
            rows: Rows of the tile.
            width: Lanes that are kept of a row.
            valid: Lanes that are stored.
        """
        name, top = self.axis.name, position[row]
        lane, r = build.var(".lane"), build.var(".r")
        at = {loop: start for loop, start in position.items() if loop != row}
        for loop in at:
            at[loop] = build.add(at[loop], lane)
        if self.is_row:
            first, stop = top, build.add(top, build.const(rows))
            r = build.sub(build.var(row), top)
        else:
            first = build.var(".turn")
            stop = build.add(first, build.const(self.block))
            if self.axis.extent % self.block:
                stop = build.minimum(stop, build.const(self.axis.high))
            at[row] = build.add(top, r)
            sums = [For(name, first, stop, tuple(sums))]
        kept = self.kept(problem, rows, width, r, lane)
        value = convert(Load(SCRATCH, kept, VType(problem.dtype)), problem.result)
        if problem.epilogue is not None:
            value = substitute(translate(problem.epilogue, places, value), at)
        where = substitute(form_expr(problem.store), at)
        body: Stmt = Store(output.name, where, value)
        body = For(name, first, stop, (body,), kind=LoopKind.VECTOR)
        body = For(lane.name, _ZERO, build.const(valid), (body,))
        if not self.is_row:
            body = For(".r", _ZERO, build.const(rows), (body,))
        return [*sums, body]

    def _distance(self, problem: Product, rows: int, width: int) -> int:
        return turn_distance(width if self.is_row else rows * width, problem.dtype.bytes)
