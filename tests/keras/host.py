"""Keras with types as far as the tests need them: it has none itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

keras: Final[Any] = import_module("keras")
ops: Final[Any] = keras.ops
layers: Final[Any] = keras.layers
backend: Final[Any] = import_module("keras.src.backend")
utils: Final[Any] = import_module("keras.src.utils.backend_utils")
