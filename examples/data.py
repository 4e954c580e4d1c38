"""The real data of the examples, with types: scikit-learn ships two photographs and the digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets as sklearn_datasets

datasets: Any = sklearn_datasets  # scikit-learn ships no types

F32: TypeAlias = NDArray[np.float32]

TILE = Path(__file__).parent / "tile"
OUT = Path("out")


def photo(name: str) -> F32:
    """``china`` or ``flower``: height x width x colour, from 0 to 1."""
    pixels = cast("NDArray[np.uint8]", datasets.load_sample_image(f"{name}.jpg"))
    return pixels.astype(np.float32) / np.float32(255)


def digits() -> tuple[F32, NDArray[np.int64]]:
    """1797 handwritten digits of 8x8 pixels, one a row, from 0 to 1; and what they show."""
    bunch = cast("dict[str, Any]", datasets.load_digits())
    pixels = cast("NDArray[np.float64]", bunch["data"])
    shown = cast("NDArray[np.int64]", bunch["target"])
    return (pixels / 16).astype(np.float32), shown


def check(name: str, result: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    """Stop the example unless ``result`` is ``expected``.

    Args:
        name: What is compared.
        result: Computed by tilec.
        expected: Computed otherwise, in double precision.
        tolerance: Largest error allowed, relative to the largest element expected.
    """
    if result.shape != expected.shape:
        raise SystemExit(f"{name}: the shape is {result.shape}, not {expected.shape}")
    error = float(np.abs(result - expected).max() / np.abs(expected).max())
    if not error <= tolerance:
        raise SystemExit(f"{name}: the error {error:.1e} exceeds {tolerance:.0e}")
    print(f"{name}: {'x'.join(map(str, result.shape))}, largest error {error:.1e}")
