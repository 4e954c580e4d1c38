"""What code is compiled for: shape, dtype and strides of an array that need not exist."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final, Self, TypeAlias, overload

from tilec.dtypes import BOOL, BY_NAME, F32, I32, I64, U64, DType, integer_range
from tilec.errors import ArgumentError, LimitError, ShapeError, TileTypeError
from tilec.records import dataclass

Number: TypeAlias = "bool | int | float"
"""A Python number, which may be passed for an input of rank 0."""

_LARGEST_BYTES: Final = 1 << 62
"""Bound of the address range of one array; no machine has it, and offsets in i64 cannot wrap."""


@dataclass(frozen=True, slots=True, init=False)
class Spec:
    """Shape, dtype and strides of an array.

    Attributes:
        shape: Extents.
        dtype: Element type.
        strides: Distance, in elements, of neighbours along each axis. Axes along which nothing is
            ever stepped have the stride of a row-major array, so that equal code has equal specs.
    """

    shape: tuple[int, ...]
    dtype: DType
    strides: tuple[int, ...]

    @overload
    def __new__(
        cls, shape: Sequence[int], dtype: DType | str = F32, strides: Sequence[int] | None = None
    ) -> Self: ...

    @overload
    def __new__(
        cls,
        shape: Sequence[int | str | None],
        dtype: DType | str = F32,
        strides: Sequence[int] | None = None,
    ) -> Self | OpenSpec: ...

    def __new__(
        cls,
        shape: Sequence[int | str | None],
        dtype: DType | str = F32,
        strides: Sequence[int] | None = None,
    ) -> Self | OpenSpec:
        """A spec; an ``OpenSpec`` if a size is a name or None."""
        if not any(size is None or isinstance(size, str) for size in shape):
            return object.__new__(cls)
        if strides is not None:
            raise ArgumentError("a spec with open sizes has no strides: arrays are row-major")
        return OpenSpec(shape, dtype)

    def __init__(
        self,
        shape: Sequence[int | str | None],
        dtype: DType | str = F32,
        strides: Sequence[int] | None = None,
    ) -> None:
        """Describe an array.

        Args:
            shape: Extents; with names or None among them it is an ``OpenSpec`` that is made.
            dtype: Element type, e.g. ``"f32"``; what NumPy calls it, e.g. ``float32``, will do.
            strides: Element strides; by default those of a row-major array.

        Raises:
            ArgumentError: a size is negative, or the lengths differ.
            TileTypeError: there is no such dtype.
            LimitError: no machine could hold the array.
        """
        extents = tuple(map(_integer, shape))
        if any(size < 0 for size in extents):
            raise ArgumentError(f"a spec has the shape {extents}; sizes are not negative")
        found = dtype if isinstance(dtype, DType) else _dtype(dtype)
        normal = row_major(extents)
        if strides is not None:
            given = tuple(map(_integer, strides))
            if len(given) != len(extents):
                raise ArgumentError(f"a spec has {len(extents)} axes but {len(given)} strides")
            if 0 not in extents:
                pairs = zip(extents, given, normal, strict=True)
                normal = tuple(plain if size == 1 else step for size, step, plain in pairs)
        reach = sum((n - 1) * abs(step) for n, step in zip(extents, normal, strict=True) if n)
        # All elements are counted too: some axes may be stepped along without moving.
        if max(reach, prod(extents), *extents, 0) * found.bytes >= _LARGEST_BYTES:
            raise LimitError(f"an array of shape {extents} is larger than any memory")
        object.__setattr__(self, "shape", extents)
        object.__setattr__(self, "dtype", found)
        object.__setattr__(self, "strides", normal)

    def __reduce__(self) -> tuple[type[Spec], tuple[object, ...]]:
        return Spec, (self.shape, self.dtype, self.strides)

    @property
    def is_row_major(self) -> bool:
        """True when the elements lie end to end, the last axis fastest."""
        return self.strides == row_major(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the elements, counted once each however they lie."""
        return prod(self.shape) * self.dtype.bytes

    @property
    def reach_bytes(self) -> tuple[int, int]:
        """Where the elements lie: from the first byte to behind the last one, relative to the
        first element.
        """
        if 0 in self.shape:
            return 0, 0
        steps = [(size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)]
        low, high = sum(min(0, step) for step in steps), sum(max(0, step) for step in steps)
        return low * self.dtype.bytes, (high + 1) * self.dtype.bytes

    def __str__(self) -> str:
        lies = "" if self.is_row_major else f" with strides {list(self.strides)}"
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]{lies}"


