"""Names of dtypes: those of Keras, which are NumPy's, and those of Tile."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import ml_dtypes
import numpy as np

from keras_tilec.src.host import floatx, result_type, standardize_dtype

_NAMES: Final = {
    "bool": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
}
_TILE: Final = {name: tile for tile, name in _NAMES.items()}
_NUMPY: Final[dict[str, np.dtype[Any]]] = {
    tile: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    for tile, name in _NAMES.items()
}


def numpy_dtype(tile: str) -> np.dtype[Any]:
    """The NumPy dtype of a Tile name."""
    return _NUMPY[tile]


def keras_name(tile: str) -> str:
    """The Keras name of a Tile name."""
    return _NAMES[tile]


def tile_name(dtype: object) -> str:
    """The Tile name of a dtype as Keras and its users write them; None is ``floatx``.

    Raises:
        ValueError: Keras does not know it, or Tile does not have it.
    """
    name = standardize_dtype(dtype)
    found = _TILE.get(name)
    if found is None:
        raise ValueError(f"The tilec backend has no dtype {name}; it has {', '.join(_TILE)}")
    return found


def promoted(*names: object) -> str:
    """Keras's ``result_type`` of names and of ``int``, ``float`` and ``bool``."""
    return _promoted(floatx(), *names)


@cache
def _promoted(_: str, *names: object) -> str:
    return result_type(*names)  # Python's numbers have the width of ``floatx``


def is_float(name: str) -> bool:
    """True for a Keras name of a float."""
    return "float" in name


def float_of(name: str) -> str:
    """The Keras name of the float that functions of integers give: a float stays what it is."""
    return name if is_float(name) else promoted(name, float)
