"""A schedule of one contraction: which loops become what, as a value that prints and parses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tiled:
    """Schedule of a sum of products around a register tile.

    Attributes:
        vector: Output loop that becomes lanes.
        row: Output loop of the other operand that is unrolled with it; None for a single row.
        rows: Iterations of ``row`` held in registers.
        lanes: Elements of one vector register.
        vectors: Registers along ``vector``; a tile is ``rows`` x ``vectors * lanes`` elements.
        pack_vector: Copy the operand along ``vector`` into contiguous panels.
        pack_row: Copy the other operand into contiguous panels.
        reduce_block: Iterations of the innermost reduction loop per pass; 0 takes all at once.
        row_block: Rows whose packed panels are kept at hand (in L2); 0 takes all.
        tasks: Independent pieces of the loop ``parallel``, one or more per thread.
        parallel: Output loop that is divided into tasks; None runs on one thread.
        ahead: The panels of the vector operand, a constant, exist before the call.
    """

    vector: str
    row: str | None
    rows: int
    lanes: int
    vectors: int
    pack_vector: bool = False
    pack_row: bool = False
    reduce_block: int = 0
    row_block: int = 0
    tasks: int = 1
    parallel: str | None = None
    ahead: bool = False

    def __str__(self) -> str:
        parts = [f"tile {self.row or '-'}={self.rows} {self.vector}={self.vectors}x{self.lanes}"]
        if self.pack_vector or self.pack_row:
            kept = [self.vector] * self.pack_vector + [str(self.row)] * self.pack_row
            parts.append(f"pack {','.join(kept)}" + (" ahead" if self.ahead else ""))
        if self.reduce_block:
            parts.append(f"reduce block {self.reduce_block}")
        if self.row_block:
            parts.append(f"row block {self.row_block}")
        if self.parallel is not None:
            parts.append(f"{self.tasks} tasks over {self.parallel}")
        return ", ".join(parts)
