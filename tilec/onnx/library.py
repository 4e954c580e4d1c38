"""The onnx package, imported when it is used, and the exceptions that its parts raise."""

from __future__ import annotations

import importlib
from typing import Any

from tilec.errors import ArgumentError


def library(module: str = "onnx") -> Any:
    """Import the onnx package or a module of it.

    Raises:
        ArgumentError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ArgumentError(
            "tilec.onnx needs the onnx package", help="install it: pip install 'tilec[onnx]'"
        ) from error
