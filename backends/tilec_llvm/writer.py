"""Writes the text of one LLVM function: names, blocks, and one instruction per distinct value."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tilec.kernel.ir import INDEX, VType
from tilec_llvm.math import Definition
from tilec_llvm.types import register


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the code may rely on beside the instructions that LLVM finds for everything.

    Attributes:
        half: f16 is converted by instructions; without, LLVM would call a run-time library.
    """

    half: bool = True


class Value(NamedTuple):
    """An operand: a constant or the name of an instruction, and what it is.

    ``known`` is the value of an index that is a constant.
    """

    text: str
    type: VType
    known: int | None = None

    @property
    def llvm(self) -> str:
        """The LLVM type."""
        return register(self.type)

    @property
    def typed(self) -> str:
        """Type and operand, as instructions list them."""
        return f"{register(self.type)} {self.text}"


def known_index(value: int) -> Value:
    """An index constant."""
    return Value(str(value), INDEX, value)


@dataclass(slots=True)
class Writer:
    """The function under construction.

    Pure instructions are numbered by their text: the same instruction is written once per region
    that it dominates, so equal addresses of a large unrolled body cost nothing further on.
    """

    abilities: Abilities = field(default_factory=Abilities)
    lines: list[str] = field(default_factory=list[str])
    block: str = "entry"
    definitions: dict[str, Definition] = field(default_factory=dict[str, Definition])
    metadata: list[str] = field(default_factory=list[str])
    _seen: list[dict[str, str]] = field(default_factory=lambda: [dict[str, str]()])
    _count: int = 0

    def fresh(self, hint: str = "v") -> str:
        """A new local name; letters of ``hint`` that LLVM would have to quote are left out."""
        self._count += 1
        kept = "".join(c for c in hint if c.isascii() and (c.isalnum() or c in "_."))
        return f"%{kept or 'v'}.{self._count}"

    def pure(self, instruction: str) -> str:
        """Name of the value of an instruction without side effect, written now or before."""
        for seen in reversed(self._seen):
            if instruction in seen:
                return seen[instruction]
        name = self.effect(instruction)
        self._seen[-1][instruction] = name
        return name

    def effect(self, instruction: str) -> str:
        """Append an instruction that reads memory, and name its value."""
        name = self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        """Append an instruction without value."""
        self.lines.append(f"  {instruction}")

    def open(self, label: str) -> None:
        """Go on in a new block; the current one has been terminated. ``label`` is without %."""
        self.lines.append(f"{label}:")
        self.block = label

    def label(self, hint: str) -> str:
        """A new block label, without %."""
        return self.fresh(hint)[1:]

    @contextmanager
    def region(self) -> Generator[None]:
        """What is written inside does not dominate what follows."""
        self._seen.append({})
        try:
            yield
        finally:
            self._seen.pop()

    def use(self, definition: Definition) -> str:
        """Symbol of a function that the module must contain."""
        for item in definition.closure():
            self.definitions[item.symbol] = item
        return f"@{definition.symbol}"
