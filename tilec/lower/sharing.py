"""Kernels shared: units that differ only in the names of their tensors are lowered once.

A network computes the same layer many times. Two units are the same when one becomes the other by
renaming values, and their values have the same types and lie alike in memory; then the second is
another call of the kernels of the first.

Assumes that lowering a unit depends on nothing else about it. Guarantees the same calls in the same
order, each with the buffers of its own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Final, cast

from tilec.errors import InternalError
from tilec.kernel.ir import Buffer, Call
from tilec.lower.decide import Decision, kernel_name
from tilec.lower.units import BlockGroup, Unit, nodes_of, stored
from tilec.lower.work import Lowering, target_of
from tilec.records import dataclass
from tilec.tensor.ir import Constant, Contraction, Reshape

SHARE: Final = "share"
"""Name of the pass."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What lowering a unit added.

    Attributes:
        name: Name of its kernel; further ones begin with it.
        calls: The calls, and of each the numbers of its buffers, or the name of what is no value.
        scratch: Buffers in the workspace of its own.
        decisions: What was decided.
    """

    name: str
    calls: tuple[tuple[Call, tuple[int | str, ...]], ...]
    scratch: tuple[Buffer, ...]
    decisions: tuple[Decision, ...]


@dataclass(slots=True)
class Sharing:
    """Recognises units that were lowered before.

    Attributes:
        work: What lowering knows and makes.
        decisions: What was decided so far, by whoever lowers.
    """

    work: Lowering
    decisions: list[Decision]
    _made: dict[Hashable, _Made] = field(default_factory=dict[Hashable, _Made])

    def lower(self, unit: Unit, write: Callable[[], bool]) -> bool:
        """Call the kernels of an equal unit, or ``write`` new ones; False if there are none."""
        numbering = self._numbering(unit)
        if numbering is None:
            return write()
        found = self._made.get(numbering.key)
        if found is not None:
            self._call_again(unit, found, numbering.buffers)
            return True
        work = self.work
        begin = len(work.calls), len(work.scratch), len(self.decisions)
        if not write():
            return False
        calls, scratch = work.calls[begin[0] :], work.scratch[begin[1] :]
        at = {name: number for number, name in enumerate(numbering.buffers)}
        own = {each.name for each in scratch}
        if any(name not in at and name not in own for call in calls for name in call.args):
            raise InternalError(f"a kernel of {unit.result.name} takes what its nodes do not name")
        self._made[numbering.key] = _Made(
            kernel_name(work.program, unit),
            tuple((call, tuple(at.get(name, name) for name in call.args)) for call in calls),
            tuple(scratch),
            tuple(self.decisions[begin[2] :]),
        )
        return True

    def _call_again(self, unit: Unit, found: _Made, buffers: Sequence[str]) -> None:
        work, name = self.work, kernel_name(self.work.program, unit)
        own = {each.name: f"{each.name}.{name}" for each in found.scratch}
        work.scratch += [replace(each, name=own[each.name]) for each in found.scratch]
        for call, args in found.calls:
            passed = tuple(buffers[a] if isinstance(a, int) else own.get(a, a) for a in args)
            title = f"{name}{call.name.removeprefix(found.name)}"
            work.calls.append(Call(call.kernel, passed, title))
        for each in found.decisions:
            work.decide(replace(each, kernel=f"{name}{each.kernel.removeprefix(found.name)}"))

    def _numbering(self, unit: Unit) -> _Numbering | None:
        """What a unit is but for the names of its values; None where more than that counts."""
        work = self.work
        if SHARE in work.disable:
            return None
        nodes = nodes_of(unit)
        for node in nodes:
            if isinstance(node, Reshape | Constant) or node.name in work.defaults:
                return None
            if isinstance(node, Contraction) and node.default is not None:
                return None
        kept = unit.kept if isinstance(unit, BlockGroup) else ()
        for each in unit.units if isinstance(unit, BlockGroup) else (unit,):
            for node in stored(each):
                if node.name not in kept:
                    target_of(work, node)
        numbering = _Numbering(work)
        transforms = [work.transforms[node.name] for node in nodes if node.name in work.transforms]
        weights = [method.weights for method, _ in transforms]
        panels = tuple(work.panels.get(node.name, "") for node in nodes)
        parts = (unit, transforms, weights, panels, self._wanted(unit))
        numbering.key = (*map(numbering.of, parts), numbering.described())
        return numbering

    def _wanted(self, unit: Unit) -> tuple[Hashable, ...]:
        """What a caller asks of the kernels of a unit."""
        units = (*unit.units, unit) if isinstance(unit, BlockGroup) else (unit,)
        names = [kernel_name(self.work.program, each) for each in units]
        asked = tuple(
            (at, asked.removeprefix(name), wanted)
            for at, name in enumerate(names)
            for asked, wanted in self.work.schedule.items()
            if asked in ("", name) or asked.startswith(f"{name}.")
        )
        return (*asked, *(self.work.rewritten.get(name) for name in names))


class _Numbering:
    """Replaces the names of values by numbers, in the order in which they occur."""

    def __init__(self, work: Lowering) -> None:
        self.key: Hashable = ()
        self.buffers: list[str] = []
        self._work = work
        self._numbers: dict[str, int] = {}

    def of(self, value: object) -> Hashable:
        """A value of the IR as something to compare."""
        if isinstance(value, str):
            if value not in self._work.types and value not in self._work.places:
                return value
            return ("value", self._numbers.setdefault(value, len(self._numbers)))
        if isinstance(value, float):
            return repr(value)  # 0.0 is not -0.0 here, and 1.0 is not 1
        if isinstance(value, tuple | list):
            return tuple(map(self.of, cast("tuple[object, ...]", value)))
        if isinstance(value, frozenset):
            return tuple(sorted(map(repr, map(self.of, cast("frozenset[object]", value)))))
        if is_dataclass(value) and not isinstance(value, type):
            return (
                type(value).__name__,
                *(self.of(getattr(value, n)) for n in _fields(type(value))),
            )
        return cast("Hashable", value)

    def described(self) -> Hashable:
        """Types of the values, and how they lie in memory."""
        at: dict[str, int] = {}
        found: list[Hashable] = []
        for name in self._numbers:
            place = self._work.places.get(name)
            if place is None:
                found.append((self._work.types.get(name),))
                continue
            number = at.setdefault(place.buffer.name, len(at))
            plain = replace(place.buffer, name="")
            found.append((self._work.types.get(name), place.strides, plain, number))
        self.buffers = list(at)
        return tuple(found)


@cache
def _fields(kind: type[object]) -> tuple[str, ...]:
    """The fields of a node but for its place in the text."""
    return tuple(each.name for each in fields(cast("type[Any]", kind)) if each.name != "span")
