"""The libraries that tilec works inside of, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any, cast

import tilec
from tilec.dtypes import DType
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


def numpy_name(dtype: DType) -> str:
    """What NumPy, and every library beside it, calls a dtype."""
    letter, bits = dtype.name.rstrip("0123456789"), dtype.bits
    if letter == "bool":
        return "bool"
    return {"f": "float", "bf": "bfloat", "i": "int", "u": "uint"}[letter] + str(bits)


def tensors(found: object) -> tuple[tilec.Tensor, ...]:
    """What ``tilec.apply`` returns, as a tuple even of one."""
    return cast("tuple[tilec.Tensor, ...]", found if isinstance(found, tuple) else (found,))
