"""Sums of products around a register tile, after Goto and van de Geijn (2008).

Which tiles there are, in which order, and when their operands are packed: operands are copied into
panels where that pays; tiles at the edges are written for their own size, so that no inner loop
holds a guard. Where a constraint couples the row loop with a reduction loop (the padding of a
convolution), the tiles that touch the border are written each for itself. What one tile does is the
matter of ``registers.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from math import prod
from typing import TypeAlias

from tilec.kernel import build
from tilec.kernel.ir import Const, Expr, For, If, LoopKind, Stmt
from tilec.lower.panels import Steps
from tilec.lower.registers import RegisterTile, Run, Tile
from tilec.lower.special import Body
from tilec.records import dataclass
from tilec.schedule.legal import copies_vectors
from tilec.schedule.product import Product
from tilec.schedule.values import Tiled
from tilec.tensor.forms import Axis

Visit: TypeAlias = Callable[[Tile], list[Stmt]]
"""Writes what is done with a tile."""

Inner: TypeAlias = Callable[[int], list[Stmt]]
"""Writes the body of a panel of some width."""

_ZERO = build.const(0)


@dataclass(slots=True)
class TileWriter:
    """Writes the kernel of one product under one schedule, around its register tile."""

    tile: RegisterTile
    problem: Product = field(init=False)
    plan: Tiled = field(init=False)
    steps: Steps = field(init=False)

    def __post_init__(self) -> None:
        self.problem, self.plan = self.tile.problem, self.tile.plan
        self.steps = self.tile.steps

    @property
    def panel_count(self) -> int:
        """Panels along the vector loop, the narrower last one included."""
        return -(-self.tile.vector.extent // self.tile.width)

    def body(self) -> Body:
        """The statements, scratch buffers and schedule line."""
        tiled = (self.plan.vector, self.plan.row, self.plan.turn)
        others = [axis for axis in self.problem.axes if axis.name not in tiled]
        batch = [axis for axis in others if self.tile.moving.moves(axis.name)]
        free = [axis for axis in others if axis not in batch]
        stmts = self._tasks(free)
        if self.tile.turn is not None and self.tile.turns_panels:
            stmts = self.tile.turn.blocks(stmts)
        for axis in reversed(batch):
            kind = LoopKind.PARALLEL if axis.name == self.plan.parallel else LoopKind.SERIAL
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts), kind=kind)]
        return Body(tuple(stmts), tuple(self.tile.locals), (str(self.plan),), self.plan.lanes)

    # Tasks: which part of which loop a thread takes.

    def _tasks(self, free: list[Axis]) -> list[Stmt]:
        """Divide one loop among tasks; the others run whole."""
        runs = self._runs()
        tiles = runs[-1].number + runs[-1].count
        divided = {self.plan.vector: self.panel_count, self.tile.row.name: tiles}
        divided.update((axis.name, axis.extent) for axis in free)
        ranges: dict[str, tuple[Expr, Expr]] = {
            name: (_ZERO, build.const(count)) for name, count in divided.items()
        }
        name = self.plan.parallel
        if name not in divided:
            return self._passes(runs, free, ranges, divided)
        share = -(-divided[name] // self.plan.tasks)
        first = build.mul(build.var(".task"), build.const(share))
        last = build.minimum(build.add(first, build.const(share)), build.const(divided[name]))
        ranges[name] = (first, last)
        body = tuple(self._passes(runs, free, ranges, {**divided, name: share}))
        count = build.const(-(-divided[name] // share))
        return [For(".task", _ZERO, count, body, kind=LoopKind.PARALLEL)]

    def _runs(self) -> list[Run]:
        """Cut the row loop into tiles; those of full size make a run, the rest another."""
        axis, rows = self.tile.row, self.plan.rows
        full, rest = divmod(axis.extent, rows)
        runs: list[Run] = []
        for number, count, size in ((0, full, rows), (full, 1, rest)):
            start = axis.low + number * rows
            if count and size:
                tops = range(start, start + count * size, size)
                border = tuple(at for at, top in enumerate(tops) if not self._is_clear(top, size))
                runs.append(Run(start, number, count, size, border))
        return runs

    def _is_clear(self, start: int, size: int) -> bool:
        """Whether the constraints on the row loop hold at all points of some rows."""
        loops = (*self.problem.axes, *self.problem.reductions)
        box = {axis.name: (axis.low, axis.high - 1) for axis in loops}
        box[self.tile.row.name] = (start, start + size - 1)
        coupled = [f for f in self.problem.constraints if f.coefficient(self.tile.row.name)]
        return all(form.range(box)[0] >= 0 for form in coupled)

    # Passes over the reduction, panels, rows.

    def _passes(
        self,
        runs: list[Run],
        free: list[Axis],
        ranges: dict[str, tuple[Expr, Expr]],
        most: dict[str, int],
    ) -> list[Stmt]:
        """Pack what is packed and visit all tiles, in the order that reuses the packed copies.

        A panel is packed on its own and stays while all rows pass by; they may have been packed
        before. A block of packed rows stays while all panels pass by, which then are packed first.
        ``most`` is how many iterations of each loop a task takes.
        """
        panels = ranges[self.plan.vector]
        first = panels[0]
        if self.plan.panel_block:
            return self._panel_blocks(runs, free, ranges, most[self.plan.vector])
        if self.plan.row_block:
            stmts: list[Stmt] = []
            if self.plan.pack_vector and not self.plan.ahead:
                count = most[self.plan.vector]
                self.tile.scratch(".panels", count * self.tile.panels.slot_elems)
                stmts += self._over_panels(panels, lambda width: self._pack(width, first))
            stmts += self._over_free(free, ranges, self._packed_rows(runs, panels, ranges, first))
            return self._blocks(stmts)

        # Panels of a still operand that moves along them lie side by side: one free loop at a time.
        apart = self.tile.still.moves(self.plan.vector) and (
            self.plan.ahead or not self.plan.pack_vector
        )
        inside, outside = ([], free) if apart else (free, [])

        if self.plan.ahead and (self.steps.cut or most[self.plan.vector] > 1):
            self.tile.visits = prod(
                most[name] for name in (self.tile.row.name, *(a.name for a in inside))
            )

        def panel(width: int) -> list[Stmt]:
            inner: list[Stmt] = []
            if self.plan.pack_vector and not self.plan.ahead:
                self.tile.scratch(".panels", self.tile.panels.slot_elems)
                if not self._packs_on_use:
                    inner += self._pack(width, build.var(".panel"))
            tiles: list[Stmt] = []
            for run in runs:
                tiles += self._over_tiles(
                    run,
                    ranges,
                    lambda tile: self._packing(
                        replace(
                            tile,
                            width=width,
                            slot=self._slot(tile.run, inside, ranges, most),
                            visit=self._visit(tile.number, inside, ranges, most),
                        ),
                        inside,
                        ranges,
                    ),
                )
            tiles = self._over_free(inside, ranges, tiles)
            return [*inner, *tiles] if self.plan.pack_row else self._blocks([*inner, *tiles])

        tiles = self._over_free(outside, ranges, self._over_panels(panels, panel))
        if self.plan.pack_row:
            return self._blocks([*self._all_rows(runs, free, ranges, most), *tiles])
        return tiles

    def _all_rows(
        self,
        runs: list[Run],
        free: list[Axis],
        ranges: dict[str, tuple[Expr, Expr]],
        most: dict[str, int],
    ) -> list[Stmt]:
        """Pack all rows of a task, for all iterations of the loops that need their own."""
        slots = most[self.tile.row.name]
        for axis in free:
            slots *= most[axis.name]
        self.tile.scratch(".rows", slots * self.tile.packed_rows.slot_elems)

        stmts: list[Stmt] = []
        for run in runs:
            slot = self._slot(run, free, ranges, most)
            stmts += self.tile.pack_rows(run, self._own(run, ranges), slot, _top(run))
        return self._over_free(free, ranges, stmts)

    def _slot(
        self,
        run: Run,
        free: list[Axis],
        ranges: dict[str, tuple[Expr, Expr]],
        most: dict[str, int],
    ) -> Expr:
        """Where the packed rows of ``.tile`` are, counted from the first tile of the task."""
        return self._visit(_number(run), free, ranges, most) if self.plan.pack_row else _ZERO

    def _visit(
        self,
        tile: Expr,
        free: list[Axis],
        ranges: dict[str, tuple[Expr, Expr]],
        most: dict[str, int],
    ) -> Expr:
        """Number of a tile, counted from the first one of the task over all ``free`` loops."""
        visit: Expr = _ZERO
        for axis in free:
            number = build.sub(build.var(axis.name), build.const(axis.low))
            number = build.sub(number, ranges[axis.name][0])
            visit = build.add(build.mul(visit, build.const(most[axis.name])), number)
        visit = build.mul(visit, build.const(most[self.tile.row.name]))
        return build.add(visit, build.sub(tile, ranges[self.tile.row.name][0]))

    def _panel_blocks(
        self,
        runs: list[Run],
        free: list[Axis],
        ranges: dict[str, tuple[Expr, Expr]],
        most_panels: int,
    ) -> list[Stmt]:
        """Panels packed in groups, row by row, so that long runs of memory are read in order."""
        low, high = ranges[self.plan.vector]
        size, first = self.plan.panel_block, build.var(".first")
        group = (first, build.minimum(build.add(first, build.const(size)), high))
        self.tile.scratch(".panels", min(size, most_panels) * self.tile.panels.slot_elems)
        tiles: list[Stmt] = []
        for run in runs:
            tiles += self._over_tiles(
                run,
                ranges,
                lambda tile: self._over_panels(
                    group, lambda width: self.tile.write(replace(tile, width=width), first)
                ),
            )
        stmts = [*self._pack_together(group), *self._over_free(free, ranges, tiles)]
        return [For(".first", low, high, tuple(self._blocks(stmts)), step=size)]

    def _pack_together(self, group: tuple[Expr, Expr]) -> list[Stmt]:
        """Copy a group of panels, all of them at each step."""
        column = build.mul(build.var(".panel"), build.const(self.tile.width))
        slot = build.sub(build.var(".panel"), group[0])
        known = {self.plan.vector: column}
        copies = self._over_panels(
            group,
            lambda width: [
                self.tile.filled(j, self.tile.source(j, width, known), known, slot)
                for j in range(-(-width // self.plan.lanes))
            ],
        )
        return list(self.steps.loops(tuple(copies)))

    def _blocks(self, stmts: list[Stmt]) -> list[Stmt]:
        """The loops over blocks of the reduction, if it is cut."""
        return list(self.steps.passes(tuple(stmts)))

    def _over_panels(self, panels: tuple[Expr, Expr], inner: Inner) -> list[Stmt]:
        """The loop over panels; the last, narrower one is written apart."""
        full, rest = divmod(self.tile.vector.extent, self.tile.width)
        low, high = panels
        stmts: list[Stmt] = []
        if full:
            stop = build.minimum(high, build.const(full))
            stmts.append(For(".panel", low, stop, tuple(inner(self.tile.width))))
        if rest:
            start = build.maximum(low, build.const(full))
            stmts.append(For(".panel", start, high, tuple(inner(rest))))
        return stmts

    def _over_free(
        self, free: list[Axis], ranges: dict[str, tuple[Expr, Expr]], stmts: list[Stmt]
    ) -> list[Stmt]:
        """Loops over outputs along which only the still operand moves."""
        for axis in reversed(free):
            low, high = ranges[axis.name]
            low = build.add(low, build.const(axis.low))
            high = build.add(high, build.const(axis.low))
            stmts = [For(axis.name, low, high, tuple(stmts))]
        return stmts

    @property
    def _packs_on_use(self) -> bool:
        """Whether the first tile of a panel packs it while it computes.

        Copying alone waits for memory; between multiplications the copy costs next to nothing. It
        needs a tile that takes all steps and whose vectors lie side by side.
        """
        plan = self.plan
        packs = plan.pack_vector and not (plan.ahead or plan.row_block or plan.panel_block)
        return packs and copies_vectors(self.problem, plan.vector, plan.row)

    def _over_tiles(
        self, run: Run, ranges: dict[str, tuple[Expr, Expr]], visit: Visit
    ) -> list[Stmt]:
        """The tiles of a run that belong to this task, with rows read where they lie."""
        low, high = self._own(run, ranges)
        if run.border and run.count == 1:
            number = build.const(run.number)
            tile = Tile(run, build.const(run.start), _ZERO, self.tile.width, number=number)
            stmts = tuple(visit(tile))
            inside = build.both(
                build.compare("cmp_le", low, _ZERO), build.compare("cmp_gt", high, _ZERO)
            )
            return list(stmts) if inside == Const(True, inside.type) else [If(inside, stmts)]
        tile = Tile(run, _top(run), _ZERO, self.tile.width, number=_number(run))
        return [For(".tile", low, high, tuple(visit(tile)))]

    def _packing(
        self, tile: Tile, free: list[Axis], ranges: dict[str, tuple[Expr, Expr]]
    ) -> list[Stmt]:
        """A tile that packs the panel if it is the first to read it."""
        start, run = ranges[self.tile.row.name][0], tile.run
        if not self._packs_on_use or (run.number and start == _ZERO):
            return self.tile.write(tile)
        first = build.compare("cmp_eq", tile.number, start)
        for axis in free:
            begin = build.add(ranges[axis.name][0], build.const(axis.low))
            first = build.both(first, build.compare("cmp_eq", build.var(axis.name), begin))
        packs = tuple(self.tile.write(replace(tile, packs=True)))
        return [If(first, packs, tuple(self.tile.write(tile)))]

    def _packed_rows(
        self,
        runs: list[Run],
        panels: tuple[Expr, Expr],
        ranges: dict[str, tuple[Expr, Expr]],
        first_panel: Expr,
    ) -> list[Stmt]:
        """Groups of tiles whose rows are packed together and used by all panels."""
        stmts: list[Stmt] = []
        for run in runs:
            low, high = self._own(run, ranges)
            group_size = min(max(1, self.plan.row_block // run.size), run.count)
            self.tile.scratch(".rows", group_size * self.tile.packed_rows.slot_elems)
            start = build.var(".group")
            stop = build.minimum(build.add(start, build.const(group_size)), high)
            top, slot = _top(run), build.sub(build.var(".tile"), start)
            pack = self.tile.pack_rows(run, (start, stop), slot, top)

            def inner(
                width: int, run: Run = run, top: Expr = top, slot: Expr = slot, stop: Expr = stop
            ) -> list[Stmt]:
                body = self.tile.write(Tile(run, top, slot, width), first_panel)
                return [For(".tile", build.var(".group"), stop, tuple(body))]

            visits = self._over_panels(panels, inner)
            stmts.append(For(".group", low, high, (*pack, *visits), step=group_size))
        return stmts

    def _own(self, run: Run, ranges: dict[str, tuple[Expr, Expr]]) -> tuple[Expr, Expr]:
        """Tiles of a run that this task takes, counted from the start of the run."""
        low, high = ranges[self.tile.row.name]
        base = build.const(run.number)
        start = build.maximum(build.sub(low, base), _ZERO)
        return start, build.minimum(build.sub(high, base), build.const(run.count))

    def _pack(self, width: int, first_panel: Expr) -> list[Stmt]:
        number = build.var(".panel")
        column = build.mul(number, build.const(self.tile.width))
        slot = build.sub(number, first_panel)
        return self.tile.panels.copy(self.tile.moving, self.plan.vector, slot, column, width)


def _number(run: Run) -> Expr:
    """Number of the tile ``.tile`` of a run, counted over all runs."""
    return build.add(build.var(".tile"), build.const(run.number))


def _top(run: Run) -> Expr:
    """First row of the tile ``.tile`` of a run."""
    return build.add(build.mul(build.var(".tile"), build.const(run.size)), build.const(run.start))
