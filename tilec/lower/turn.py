"""Turning: results whose lanes lie apart in the output are stored along its unit-stride loop.

Storing lanes one by one touches a cache line for each. Instead, the tiles of a block of that loop
leave their sums in scratch memory, and the block is stored by vectors along it: each line of the
output is written at once, and what is read in steps is in the first-level cache.
"""

from __future__ import annotations

from tilec.dtypes import I32
from tilec.kernel import build
from tilec.kernel.ir import Apply, Buffer, Const, Expr, For, Load, Ramp, Stmt, Store, VType
from tilec.lower.panels import mask_below
from tilec.lower.square import turned
from tilec.lower.translate import RESULT, Places, convert, form_expr, translate
from tilec.lower.vectorise import widen
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
        if self.is_row:
            return self._kept(problem, rows, width, r, _ZERO, lane)
        own = build.sub(build.var(self.axis.name), build.var(".turn"))
        return self._kept(problem, rows, width, own, r, lane)

    def _kept(
        self, problem: Product, rows: int, width: int, turned: Expr, r: Expr, lane: Expr
    ) -> Expr:
        """The same of an iteration of the turned loop, counted from the first that is kept."""
        each = width if self.is_row else rows * width
        distance = build.const(turn_distance(each, problem.dtype.bytes))
        at = build.add(build.mul(turned, distance), build.mul(r, build.const(width)))
        return build.add(at, lane)

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
        name, lanes = self.axis.name, self.block
        at = {loop: start for loop, start in position.items() if loop != row}
        (vector,) = at

        def square(
            first: Expr, held: Expr, lane: Expr, count: int, mask: Expr | None
        ) -> list[Stmt]:
            """Store ``count`` lanes from ``lane``, for a block of iterations from ``first``."""
            rows_held: list[Expr] = []
            for q in range(lanes):
                own = build.add(held, build.const(q))
                kept = self._kept(problem, rows, width, own, build.var(".r"), lane)
                if self.is_row:
                    kept = substitute(kept, {".r": _ZERO})
                rows_held.append(Load(SCRATCH, kept, VType(problem.dtype, lanes)))
            if self.is_row and isinstance(held, Const):
                there = rows - int(held.value)
                zero = Const(0.0, VType(problem.dtype, lanes))
                rows_held[there:] = [zero] * len(rows_held[there:])
            about = turned(rows_held)
            stores: list[Stmt] = []
            for p, value in enumerate(about.rows[:count]):
                here = {**at, vector: build.add(at[vector], build.add(lane, build.const(p)))}
                result = convert(value, problem.result)
                if problem.epilogue is not None:
                    result = substitute(translate(problem.epilogue, places, {RESULT: result}), here)
                    result = widen(result, name, first, lanes, mask, {}, {value.name})
                where = substitute(form_expr(problem.store), {**here, name: first})
                stores.append(Store(output.name, where, result, mask=mask))
            return [*about.stmts, *stores]

        def across(first: Expr, held: Expr, mask: Expr | None) -> list[Stmt]:
            """All lanes of a block of iterations."""
            full, rest = divmod(valid, lanes)
            lane = build.mul(build.var(".lane"), build.const(lanes))
            done: list[Stmt] = [
                For(
                    ".lane", _ZERO, build.const(full), tuple(square(first, held, lane, lanes, mask))
                )
            ]
            if rest:
                edge = square(first, held, build.const(full * lanes), rest, mask)
                done.append(For(".lane", _ZERO, build.const(1), tuple(edge)))
            return done

        if self.is_row:
            stmts = list(sums)
            for held in range(0, rows, lanes):
                mask = mask_below(rows - held, lanes)
                stmts += across(
                    build.add(position[row], build.const(held)), build.const(held), mask
                )
            return stmts
        first = build.var(".turn")
        stop, mask = build.add(first, build.const(lanes)), None
        if self.axis.extent % lanes:
            stop = build.minimum(stop, build.const(self.axis.high))
            left = build.sub(build.const(self.axis.high), first)
            limit = build.splat(Apply("cast", (left,), VType(I32)), lanes)
            lane = Ramp(Const(0, VType(I32)), 1, VType(I32, lanes))
            mask = Apply("cmp_lt", (lane, limit), build.condition_type(lanes))
        at[row] = build.add(position[row], build.var(".r"))
        body = across(first, _ZERO, mask)
        return [
            For(name, first, stop, tuple(sums)),
            For(".r", _ZERO, build.const(rows), tuple(body)),
        ]

    def _distance(self, problem: Product, rows: int, width: int) -> int:
        return turn_distance(width if self.is_row else rows * width, problem.dtype.bytes)