@dataclass(frozen=True, slots=True, init=False)
class OpenSpec:
    """Shape and dtype of arrays some of whose sizes are decided by those that come; row-major.

    Attributes:
        shape: Extents; the name of one that is open, or None for one without a name. Axes of the
            same name have the same size.
        dtype: Element type.
    """

    shape: tuple[int | str | None, ...]
    dtype: DType

    def __init__(self, shape: Sequence[int | str | None], dtype: DType | str = F32) -> None:
        """Describe arrays.

        Raises:
            ArgumentError: a size is negative, or a name is empty.
            TileTypeError: there is no such dtype.
        """
        if "" in shape:
            raise ArgumentError("a spec has a size without a name", help="leave it open with None")
        fixed = [size for size in shape if size is not None and not isinstance(size, str)]
        plain = iter(Spec(fixed, dtype).shape)
        extents = tuple(s if s is None or isinstance(s, str) else next(plain) for s in shape)
        object.__setattr__(self, "shape", extents)
        object.__setattr__(self, "dtype", dtype if isinstance(dtype, DType) else _dtype(dtype))

    def __str__(self) -> str:
        sizes = ("?" if size is None else str(size) for size in self.shape)
        return f"{self.dtype}[{', '.join(sizes)}]"


def named_sizes(
    given: Sequence[tuple[str, Sequence[int | str | None], Sequence[int]]],
) -> dict[str, int]:
    """What open sizes are, for arrays that came.

    Args:
        given: Of each array its name, the sizes that it may have, and those that it has.

    Raises:
        ShapeError: they do not fit.
    """
    found: dict[str, tuple[int, str]] = {}
    for name, wanted, shape in given:
        spelled = f"[{', '.join('?' if size is None else str(size) for size in wanted)}]"
        fits = len(wanted) == len(shape) and all(
            size == has for size, has in zip(wanted, shape, strict=True) if isinstance(size, int)
        )
        if not fits:
            raise ShapeError(f"argument {name} has shape {list(shape)}, but it is {spelled} here")
        for size, has in zip(wanted, shape, strict=True):
            if isinstance(size, str):
                first, where = found.setdefault(size, (has, name))
                if first != has:
                    raise ShapeError(
                        f"the size {size} is {has} in argument {name}, but {first} in {where}"
                    )
    return {size: has for size, (has, _) in found.items()}


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Element strides of an array whose elements lie end to end, the last axis fastest."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def number_dtype(name: str, value: Number) -> DType:
    """The dtype that a Python number takes where nothing else is declared.

    Raises:
        TileTypeError: no integer type holds it.
    """
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, float):
        return F32
    for dtype in (I32, I64, U64):
        low, high = integer_range(dtype)
        if low <= value <= high:
            return dtype
    raise TileTypeError(f"argument {name} is {value}, which no integer type of Tile can hold")


def _integer(value: int | str | None) -> int:
    # Sizes come from callers: bool is no size, and NumPy's integers become Python's.
    if value is None or isinstance(value, bool | str) or not hasattr(value, "__index__"):
        raise ArgumentError(f"a spec has the size {value!r}, which is no integer")
    return value.__index__()


def _dtype(name: object) -> DType:
    spelled = getattr(name, "name", None) or getattr(name, "__name__", None) or str(name)
    if spelled in BY_NAME:
        return BY_NAME[spelled]
    for dtype in BY_NAME.values():
        numpy_name = "bfloat16" if dtype.name == "bf16" else f"{dtype.kind.value}{dtype.bits}"
        if spelled == numpy_name or (dtype == BOOL and spelled in ("bool", "bool_")):
            return dtype
    raise TileTypeError(
        f"there is no dtype {spelled!r} in Tile", help=f"the dtypes are {', '.join(BY_NAME)}"
    )
