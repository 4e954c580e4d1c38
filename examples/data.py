"""The real data of the examples: scikit-learn ships two photographs and the digits.

Its files are read where they lie: importing scikit-learn takes longer than most examples.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

F32: TypeAlias = NDArray[np.float32]

TILE = Path(__file__).parent / "tile"
OUT = Path("out")


def shipped(name: str) -> Path:
    """A file of ``sklearn.datasets``."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise SystemExit("the examples need scikit-learn: pip install 'tilec[examples]'")
    return Path(found.origin).parent / "datasets" / name


def photo(name: str) -> F32:
    """``china`` or ``flower``: height x width x colour, from 0 to 1."""
    with Image.open(shipped(f"images/{name}.jpg")) as image:
        return np.asarray(image, np.float32) / np.float32(255)


def digits() -> tuple[F32, NDArray[np.int64]]:
    """1797 handwritten digits of 8x8 pixels, one a row, from 0 to 1; and what they show."""
    rows = np.loadtxt(shipped("data/digits.csv.gz"), np.float32, delimiter=",")
    return rows[:, :-1] / np.float32(16), rows[:, -1].astype(np.int64)


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
