"""Keras 3 on tilec: import this before ``keras``, and tilec is its backend.

``KERAS_BACKEND`` may name another backend; then nothing happens here. ``op`` and ``TileLayer`` put
Tile functions into models of Keras, on its backends tilec, torch and jax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilec.keras._hook import activate
from tilec.keras.versions import BACKEND

if TYPE_CHECKING:
    from tilec.keras.tile import TileLayer, op

__all__ = ["BACKEND", "TileLayer", "activate", "op"]


def __getattr__(name: str) -> object:
    """What imports Keras, which must be imported later than this package."""
    if name not in ("TileLayer", "op"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tilec.keras import tile

    return getattr(tile, name)
