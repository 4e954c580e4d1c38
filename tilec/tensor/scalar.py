"""Typed scalar expressions: what one element of a map or one point of a contraction computes.

Conversions are explicit (``cast``): the operands of an operation already have the type that its
rule asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from tilec.dtypes import DType
from tilec.records import dataclass
from tilec.tensor.affine import Affine


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. Floats are already rounded to ``dtype`` (f32 literals to single precision)."""

    value: bool | int | float
    dtype: DType


@dataclass(frozen=True, slots=True)
class Read:
    """The element of ``tensor`` at the coordinates ``access``, one per axis."""

    tensor: str
    access: tuple[Affine, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class IndexValue:
    """The value of an index expression, as an integer."""

    form: Affine
    dtype: DType


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation of ``tilec.operations`` on scalars; ``dtype`` is its result."""

    op: str
    args: tuple[Scalar, ...]
    dtype: DType


Scalar: TypeAlias = Literal | Read | IndexValue | Apply


def cast(value: Scalar, dtype: DType) -> Scalar:
    """``value`` converted to ``dtype``; the value itself when it already has that type."""
    return value if value.dtype == dtype else Apply("cast", (value,), dtype)


def walk(value: Scalar) -> Iterator[Scalar]:
    """The expression and all below it, operands before the operation."""
    if isinstance(value, Apply):
        for arg in value.args:
            yield from walk(arg)
    yield value


def reads(value: Scalar) -> tuple[Read, ...]:
    """All reads, in order of occurrence, repeats included."""
    return tuple(node for node in walk(value) if isinstance(node, Read))


def rewrite(value: Scalar, change: Callable[[Scalar], Scalar | None]) -> Scalar:
    """Rebuild bottom-up; ``change`` returns the replacement of a node, or None to keep it."""
    if isinstance(value, Apply):
        args = tuple(rewrite(arg, change) for arg in value.args)
        if args != value.args:
            value = replace(value, args=args)
    changed = change(value)
    return value if changed is None else changed


def rename_indices(value: Scalar, names: Mapping[str, str]) -> Scalar:
    """The expression with index variables renamed; sizes in it may be symbols."""

    def change(node: Scalar) -> Scalar | None:
        if isinstance(node, Read):
            return replace(node, access=tuple(form.rename(names) for form in node.access))
        if isinstance(node, IndexValue):
            return replace(node, form=node.form.rename(names))
        return None

    return rewrite(value, change)


def at_indices(value: Scalar, values: Mapping[str, Affine]) -> Scalar:
    """The expression with index variables replaced by index expressions."""

    def change(node: Scalar) -> Scalar | None:
        if isinstance(node, Read):
            return replace(node, access=tuple(form.substitute(values) for form in node.access))
        if isinstance(node, IndexValue):
            return replace(node, form=node.form.substitute(values))
        return None

    return rewrite(value, change)
