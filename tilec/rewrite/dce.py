"""Dead code: values that no output needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tilec.tensor.ir import Program
from tilec.tensor.uses import needed


@dataclass(frozen=True, slots=True)
class DeadCode:
    """Drop nodes from which no output is computed.

    Assumes that every mistake in the program was reported before: a dead statement is checked like
    any other. Guarantees that inputs, outputs and their names stay as they are.
    """

    name: ClassVar[str] = "dead-code"

    def apply(self, program: Program) -> Program:
        """The program without dead nodes; the same object when there are none."""
        live = needed(program)
        kept = tuple(node for node in program.nodes if node.name in live)
        return program if len(kept) == len(program.nodes) else replace(program, nodes=kept)
