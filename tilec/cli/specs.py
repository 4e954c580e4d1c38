"""What ``--shape`` and ``--set`` say about the inputs of a program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import click

from tilec.dtypes import BY_NAME

_NAME = r"[A-Za-z_][A-Za-z0-9_]*'?"
_SHAPE = re.compile(rf"({_NAME})=(?:(\d+(?:x\d+)*))?(?::([a-z0-9]+))?")
# No machine addresses more; a longer number is a slip of the finger.
_LARGEST_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class ShapeOption:
    """One ``--shape``: the input ``name`` has these extents, and this dtype if one was given."""

    name: str
    shape: tuple[int, ...]
    dtype: str | None


def parse_shape(text: str) -> ShapeOption:
    """Read ``A=1024x1024:f32``, ``A=1024``, ``S=:f32`` or ``S=`` (rank 0)."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise click.UsageError(
            f"--shape {text!r} cannot be read; write NAME=SIZExSIZE:DTYPE, e.g. A=1024x1024:f32, "
            "and S=:f32 for a scalar"
        )
    name, sizes, dtype = match.groups()
    if dtype is not None and dtype not in BY_NAME:
        raise click.UsageError(
            f"--shape {text!r}: there is no dtype {dtype!r}; the dtypes are {', '.join(BY_NAME)}"
        )
    shape = () if sizes is None else tuple(int(size) for size in sizes.split("x"))
    if any(size > _LARGEST_SIZE for size in shape):
        raise click.UsageError(f"--shape {text!r}: a size is too large")
    return ShapeOption(name, shape, dtype)


def parse_shapes(texts: Sequence[str]) -> dict[str, ShapeOption]:
    """Read every ``--shape``; a name given twice is wrong usage."""
    found: dict[str, ShapeOption] = {}
    for text in texts:
        option = parse_shape(text)
        if option.name in found:
            raise click.UsageError(f"--shape names the input {option.name} twice")
        found[option.name] = option
    return found


def parse_number(text: str) -> bool | int | float | None:
    """Read ``true``, ``3`` or ``0.5``; None when the text is no number."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
