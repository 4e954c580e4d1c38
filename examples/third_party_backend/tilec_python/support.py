"""What the printed code calls: views of memory, masked access, casts."""

from __future__ import annotations

import ctypes
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def view(address: int, dtype: str, low: int, high: int) -> Array:
    """The elements ``low`` to ``high`` of a buffer; element ``low`` is the first of the array."""
    kind = np.dtype(dtype)
    size = (high - low) * kind.itemsize
    memory = (ctypes.c_char * size).from_address(address + low * kind.itemsize)
    return np.ndarray((high - low,), kind, memoryview(memory))


def load(memory: Array, index: Any, mask: Any) -> Array:
    """Elements at ``index``; 0 in the lanes whose mask is false."""
    lanes = np.broadcast_arrays(index, mask)
    result = np.zeros(lanes[0].shape, memory.dtype)
    result[lanes[1]] = memory[lanes[0][lanes[1]]]
    return result


def store(memory: Array, index: Any, value: Any, mask: Any) -> None:
    """Write the lanes whose mask is true."""
    lanes = np.broadcast_arrays(index, value, mask)
    memory[lanes[0][lanes[2]]] = lanes[1][lanes[2]]


def cast(value: Any, dtype: str) -> Any:
    """Conversion as Tile defines it: floats saturate at 64 bits before they wrap."""
    source, kind = np.asarray(value), np.dtype(dtype)
    if source.dtype.kind == "f" and kind.kind in "iu":
        wide = np.nan_to_num(np.trunc(source.astype(np.float64)), nan=0.0)
        top = 2.0**64 if kind == np.uint64 else 2.0**63
        above, below = wide >= top, wide <= -(2.0**63)
        exact = np.where(above | below, 0.0, wide)
        # Negative values and those from 2^63 on need the two halves of the range apart.
        positive = np.where(exact < 0, 0.0, exact).astype(np.uint64)
        signed = np.where(exact < 0, exact, 0.0).astype(np.int64).astype(np.uint64)
        bits = positive | signed
        highest = np.uint64(2**64 - 1 if kind == np.uint64 else 2**63 - 1)
        bits = np.where(above, highest, np.where(below, np.uint64(2**63), bits))
        return bits.astype(kind)[()]
    return source.astype(kind)[()]
