"""Proofs that iterations of a parallel loop do not meet: no element that one of them writes is
written or read by another.

Two accesses meet where their offsets are equal. With the loop variables of one access unprimed and
those of the other primed, that is one linear equation. Cheap first: every variable is written as a
multiple of the parallel loop's plus *digits* of known ranges, and the equation is searched for a
solution in which the two iterations differ, largest factors first, as one compares two numbers
digit by digit. What is left is asked of isl, which knows all conditions and has a counterexample
if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from functools import cached_property
from itertools import combinations_with_replacement
from math import gcd, inf
from typing import Final, TypeAlias

from tilec.kernel.bounds import Bound, Facts, Linear, sample
from tilec.kernel.ir import Load, Stmt, Store
from tilec.kernel.printer import print_statement
from tilec.records import dataclass

MAX_STEPS: Final = 2000
"""Values tried for the digits of one equation before isl is asked."""

_LABEL: Final = re.compile(r"\bx\d+\b|\blane\b")

Interval: TypeAlias = "tuple[Bound, Bound]"


@dataclass(frozen=True, slots=True)
class Access:
    """One access of a parallel loop to memory that its iterations share.

    Attributes:
        buffer: Name of the buffer.
        writes: Whether it is a store.
        offset: Its offset, in the lane that is looked at.
        facts: What holds there.
        stmt: The statement.
    """

    buffer: str
    writes: bool
    offset: Linear
    facts: Facts
    stmt: Stmt


@dataclass(slots=True)
class ParallelLoop:
    """Accesses of all iterations of one parallel loop.

    Attributes:
        name: Name of the loop variable.
        label: Its isl name.
        outer: isl names of what is the same in all iterations.
        watched: Buffers that iterations share and that one of them writes.
    """

    name: str
    label: str
    outer: frozenset[str]
    watched: frozenset[str]
    accesses: list[Access] = field(default_factory=list[Access])

    def add(self, access: Load | Store, offset: Linear, facts: Facts, stmt: Stmt) -> None:
        """Look at an access of an iteration."""
        if access.buffer in self.watched and not facts.dead:
            writes = isinstance(access, Store)
            self.accesses.append(Access(access.buffer, writes, offset, facts, stmt))

    def race(self) -> str | None:
        """Two iterations that meet, and where; None when there are none."""
        groups: dict[tuple[object, ...], _Group] = {}
        for access in self.accesses:
            conditions = tuple(access.facts.conditions)
            key = (access.buffer, access.writes, access.offset.terms, conditions)
            group = groups.setdefault(key, _Group(self, access))
            group.members.setdefault(access.offset.const, access)
        for first, second in combinations_with_replacement(groups.values(), 2):
            if first.buffer == second.buffer and (first.writes or second.writes):
                found = self._meeting(first, second)
                if found is not None:
                    return found
        return None

    def _meeting(self, first: _Group, second: _Group) -> str | None:
        cases = list(_cases(first, second))
        near = (min(first.members) - max(second.members), max(first.members) - min(second.members))
        if not any(all(_is_solvable(e.plus(1, near), 0) for e in case) for case in cases):
            return None
        seen: set[int] = set()
        for a in first.members.values():
            for b in second.members.values():
                gap = b.offset.const - a.offset.const
                if gap in seen:
                    continue
                seen.add(gap)
                if any(all(_is_solvable(e, gap) for e in case) for case in cases):
                    found = self._counterexample(a, b)
                    if found is not None:
                        return found
        return None

    def _counterexample(self, first: Access, second: Access) -> str | None:
        """Ask isl for two iterations in which two accesses meet."""
        names = [label for label in first.facts.variables if label in self.outer]
        rules: list[str] = []
        for access, prefix in ((first, "a"), (second, "b")):
            labels = [label for label in access.facts.variables if label not in self.outer]
            names += [prefix + label for label in labels]
            rules += [self._renamed(rule, prefix) for rule in access.facts.conditions]
            rules.append(f"element = {self._renamed(access.offset.text, prefix)}")
        rules.append(f"a{self.label} != b{self.label}")
        point = sample(("element", *names), dict.fromkeys(rules))
        if point is None:
            return None
        iterations = [f"{self.name} = {point[prefix + self.label]}" for prefix in "ab"]
        (writer, at), (other, there) = sorted(
            zip((first, second), iterations, strict=True), key=lambda pair: not pair[0].writes
        )
        verb = "writes" if other.writes else "reads"
        return (
            f"the iteration {at} writes {writer.buffer}[{point['element']}], which the iteration "
            f"{there} {verb}: {_first_line(writer.stmt)} and {_first_line(other.stmt)}"
        )

    def _renamed(self, text: str, prefix: str) -> str:
        """A text of isl about one of two iterations."""

        def rename(match: re.Match[str]) -> str:
            label = match.group()
            return label if label in self.outer else prefix + label

        return _LABEL.sub(rename, text)

    def is_outer(self, atom: str) -> bool:
        """Whether an atom has the same value in all iterations."""
        return all(label in self.outer for label in _LABEL.findall(atom))


def _first_line(stmt: Stmt) -> str:
    return print_statement(stmt).splitlines()[0].strip()


@dataclass(frozen=True, slots=True)
class _Digit:
    """``scale * p + n``, where p is the parallel variable and n in ``offset``; it is in ``all``."""

    scale: int
    offset: Interval
    all: Interval

    def within(self, p: Interval) -> Interval:
        """Its values for some range of the parallel variable."""
        return _common(self.all, _sum(_scaled(p, self.scale), self.offset))


@dataclass(frozen=True, slots=True)
class _Form:
    """``scale * p + sum(factor * atom) + sum(factor * digit) + const``.

    Atoms are the same in all iterations. Digits take any value that they may have.
    """

    scale: int = 0
    atoms: tuple[tuple[str, int], ...] = ()
    digits: tuple[tuple[int, _Digit], ...] = ()
    const: int = 0

    def plus(self, other: _Form, factor: int = 1) -> _Form:
        atoms = dict(self.atoms)
        for atom, times in other.atoms:
            atoms[atom] = atoms.get(atom, 0) + factor * times
        added = tuple((factor * times, digit) for times, digit in other.digits)
        return _Form(
            self.scale + factor * other.scale,
            tuple((atom, times) for atom, times in atoms.items() if times),
            (*self.digits, *added),
            self.const + factor * other.const,
        )

    @property
    def slope(self) -> int:
        """Factor of the parallel variable, that in digits included."""
        return self.scale + sum(times * digit.scale for times, digit in self.digits)

    @property
    def reach(self) -> Bound:
        """How far it can be from ``slope * p``."""
        return sum(abs(times) * (d.offset[1] - d.offset[0]) for times, d in self.digits)


class _Resolver:
    """Writes offsets over the parallel variable and digits."""

    def __init__(self, loop: ParallelLoop, facts: Facts) -> None:
        self.loop, self.facts = loop, facts
        self.known: dict[str, _Form] = {}

    def form(self, linear: Linear) -> _Form:
        total = _Form(const=linear.const)
        for atom, factor in linear.terms:
            if atom not in self.known:
                self.known[atom] = self._atom(atom)
            total = total.plus(self.known[atom], factor)
        return total

    def _atom(self, atom: str) -> _Form:
        if atom == self.loop.label:
            return _Form(1)
        if self.loop.is_outer(atom):
            return _Form(atoms=((atom, 1),))
        interval = self.facts.interval(atom)
        options = [_Form(digits=((1, _Digit(0, interval, interval)),))]
        if atom in self.facts.loops:
            options = [*self._between(atom), self._counted(atom), *options]
        return min(options, key=lambda option: option.reach)

    def _counted(self, atom: str) -> _Form:
        """``first + step * n``."""
        values = self.facts.loops[atom]
        length = self.facts.highest(values.end.plus(values.first, -1), self._highest)
        numbers = (0, max(0, length if length == inf else (length - 1) // values.step))
        count = _Form(digits=((values.step, _Digit(0, numbers, numbers)),))
        return self.form(values.first).plus(count)

    def _between(self, atom: str) -> Iterator[_Form]:
        """``scale * p + n``, from what bounds the loop on both sides."""
        values, facts = self.facts.loops[atom], self.facts
        ends = (*facts.variants(values.first), *facts.variants(values.end))
        for scale in sorted({self.form(end).slope for end in ends} - {0}):
            moving = Linear(((self.loop.label, scale),))
            low = -facts.highest(moving.plus(values.first, -1), self._highest)
            high = facts.highest(values.end.plus(moving, -1), self._highest) - 1
            if low <= high:
                digit = _Digit(scale, (low, high), facts.interval(atom))
                yield _Form(digits=((1, digit),))

    def _highest(self, linear: Linear) -> Bound:
        """Highest value of a form over all iterations."""
        form = self.form(linear)
        parts = [(form.slope, self.facts.interval(self.loop.label))]
        parts += [(times, self.facts.interval(atom)) for atom, times in form.atoms]
        parts += [(times, digit.offset) for times, digit in form.digits]
        return form.const + sum(_scaled(interval, times)[1] for times, interval in parts if times)


@dataclass
class _Group:
    """Accesses that differ by a constant; ``members`` by that constant."""

    loop: ParallelLoop
    one: Access
    members: dict[int, Access] = field(default_factory=dict[int, Access])

    @property
    def buffer(self) -> str:
        return self.one.buffer

    @property
    def writes(self) -> bool:
        return self.one.writes

    @property
    def facts(self) -> Facts:
        return self.one.facts

    @cached_property
    def form(self) -> _Form:
        """The offset without the constant."""
        return _Resolver(self.loop, self.facts).form(Linear(self.one.offset.terms))

    @property
    def iterations(self) -> Interval:
        """Range of the parallel variable."""
        return self.facts.interval(self.loop.label)


@dataclass(frozen=True, slots=True)
class _Equation:
    """``sum(factor * digit) = rest - const``, by factor; factors are positive."""

    digits: tuple[tuple[int, Interval], ...]
    const: int = 0

    def plus(self, factor: int, interval: Interval) -> _Equation:
        """With one more digit."""
        return _Equation(_merged((*self.digits, (factor, interval))), self.const)


def _cases(first: _Group, second: _Group) -> Iterator[tuple[_Equation, _Equation]]:
    """Equations for ``first - second``: two views, of which each holds where they meet.

    Once with the iteration p of the first before q of the second, once after it.
    """
    gap = first.form.plus(second.form, -1)
    atoms = [
        (times, _common(first.facts.interval(atom), second.facts.interval(atom)))
        for atom, times in gap.atoms
    ]
    whole = _difference(first.iterations, second.iterations)
    for sign in ((whole[0], min(whole[1], -1)), (max(whole[0], 1), whole[1])):
        q = _common(second.iterations, _difference(first.iterations, sign))
        p = _common(first.iterations, _sum(q, sign))
        if sign[0] <= sign[1] and p[0] <= p[1] and q[0] <= q[1]:
            apart = [(times, digit.offset) for times, digit in gap.digits]
            apart += [(gap.slope, q), (first.form.slope, sign)]
            together = _paired(first.form, second.form, p, q, sign)
            together += [(gap.scale, q), (first.form.scale, sign)]
            yield (
                _Equation(_merged((*atoms, *apart)), gap.const),
                _Equation(_merged((*atoms, *together)), gap.const),
            )


def _paired(
    first: _Form, second: _Form, p: Interval, q: Interval, apart: Interval
) -> list[tuple[int, Interval]]:
    """Differences of digits that move alike with the parallel variable; the others as they are."""
    found: list[tuple[int, Interval]] = []
    left = list(second.digits)
    for times, digit in first.digits:
        value = digit.within(p)
        twin = next((e for e in left if e[0] == times and e[1].scale == digit.scale), None)
        if twin is not None:
            left.remove(twin)
            between = _sum(_scaled(apart, digit.scale), _difference(digit.offset, twin[1].offset))
            value = _common(_difference(value, twin[1].within(q)), between)
        found.append((times, value))
    return [*found, *((-times, digit.within(q)) for times, digit in left)]


def _sum(first: Interval, second: Interval) -> Interval:
    return first[0] + second[0], first[1] + second[1]


def _difference(first: Interval, second: Interval) -> Interval:
    return first[0] - second[1], first[1] - second[0]


def _common(first: Interval, second: Interval) -> Interval:
    return max(first[0], second[0]), min(first[1], second[1])


def _merged(parts: Iterable[tuple[int, Interval]]) -> tuple[tuple[int, Interval], ...]:
    """One digit per positive factor, largest first: a sum of intervals is an interval."""
    found: dict[int, Interval] = {}
    for factor, interval in parts:
        if factor:
            low, high = _scaled(interval, 1 if factor > 0 else -1)
            before = found.get(abs(factor), (0, 0))
            found[abs(factor)] = (before[0] + low, before[1] + high)
    return tuple(sorted(found.items(), reverse=True))


def _scaled(interval: Interval, factor: int) -> Interval:
    if factor == 0:
        return 0, 0
    low, high = factor * interval[0], factor * interval[1]
    return (low, high) if factor > 0 else (high, low)


def _is_solvable(equation: _Equation, rest: int) -> bool:
    """Whether some digits make ``rest``; True, too, where that takes too long to tell."""
    digits = equation.digits
    reaches: list[Interval] = [(0, 0)]
    divisors = [0]
    for factor, interval in reversed(digits):
        low, high = _scaled(interval, factor)
        reaches.append((reaches[-1][0] + low, reaches[-1][1] + high))
        divisors.append(gcd(divisors[-1], factor))
    reaches.reverse()
    divisors.reverse()
    left = [(0, rest - equation.const)]
    for _ in range(MAX_STEPS):
        if not left:
            return False
        depth, wanted = left.pop()
        low, high = reaches[depth]
        if not low <= wanted <= high or (wanted % divisors[depth] if divisors[depth] else wanted):
            continue
        if depth == len(digits):
            return True
        factor, (least, most) = digits[depth]
        below, above = reaches[depth + 1]
        if above < inf:  # factor * value >= wanted - above
            least = max(least, -((above - wanted) // factor))
        if below > -inf:
            most = min(most, (wanted - below) // factor)
        if least == -inf or most == inf or most - least > MAX_STEPS:
            return True
        left += [(depth + 1, wanted - factor * value) for value in range(int(least), int(most) + 1)]
    return True
