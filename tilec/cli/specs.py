"""What ``--shape`` and ``--set`` say about the inputs of a program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from tilec.dtypes import BY_NAME
from tilec.records import dataclass
from tilec.runtime.spec import Number, Spec

if TYPE_CHECKING:
    from tilec import Function
    from tilec.program.header import Parameter

_NAME = r"[A-Za-z_][A-Za-z0-9_]*'?"
# Inputs of models have names of all kinds.
_SHAPE = re.compile(r"([^=\s]+)=(?:(\d+(?:x\d+)*))?(?::([a-z0-9]+))?")
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


def parse_numbers(texts: Sequence[str]) -> dict[str, Number]:
    """Read every ``--set``."""
    found: dict[str, Number] = {}
    for text in texts:
        name, _, value = text.partition("=")
        number = parse_number(value)
        if number is None or not re.fullmatch(_NAME, name):
            raise click.UsageError(f"--set {text!r} cannot be read; write NAME=NUMBER, e.g. N=16")
        if name in found:
            raise click.UsageError(f"--set names the input {name} twice")
        found[name] = number
    return found


def parse_number(text: str) -> Number | None:
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


def inputs_from_options(
    function: Function, shapes: Mapping[str, ShapeOption], numbers: Mapping[str, Number]
) -> list[Spec | Number]:
    """A spec or a number for each input of a function, in order.

    An input that no option names follows from the others if the header has names for its sizes.
    """
    names = [given.name for given in function.inputs]
    for name in (*shapes, *numbers):
        if name not in names:
            raise click.UsageError(
                f"there is no input {name}; the inputs are {', '.join(names) or 'none'}"
            )
    sizes = _known_sizes(function.inputs, shapes, numbers)
    return [_input(given, shapes, numbers, sizes) for given in function.inputs]


def _known_sizes(
    inputs: Sequence[Parameter], shapes: Mapping[str, ShapeOption], numbers: Mapping[str, Number]
) -> dict[str, int]:
    """The sizes that the header names and the options say."""
    known = {name: number for name, number in numbers.items() if type(number) is int}
    for given in inputs:
        option = shapes.get(given.name)
        if option is not None and given.dims is not None and len(given.dims) == len(option.shape):
            for dim, size in zip(given.dims, option.shape, strict=True):
                if isinstance(dim, str):
                    known[dim] = size
    return known


def _input(
    given: Parameter,
    shapes: Mapping[str, ShapeOption],
    numbers: Mapping[str, Number],
    sizes: Mapping[str, int],
) -> Spec | Number:
    if given.name in numbers:
        return numbers[given.name]
    if given.specialised:
        raise click.UsageError(
            f"the input {given.name} is used as a size: add its value, e.g. --set {given.name}=16"
        )
    declared = "f32" if given.dtype is None else given.dtype.name
    option = shapes.get(given.name)
    if option is not None:
        return Spec(option.shape, option.dtype or declared)
    dims = given.dims
    unknown = dims is None or any(isinstance(dim, str) and dim not in sizes for dim in dims)
    if dims is None or unknown:
        example = "64x64" if dims is None else "x".join(_example(dim, sizes) for dim in dims)
        raise click.UsageError(
            f"the sizes of the input {given} are not known: "
            f"add them, e.g. --shape {given.name}={example}:{declared}"
        )
    return Spec([sizes[dim] if isinstance(dim, str) else dim for dim in dims], declared)


def _example(dim: str | int, sizes: Mapping[str, int]) -> str:
    return str(sizes.get(dim, 64) if isinstance(dim, str) else dim)
