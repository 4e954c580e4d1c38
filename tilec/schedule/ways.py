"""Spaces of kernels that can be computed in several ways: by tiles or streams, by transforms, in
several kernels, block by block or apart.

Each way has a space of its own; what the model likes best of each comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product, zip_longest
from typing import Final

from tilec.records import dataclass
from tilec.schedule.fourier import FourierPlan, illegal_fourier
from tilec.schedule.space import Space
from tilec.schedule.transformed import Transform, TransformPlan
from tilec.schedule.values import Blocked, KernelSchedule, Rewritten
from tilec.schedule.winograd import GROUPS, WinogradPlan, illegal_winograd
from tilec.target.core import Core
from tilec.tensor.fourier import Fourier
from tilec.tensor.transformed import Transformed
from tilec.tensor.winograd import Winograd

_SHARES: Final = (0.5, 0.7, 0.85, 1.2, 1.5, 2.0)
"""Sizes of blocks beside one, as shares of it."""

_ROWS: Final = (-2, -1, 1, 2)
_WIDTHS: Final = (1, 2, 3, 4)
_LATE: Final = (0, 8, 16, 32, 64)
_LATE_ROWS: Final = 4
_LENGTHS: Final = (8, 12, 16, 20, 24, 32, 40, 48, 64)
_METHOD: Final = re.compile(r"FFT\((\d+)x(\d+),(\d+)x(\d+)\)")


@dataclass(frozen=True, slots=True)
class Transforms:
    """Transforms of tiles. Whether others than these methods fit turns out when they are compiled.

    Attributes:
        found: The best of each method by prediction, the fastest first.
        core: The target.
        size: Bytes of an element.
        workspace_bytes: Limit of scratch memory.
    """

    found: tuple[Transform, ...]
    core: Core
    size: int
    workspace_bytes: int

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        return tuple(plan for _, plan in self.found)

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if not isinstance(plan, TransformPlan):
            return ()
        found: list[KernelSchedule] = [replace(plan, block=each) for each in _beside(plan.block)]
        found += [replace(plan, rows=plan.rows + step) for step in _ROWS if plan.rows + step > 0]
        found += [replace(plan, vectors=each) for each in _WIDTHS if each != plan.vectors]
        if isinstance(plan, WinogradPlan):
            found += [
                replace(plan, parallel=way) for way in (None, "tiles") if way != plan.parallel
            ]
            found += [replace(plan, group=each) for each in GROUPS if each != plan.group]
            late = {"vectors": 1, "group": 1, "rows": min(plan.rows, _LATE_ROWS)}
            found += [replace(plan, late=each, **late) for each in _LATE if each != plan.late]
            found += [
                replace(plan, block=problem.tile_count, parallel="filters")
                for problem, _ in self.found
                if problem.method == plan.method
            ]
        else:
            found += _other_lengths(plan)
            found.append(replace(plan, parallel=not plan.parallel))
        return [each for each in dict.fromkeys(found) if each != plan and self._is_legal(each)]

    def _is_legal(self, plan: KernelSchedule) -> bool:
        for problem, _ in self.found:
            if isinstance(plan, TransformPlan) and problem.method == plan.method:
                # Panels of weights are as wide as a register tile.
                made = replace(problem, width=plan.vectors * plan.lanes)
                if isinstance(made, Winograd) and isinstance(plan, WinogradPlan):
                    made = replace(made, group=plan.group, late=plan.late > 0)
                return self._illegal(made, plan) is None
        return True

    def _illegal(self, problem: Transformed, plan: TransformPlan) -> str | None:
        limits = self.core, self.size, self.workspace_bytes
        if isinstance(problem, Winograd) and isinstance(plan, WinogradPlan):
            return illegal_winograd(problem, plan, *limits)
        assert isinstance(problem, Fourier)
        assert isinstance(plan, FourierPlan)
        return illegal_fourier(problem, plan, *limits)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sizes of the blocks of kernels that go block by block together.

    Attributes:
        first: The model's choice.
    """

    first: Blocked

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        return (self.first,)

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if not isinstance(plan, Blocked):
            return ()
        return [replace(plan, size=each) for each in _beside(plan.size)]


@dataclass(frozen=True, slots=True)
class Under:
    """Schedules of the last kernel of those that a method makes.

    Attributes:
        method: The method.
        space: What that kernel can do; None leaves it to the model.
    """

    method: str
    space: Space | None

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if self.space is None:
            return (Rewritten(self.method),)
        return [*self._wrapped(self.space.ranked())]

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if not isinstance(plan, Rewritten) or plan.method != self.method:
            return ()
        if plan.then is None or self.space is None:
            return ()
        return [*self._wrapped(self.space.near(plan.then))]

    def _wrapped(self, plans: Iterable[KernelSchedule]) -> Iterator[Rewritten]:
        for plan in plans:
            if not isinstance(plan, Rewritten):
                yield Rewritten(self.method, plan)


@dataclass(frozen=True, slots=True)
class Ways:
    """Several ways.

    Attributes:
        heads: What the model would take of each.
        spaces: The ways.
    """

    heads: tuple[KernelSchedule, ...]
    spaces: tuple[Space, ...]

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``: the heads, then one of each way in turn."""
        found = [space.ranked() for space in self.spaces]
        turns = (each for turn in zip_longest(*found) for each in turn if each is not None)
        return list(dict.fromkeys((*self.heads, *turns)))

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        found = (each for space in self.spaces for each in space.near(plan))
        return list(dict.fromkeys(found))


def _beside(size: int) -> list[int]:
    """Other sizes of a block."""
    sizes = dict.fromkeys(max(1, round(size * share)) for share in _SHARES)
    return [each for each in sizes if each != size]


def _other_lengths(plan: FourierPlan) -> Iterator[FourierPlan]:
    """The same with longer or shorter transforms, along either window or along both."""
    match = _METHOD.fullmatch(plan.method)
    if match is None:
        return
    *outputs, high, wide = map(int, match.groups())
    own = (outputs[0] + high - 1, outputs[1] + wide - 1)
    near = [_nearest(length) for length in own]
    for first, second in product(*near):
        if (first, second) != own and first >= high and second >= wide:
            method = f"FFT({first - high + 1}x{second - wide + 1},{high}x{wide})"
            yield replace(plan, method=method)


def _nearest(length: int) -> list[int]:
    """A length, and those of the list that come before and after it."""
    below = [each for each in _LENGTHS if each < length][-1:]
    above = [each for each in _LENGTHS if each > length][:1]
    return [*below, length, *above]
