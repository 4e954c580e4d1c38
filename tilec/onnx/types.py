"""The element types of ONNX and those of Tile."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tilec.errors import TileTypeError
from tilec.onnx.library import library

_NAMES: Final = {
    "FLOAT": "f32",
    "DOUBLE": "f64",
    "FLOAT16": "f16",
    "BFLOAT16": "bf16",
    "BOOL": "bool",
    "INT8": "i8",
    "INT16": "i16",
    "INT32": "i32",
    "INT64": "i64",
    "UINT8": "u8",
    "UINT16": "u16",
    "UINT32": "u32",
    "UINT64": "u64",
}


def tile_type(element: int) -> str:
    """The dtype of Tile for an element type of ONNX.

    Raises:
        TileTypeError: Tile has none.
    """
    kinds = library().TensorProto.DataType
    name = kinds.Name(element) if element in kinds.values() else str(element)
    if name not in _NAMES:
        raise TileTypeError(
            f"the element type {name} of ONNX is none of Tile's",
            help=f"those are {', '.join(_NAMES)}",
        )
    return _NAMES[name]


def plain_types() -> frozenset[int]:
    """The element types of ONNX that are Tile's: their elements lie in bytes of their own."""
    return frozenset(map(element_type, _NAMES.values()))


def float_types() -> frozenset[int]:
    """The element types of ONNX that are floats of Tile."""
    return frozenset(map(element_type, ("f16", "bf16", "f32", "f64")))


def element_type(dtype: str) -> int:
    """The element type of ONNX for a dtype of Tile."""
    name = next(onnx for onnx, tile in _NAMES.items() if tile == dtype)
    return library().TensorProto.DataType.Value(name)


def numpy_type(dtype: str) -> np.dtype[Any]:
    """The dtype of NumPy for one of Tile."""
    return library("onnx.helper").tensor_dtype_to_np_dtype(element_type(dtype))
