"""Finite differences in float64, and how far a derivative is from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from tilec.dtypes import BF16, F16, F32, F64, DType
from tilec.errors import GradientError
from tilec.program.derive import Open, derive
from tilec.program.frontend import frontend
from tilec.program.function import Function
from tilec.records import dataclass
from tilec.runtime.arrays import Array, spec_of
from tilec.runtime.stored import elements
from tilec.source import Source

if TYPE_CHECKING:
    from tilec.tensor.ir import Program

Values: TypeAlias = "NDArray[Any]"

TOLERANCES: Final = {F64: 1e-6, F32: 2e-3, F16: 3e-2, BF16: 2e-1}
"""Largest error relative to the largest element of a gradient, by the narrowest float type that
the function computes in. Those of the narrow types are what rounding between two statements may
cost.
"""

_STEP: Final = 1e-5
"""Step of central differences in f64: they are off by about its square, and by 1e-16 over it."""

_KINK: Final = 1e-3
"""Difference of the slopes on both sides, relative to the gradient, that no curvature explains."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What ``check_grad`` found for one input.

    Attributes:
        input: Name of the input.
        elements: How many elements were compared.
        kinks: How many were left out, since the slopes on their two sides differ.
        error: The largest error, relative to the largest element of the gradient.
        worst: Where that is.
    """

    input: str
    elements: int
    kinks: int
    error: float
    worst: tuple[int, ...]


class Differences:
    """A function in float64 and its values near a point.

    Attributes:
        cotangents: The weights of the float outputs, in their own types: random, or 1.
        allowed: The error that the narrowest float of the arrays and of the function allows.
    """

    def __init__(
        self, f: Function, given: Sequence[Array], random: np.random.Generator | None
    ) -> None:
        self._names = [each.name for each in f.inputs]
        self._random = random or np.random.default_rng(0)
        self._function, inner = _widened(f)
        outer = {spec_of(array).dtype for array in given}
        # A float that the header leaves open is that of the arrays.
        floats = (outer | inner) & TOLERANCES.keys()
        self.allowed = max(map(TOLERANCES.__getitem__, floats), default=TOLERANCES[F64])
        self._at: list[Values] = [
            array.astype(np.float64) if spec_of(array).dtype.is_float else array for array in given
        ]
        narrow = several(f(*given))
        self.cotangents = [
            _weights(random, array.shape).astype(array.dtype)
            for array in narrow
            if spec_of(array).dtype.is_float
        ]
        self._weights = [array.astype(np.float64) for array in self.cotangents]
        self._value = self._evaluate()
        total = sum(
            float(np.sum(np.abs(v * w))) for v, w in zip(self._value, self._weights, strict=True)
        )
        # What rounding of the outputs does to a slope.
        self._noise = 1e-15 * max(total, 1e-6) / _STEP

    def judge_tangents(self, tangents: Sequence[Values], changes: Mapping[int, Values]) -> None:
        """Hold the tangents of the outputs against the change along a direction.

        Args:
            tangents: What was derived.
            changes: The direction, by the position of the inputs that change.

        Raises:
            GradientError: the weighted sum of the tangents is wrong.
        """
        kept = list(self._at)

        def moved(step: float) -> float:
            for at, change in changes.items():
                self._at[at] = kept[at] + step * change.astype(np.float64)
            return self._change(self._evaluate())

        right, left = moved(_STEP) / _STEP, -moved(-_STEP) / _STEP
        self._at = kept
        parts = [np.sum(t * w) for t, w in zip(tangents, self._weights, strict=True)]
        found = float(sum(parts))
        scale = max(abs(right), abs(left), abs(found), self._noise / self.allowed)
        if abs(right - left) > _KINK * scale:
            return
        if abs(found - (left + right) / 2) > self.allowed * scale:
            raise GradientError(
                f"the tangents sum up to {found:.6g}, but finite differences give "
                f"{(left + right) / 2:.6g}"
            )

    def judge(self, position: int, gradient: Values, allowed: float, samples: int) -> Judged:
        """Compare the elements of one gradient.

        Raises:
            GradientError: one is wrong.
        """
        name, array = self._names[position], self._at[position]
        if gradient.shape != array.shape:
            raise GradientError(f"the gradient of {name} has the shape {list(gradient.shape)}")
        places = self._places(array, samples)
        slopes = [self._slopes(position, place) for place in places]
        scale = max((abs(left + right) / 2 for left, right in slopes), default=0.0)
        scale = max(scale, float(np.abs(gradient.astype(np.float64)).max(initial=0.0)))
        scale = max(scale, self._noise / allowed)
        worst, error, kinks, expected = (), 0.0, 0, 0.0
        for place, (left, right) in zip(places, slopes, strict=True):
            if abs(left - right) > _KINK * scale:
                kinks += 1
                continue
            off = abs(float(gradient[place]) - (left + right) / 2) / scale
            if not off <= error:
                worst, error, expected = place, off, (left + right) / 2
        if not error <= allowed:
            spelled = f"[{', '.join(map(str, worst))}]"
            raise GradientError(
                f"the gradient of {name} is wrong at {spelled}: it is "
                f"{float(gradient[worst]):.6g}, but finite differences give {expected:.6g}",
                help=f"the error is {error:.2g} of the largest element, {allowed:g} is allowed",
            )
        return Judged(name, len(places) - kinks, kinks, error, worst)

    def _places(self, array: Values, samples: int) -> list[tuple[int, ...]]:
        if array.size <= samples:
            return [tuple(map(int, place)) for place in np.ndindex(array.shape)]
        chosen = np.sort(self._random.choice(array.size, samples, replace=False))
        axes = np.unravel_index(chosen, array.shape)
        return list(zip(*(axis.tolist() for axis in axes), strict=True))

    def _slopes(self, position: int, place: tuple[int, ...]) -> tuple[float, float]:
        """The slopes to the left and to the right of an element."""
        array = self._at[position]
        before = float(array[place])
        step = _STEP * max(1.0, abs(before))
        moved = array.copy()
        self._at[position] = moved
        moved[place] = before + step
        right = self._change(self._evaluate()) / (float(moved[place]) - before)
        moved[place] = before - step
        left = self._change(self._evaluate()) / (float(moved[place]) - before)
        self._at[position] = array
        return left, right

    def _change(self, values: list[Values]) -> float:
        """The weighted change since the beginning; the difference comes first, to keep digits."""
        total = 0.0
        for value, start, weight in zip(values, self._value, self._weights, strict=True):
            total += float(np.sum((value - start) * weight))
        return total

    def _evaluate(self) -> list[Values]:
        found = several(self._function(*self._at))
        return [array.astype(np.float64) for array in found if spec_of(array).dtype.is_float]


def _weights(random: np.random.Generator | None, shape: tuple[int, ...]) -> Values:
    return np.ones(shape) if random is None else random.uniform(0.5, 1.5, shape)


def _widened(f: Function) -> tuple[Function, set[DType]]:
    """The function with every float in f64, and the floats that it computed in before."""
    from tilec.tensor.precise import floats, in_f64

    inner: set[DType] = set()

    def widen(given: Open) -> Program:
        inner.update(floats(given.program))
        return in_f64(given.program)

    parts = f.parts
    text = derive(parts.text.checked, f.name, widen, F64)
    known = {name: elements(each) for name, each in parts.bound.items()}
    bound = {
        name: array.astype(np.float64) if spec_of(array).dtype.is_float else array
        for name, array in known.items()
    }
    return Function(frontend(Source("<in f64>", text), None), bound), inner


def several(found: object) -> tuple[Values, ...]:
    """The arrays that a call returned."""
    arrays = cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    return tuple(np.asarray(each) for each in arrays)
