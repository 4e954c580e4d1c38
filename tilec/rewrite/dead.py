"""Removes what no output needs."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tilec.records import dataclass
from tilec.tensor.ir import Program, operands


@dataclass(frozen=True, slots=True)
class DropDead:
    """Removes nodes whose value reaches no output.

    Assumes nothing: a faulty statement was reported when sizes were bound, whether it is needed or
    not. Guarantees that inputs and outputs stay, in their order.
    """

    name: ClassVar[str] = "drop-dead"

    def apply(self, program: Program) -> Program:
        """The program without those nodes; the same object when there are none."""
        needed = {output.value for output in program.outputs}
        for node in reversed(program.nodes):
            if node.name in needed:
                needed.update(operands(node))
        kept = tuple(node for node in program.nodes if node.name in needed)
        return program if len(kept) == len(program.nodes) else replace(program, nodes=kept)
