"""Arrays at the door: what callers pass becomes NumPy arrays that generated code may touch.

Nothing is copied that need not be: NumPy arrays with any strides (negative, zero, read-only),
DLPack tensors on the CPU, and objects with a buffer or an array interface are used where they
lie. A copy is made only of arrays that generated code could not address: not aligned to their
element size, strides that are no multiple of it, or foreign byte order.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np

from tilec.dtypes import ALL, BF16, BOOL, DType, Kind
from tilec.errors import ArgumentError, TargetError, TileTypeError
from tilec.runtime.pool import FROM_BYTES, results
from tilec.runtime.spec import Number, Spec, number_dtype

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
NumpyDType: TypeAlias = np.dtype[np.generic]

_ALIGNMENT: Final = 64
"""Alignment in bytes of fresh results, where it is worth its price: a cache line."""
_ALIGN_FROM_BYTES: Final = 1 << 14

_BY_NUMPY: Final = {
    np.dtype("bool" if dtype == BOOL else f"{dtype.kind.value}{dtype.bits}"): dtype
    for dtype in ALL
    if dtype != BF16
}
_TO_NUMPY: Final = {dtype: spelled for spelled, dtype in _BY_NUMPY.items()}


def tile_dtype(dtype: NumpyDType) -> DType | None:
    """The Tile dtype of a NumPy dtype in native byte order, or None when there is none."""
    found = _BY_NUMPY.get(dtype)
    if found is None and dtype.name == "bfloat16" and dtype.itemsize == 2:
        return BF16
    return found


def numpy_dtype(dtype: DType) -> NumpyDType:
    """The NumPy dtype of a Tile dtype.

    Raises:
        TargetError: it is bf16, and ml_dtypes, which has that for NumPy, is not installed.
    """
    if dtype != BF16:
        return _TO_NUMPY[dtype]
    try:
        from ml_dtypes import bfloat16  # optional, and only for this dtype
    except ModuleNotFoundError as error:
        raise TargetError(
            "bf16 arrays need the package ml_dtypes", help="pip install 'tilec[bf16]'"
        ) from error
    return np.dtype(bfloat16)


def spec_of(array: Array) -> Spec:
    """What code is compiled for when this array, which ``take`` returned, is passed."""
    dtype = tile_dtype(array.dtype)
    assert dtype is not None
    size = array.itemsize
    return Spec(array.shape, dtype, tuple(step // size for step in array.strides))


def end_to_end(array: Array) -> Spec:
    """The same for its elements in a row-major array."""
    dtype = tile_dtype(array.dtype)
    assert dtype is not None
    return Spec(array.shape, dtype)


def take(name: str, value: object, declared: DType | None) -> Array:
    """An array over what a caller passed as the input ``name``.

    A Python number becomes an array of rank 0; it takes the dtype that the header declares, or
    i32 (i64, u64 where that is too small), f32 or bool.

    Raises:
        TileTypeError: it is no array, or of a dtype that Tile does not have.
        ArgumentError: it is an array that cannot be reached from here.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _normal(name, np.asarray(_unmasked(name, cast("Array", value))))
    if isinstance(value, bool | int | float):
        return number_array(name, value, declared or number_dtype(name, value))
    return _normal(name, _foreign(name, value))


def number_array(name: str, value: Number, dtype: DType) -> Array:
    """An array of rank 0 that holds a Python number.

    Raises:
        TileTypeError: the dtype does not hold such numbers.
    """
    kind = numpy_dtype(dtype)
    if not dtype.is_float and isinstance(value, float):
        raise TileTypeError(
            f"argument {name} is {value!r}, but the program declares {name} as {dtype}",
            help="pass an integer, or declare a float",
        )
    if dtype.kind is Kind.BOOL and not isinstance(value, bool):
        raise TileTypeError(
            f"argument {name} is {value!r}, but the program declares {name} as bool",
            help="pass True or False",
        )
    try:
        if not dtype.is_float:
            return cast("Array", np.array(value, kind))
        with np.errstate(over="ignore"):  # as everywhere in IEEE arithmetic: too large is inf
            return cast("Array", np.array(value, kind))
    except OverflowError as error:
        raise TileTypeError(
            f"argument {name} is {value!r}, which {dtype} cannot hold",
            help="pass a smaller number, or an array of a wider dtype",
        ) from error


def allocate(shape: tuple[int, ...], dtype: NumpyDType) -> Array:
    """Uninitialised row-major memory for a result."""
    size = prod(shape) * dtype.itemsize
    if size < _ALIGN_FROM_BYTES:
        return np.empty(shape, dtype)
    if size < FROM_BYTES:
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        skip = -addresses_of([cast("Array", memory)])[0] % _ALIGNMENT
        return np.ndarray(shape, dtype, memory, skip)
    lease = results().lease(size + _ALIGNMENT)
    return np.ndarray(shape, dtype, lease, -ctypes.addressof(lease) % _ALIGNMENT)


