"""The libraries that tilec works inside of, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from tilec.errors import ArgumentError


def library(module: str, name: str) -> Any:
    """Import a library.

    Raises:
        ArgumentError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ArgumentError(
            f"tilec.interop.{module} needs {name}", help=f"install it: pip install {module}"
        ) from error
