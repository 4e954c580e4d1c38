"""Writes the text of one LLVM function: names, blocks, and one instruction per distinct value."""

from __future__ import annotations

import re
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from dataclasses import field
from typing import Final, NamedTuple

from tilec.kernel.ir import INDEX, VType
from tilec.records import dataclass
from tilec_llvm.math import Definition
from tilec_llvm.types import register


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the code may rely on beside the instructions that LLVM finds for everything.

    Attributes:
        half: f16 is converted by instructions; without, LLVM would call a run-time library.
        avx512: The processor has the 512-bit instructions of AVX-512 F and DQ.
    """

    half: bool = True
    avx512: bool = False


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
class _Region:
    """A stretch of code that is entered as a whole: a kernel, a loop body, a branch.

    Attributes:
        is_loop: It is repeated.
        clobbered: Buffers that a loop writes.
        lines: Its text so far.
        values: Names of the instructions without side effect written here.
        reads: Names of the values read here, by buffer and instruction.
    """

    is_loop: bool = False
    clobbered: frozenset[str] = frozenset()
    lines: list[str] = field(default_factory=list[str])
    values: dict[str, str] = field(default_factory=dict[str, str])
    reads: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


_LOCAL: Final = re.compile(r"%[\w.]+")


class Writer:
    """The function under construction.

    Instructions are numbered by their text: the same one is written once per region, and before
    the outermost loop in which its operands do not change. So addresses of a large unrolled body
    cost nothing further on, and LLVM is spared the passes that would find this out again: it
    compiles in half the time.
    """

    def __init__(self, abilities: Abilities | None = None) -> None:
        self.abilities = Abilities() if abilities is None else abilities
        self.block = "entry"
        self.definitions: dict[str, Definition] = {}
        self.origins: dict[Hashable, int] = {}
        self._regions = [_Region()]
        self._depths: dict[str, int] = {}  # of names not known everywhere
        self._count = 0

    @property
    def lines(self) -> list[str]:
        """Text of the current region."""
        return self._regions[-1].lines

    def fresh(self, hint: str = "v") -> str:
        """A new local name; letters of ``hint`` that LLVM would have to quote are left out."""
        self._count += 1
        if hint == "v":
            return f"%v.{self._count}"
        kept = "".join(c for c in hint if c.isascii() and (c.isalnum() or c in "_."))
        return f"%{kept or 'v'}.{self._count}"

    def variable(self, hint: str) -> str:
        """A new name whose value changes with every iteration of the current loop."""
        name = self.fresh(hint)
        self._depths[name] = len(self._regions) - 1
        return name

    def pure(self, instruction: str) -> str:
        """Name of the value of an instruction without side effect, written now or before."""
        for region in reversed(self._regions):
            if instruction in region.values:
                return region.values[instruction]
        return self._write(instruction, self._home(self._depth(instruction)))

    def read(self, instruction: str, buffer: str) -> str:
        """Name of the value that an instruction reads from a buffer, read now or before."""
        for region in reversed(self._regions):
            if instruction in region.reads.get(buffer, {}):
                return region.reads[buffer][instruction]
            if buffer in region.clobbered:
                break
        lowest = self._depth(instruction)
        depth = len(self._regions) - 1
        while depth > lowest and self._is_unchanged(self._regions[depth], buffer):
            depth -= 1
        name = self._write(instruction, depth, remember=False)
        self._regions[depth].reads.setdefault(buffer, {})[instruction] = name
        return name

    def wrote(self, buffer: str) -> None:
        """What was read from a buffer so far may have changed."""
        for region in self._regions:
            region.reads.pop(buffer, None)

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
    def branch(self) -> Generator[None]:
        """What is written inside may not run, and does not dominate what follows."""
        yield from self._inside(_Region())

    @contextmanager
    def loop(self, clobbered: frozenset[str]) -> Generator[None]:
        """A loop that runs at least once; what enters it is written inside as well.

        Args:
            clobbered: Names of the buffers that it writes.
        """
        yield from self._inside(_Region(is_loop=True, clobbered=clobbered))

    def use(self, definition: Definition) -> str:
        """Symbol of a function that the module must contain."""
        for item in definition.closure():
            self.definitions[item.symbol] = item
        return f"@{definition.symbol}"

    def _inside(self, region: _Region) -> Generator[None]:
        self._regions.append(region)
        yield
        self._regions.pop()
        self.lines.extend(region.lines)

    def _write(self, instruction: str, depth: int, *, remember: bool = True) -> str:
        name = self.fresh()
        region = self._regions[depth]
        region.lines.append(f"  {name} = {instruction}")
        if remember:
            region.values[instruction] = name
        if depth:
            self._depths[name] = depth
        return name

    def depth(self, name: str) -> int:
        """The region that a name belongs to, counted from the function itself."""
        return self._depths.get(name, 0)

    def _depth(self, instruction: str) -> int:
        """Innermost region that an operand belongs to."""
        depths, deepest = self._depths, 0
        for name in _LOCAL.findall(instruction):
            depth = depths.get(name, 0)
            if depth > deepest:
                deepest = depth
        return deepest

    def _home(self, lowest: int) -> int:
        """Where an instruction is written: outside the outermost loop that allows it.

        A branch is left together with a loop around it only, lest what runs rarely runs always.
        """
        home = len(self._regions) - 1
        for depth in range(home, lowest, -1):
            if self._regions[depth].is_loop:
                home = depth - 1
        return home

    @staticmethod
    def _is_unchanged(region: _Region, buffer: str) -> bool:
        """Whether a value can be read before a region as well as in it."""
        return region.is_loop and buffer not in region.clobbered