def is_masked(value: object) -> bool:
    """True for arrays of ``numpy.ma``, a module that takes long to import and is rarely there."""
    return "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray)


def _unmasked(name: str, value: Array) -> Array:
    if is_masked(value):
        raise ArgumentError(
            f"argument {name} is a masked array, and Tile has no masks",
            help=f"pass {name}.filled(...) with a value that suits the program",
        )
    return value


def _foreign(name: str, value: object) -> Array:
    """An array over an object that NumPy did not make, without a copy where it allows that."""
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        try:
            return cast("Array", np.from_dlpack(cast("Any", value)))
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            # DLPack of NumPy knows neither bf16 nor devices; the object's own way may do.
            if not hasattr(value, "__array__"):
                raise _unreachable(name, value, error) from error
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        try:
            return cast("Array", np.asarray(value))
        except Exception as error:  # foreign code, which may raise anything
            raise _unreachable(name, value, error) from error
    try:
        return cast("Array", np.asarray(memoryview(cast("bytes", value))))
    except (TypeError, ValueError, BufferError) as error:
        raise TileTypeError(
            f"argument {name} is a {type(value).__name__}, which is no array",
            help="pass a NumPy array, an object with DLPack or a buffer, or a number",
        ) from error


def _unreachable(name: str, value: object, error: Exception) -> ArgumentError:
    kind = f"{type(value).__module__}.{type(value).__name__}"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ArgumentError(
        f"argument {name} (a {kind}) cannot be read as an array: {reason}",
        help="pass it as a NumPy array, e.g. detached and copied to the CPU",
    )


def _normal(name: str, array: Array) -> Array:
    """The array itself, or a copy when generated code could not address it."""
    native = array.dtype if array.dtype.isnative else array.dtype.newbyteorder("=")
    if tile_dtype(native) is None:
        raise TileTypeError(
            f"argument {name} has dtype {array.dtype.name}, which Tile does not have",
            help=f"convert it to one of {', '.join(map(str, ALL))}",
        )
    size = array.itemsize
    if not array.dtype.isnative or not array.flags.aligned:
        return array.astype(native, "C")
    if any(step % size for step in array.strides):
        return array.astype(native, "C")
    return array


def _addresses_by_interface(arrays: Iterable[Array]) -> list[int]:
    return [array.ctypes.data for array in arrays]


class ArrayLayout(NamedTuple):
    """Where the parts of an array object lie, in bytes from its beginning."""

    type: int
    data: int
    rank: int
    sizes: int
    strides: int
    dtype: int
    flags: int


# The fields of NumPy's array struct (PyArrayObject_fields in its C API, part of the ABI) follow
# those of every object, whose last one is the type.
_BEGIN: Final[int] = object.__basicsize__
_LAYOUT: Final = ArrayLayout(
    _BEGIN - 8, _BEGIN, _BEGIN + 8, _BEGIN + 16, _BEGIN + 24, _BEGIN + 40, _BEGIN + 48
)
_read_word: Final[Callable[[int], ctypes.c_size_t]] = ctypes.c_size_t.from_address
_read_int: Final[Callable[[int], ctypes.c_int32]] = ctypes.c_int32.from_address


def _addresses_by_layout(arrays: Iterable[Array]) -> list[int]:
    # Reading the address from the object takes a fifth of the time of array.ctypes.data, which
    # would be half of the time of a call of a small kernel.
    return [_read_word(id(array) + _BEGIN).value for array in arrays]


def _probes() -> tuple[Array, ...]:
    return (np.empty(3), np.empty((2, 2), np.int8)[:, ::-1], np.empty(()), np.empty(0, "f4"))


def _address_is_known() -> bool:
    return _addresses_by_layout(_probes()) == _addresses_by_interface(_probes())


addresses_of: Final = _addresses_by_layout if _address_is_known() else _addresses_by_interface
"""Address of the first element of each of some arrays."""


def array_layout() -> ArrayLayout | None:
    """The layout of array objects, if it is what it is known to be on 64-bit machines."""
    if ctypes.sizeof(ctypes.c_void_p) != 8 or addresses_of is not _addresses_by_layout:
        return None
    return _LAYOUT if all(_lies_as_known(array) for array in _probes()) else None


def _lies_as_known(array: Array) -> bool:
    at = id(array)
    words = {
        _LAYOUT.type: id(np.ndarray),
        _LAYOUT.dtype: id(array.dtype),
    }
    if any(_read_word(at + offset).value != value for offset, value in words.items()):
        return False
    flags = cast("int", cast("Any", array.flags).num)
    if (_read_int(at + _LAYOUT.rank).value, _read_int(at + _LAYOUT.flags).value) != (
        array.ndim,
        flags,
    ):
        return False
    lists = ((_LAYOUT.sizes, array.shape), (_LAYOUT.strides, array.strides))
    return all(
        ctypes.c_int64.from_address(_read_word(at + offset).value + 8 * axis).value == value
        for offset, values in lists
        for axis, value in enumerate(values)
    )
