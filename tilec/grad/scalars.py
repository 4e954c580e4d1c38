"""Derivatives of whole scalar expressions, backward and forward."""

from __future__ import annotations

from collections.abc import Callable, Container

from tilec.grad.rules import ZERO, add, choose, derivatives
from tilec.tensor.scalar import Apply, Literal, Read, Scalar, reads
from tilec.tensor.surface import loose


def adjoints(
    value: Scalar, seed: Scalar, wanted: Container[str], result: Scalar | None = None
) -> dict[Read, Scalar]:
    """What each read of an expression receives when the expression receives ``seed``.

    Args:
        value: The expression, a surface.
        seed: Its cotangent.
        wanted: The tensors whose reads count.
        result: The value of the expression, where it can be read instead of computed again.

    Returns:
        The cotangents, in order of the first occurrence of each read.
    """
    found: dict[Read, Scalar] = {}
    _descend(value, seed, wanted, result, found)
    return found


def _descend(
    value: Scalar,
    seed: Scalar,
    wanted: Container[str],
    result: Scalar | None,
    found: dict[Read, Scalar],
) -> None:
    if isinstance(value, Read):
        if value.tensor in wanted:
            found[value] = add(found[value], seed) if value in found else seed
        return
    if not isinstance(value, Apply) or not any(r.tensor in wanted for r in reads(value)):
        return
    linears = derivatives(value.op, value.args, value if result is None else result)
    for arg, linear in zip(value.args, linears, strict=True):
        if linear is not None and any(r.tensor in wanted for r in reads(arg)):
            _descend(arg, linear(seed), wanted, None, found)


def tangent(value: Scalar, of: Callable[[Read], Scalar | None]) -> Scalar | None:
    """How an expression changes when its reads change.

    Args:
        value: The expression, a surface.
        of: The change of a read; None where it does not change.

    Returns:
        The change; None where there is none.
    """
    if isinstance(value, Read):
        return of(value)
    if not isinstance(value, Apply):
        return None
    total: Scalar | None = None
    linears = derivatives(value.op, value.args, value)
    for arg, linear in zip(value.args, linears, strict=True):
        change = None if linear is None else tangent(arg, of)
        if linear is not None and change is not None:
            part = linear(change)
            total = part if total is None else add(total, part)
    return total


def anchored(value: Scalar, kept: tuple[Read, ...]) -> Scalar:
    """The expression, which now also reads ``kept``, and so is valid where these are.

    The reads stand in a test that is false, so that neither value nor type depends on them.
    """
    if not kept:
        return value
    test: Scalar = Literal(0, ZERO.dtype)
    for read in kept:
        test = loose("logical_and", test, read)
    return choose(test, ZERO, value)
