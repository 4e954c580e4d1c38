"""Derivatives of functions: ``grad``, ``value_and_grad`` and ``jvp``.

Each makes the text of a new function from the text of a given one, before any shape is known.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from tilec.errors import ArgumentError, GradientError, TilecWarning
from tilec.grad import TIES
from tilec.program.boundary import public
from tilec.program.derive import Open, chosen_inputs, derive
from tilec.program.differences import Differences, Values, several
from tilec.program.frontend import frontend
from tilec.program.function import Function
from tilec.program.origin import Origin
from tilec.program.recipe import Argument
from tilec.program.shrink import fill, small_arguments
from tilec.runtime.arrays import spec_of
from tilec.source import Source

if TYPE_CHECKING:
    from tilec.lang.checked import Checked
    from tilec.tensor.ir import Program

SAMPLES: Final = 16
"""Elements of each gradient that are looked at when code is made with ``debug``."""

Names: TypeAlias = "str | Sequence[str]"
"""One name or several."""

TieRule: TypeAlias = Literal["all", "share"]

_Judge: TypeAlias = "Callable[[Function, Function, list[Values], Sequence[str]], None]"
"""Holds a derived function against finite differences of the original at some arrays."""


@public
def grad(f: Function, wrt: Names | None = None, *, ties: TieRule = "all") -> Function:
    """The gradient of a function, in reverse mode.

    Args:
        f: The function.
        wrt: The inputs to differentiate for; by default all floats.
        ties: What equal extremes of the aggregations ``>`` and ``<`` receive: each the whole
            cotangent (``all``), or an equal share of it (``share``).

    Returns:
        A function of the inputs of ``f`` and then one cotangent for each float output, which
        returns one gradient for each input of ``wrt``.

    Raises:
        GradientError: something cannot be differentiated; the message points to it.
        ArgumentError: ``wrt`` names no input, or ``ties`` no rule.

    Example:
        >>> import tilec
        >>> f = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
        >>> print(tilec.grad(f).source)
        function (A[M, K], B[K, N], DC[M, N]) -> (DA, DB) {
          DA[i, k : M, K] = +(DC[i, j] * B[k, j]);
          DB[k, j : K, N] = +(DC[i, j] * A[i, k]);
        }
    """
    return _reverse(f, wrt, ties, value=False)


@public
def value_and_grad(f: Function, wrt: Names | None = None, *, ties: TieRule = "all") -> Function:
    """A function's value and gradient, where the value is one number.

    Args:
        f: A function with one float output, which has no axes.
        wrt: As for ``grad``.
        ties: As for ``grad``.

    Returns:
        A function of the inputs of ``f``, which returns its value and then the gradients.

    Raises:
        GradientError: as for ``grad``, and where the output is no single number.
    """
    return _reverse(f, wrt, ties, value=True)


@public
def jvp(f: Function, wrt: Names | None = None, *, ties: TieRule = "all") -> Function:
    """The directional derivative of a function, in forward mode.

    Args:
        f: The function.
        wrt: The inputs that change; by default all floats.
        ties: As for ``grad``.

    Returns:
        A function of the inputs of ``f`` and then one tangent for each input of ``wrt``, which
        returns the tangent of each float output.

    Raises:
        GradientError: something cannot be differentiated; the message points to it.
    """
    from tilec.grad.contractions import Ties
    from tilec.grad.forward import tangents
    from tilec.grad.reverse import Wanted

    rule = Ties(checked_ties(ties))
    floats: list[str] = []

    def work(given: Open) -> Program:
        if given.regions or f.parts.gradient is not None:
            raise GradientError(
                "a gradient of its own says nothing about tangents",
                help="forward mode is for functions without Function.with_grad",
            )
        names = chosen_inputs(given.program, wrt, f.parts.bound)
        floats.extend(names)
        wanted = Wanted(names, rule, explicit=wrt is not None)
        return tangents(given.program, wanted, given.reserved)

    text = derive(f.parts.text.checked, _name(f, "jvp"), work, gradients=given_gradients(f))
    return _derived(f, text, floats, _judge_tangents)


def _reverse(f: Function, wrt: Names | None, ties: str, *, value: bool) -> Function:
    from tilec.grad.contractions import Ties
    from tilec.grad.own import Own, whole
    from tilec.grad.reverse import Wanted, gradient

    rule = Ties(checked_ties(ties))
    floats: list[str] = []

    def work(given: Open) -> Program:
        program, regions = given.program, tuple(given.regions)
        names = chosen_inputs(program, wrt, f.parts.bound)
        floats.extend(names)
        wanted = Wanted(names, rule, value, explicit=wrt is not None)
        if f.parts.gradient is not None:  # the whole function is one call
            regions = (whole(program, WHOLE),)
        own = Own(regions, given.expand)
        return gradient(program, wanted, given.reserved, own)

    name = _name(f, "value_and_grad" if value else "grad")
    text = derive(f.parts.text.checked, name, work, gradients=given_gradients(f))
    return _derived(f, text, floats, _judge_value if value else _judge_gradient)


WHOLE: Final = ""
"""Name of the function itself among those that have a gradient of their own."""


def given_gradients(f: Function) -> dict[str, Checked]:
    """The gradients that were given for the function or for functions that it calls.

    Raises:
        GradientError: one is a function of Python.
    """
    given = dict(f.parts.inner)
    if f.parts.gradient is not None:
        given[WHOLE] = f.parts.gradient
    found: dict[str, Checked] = {}
    for name, gradient in given.items():
        if gradient is None:
            raise GradientError(
                "a part of the function has a gradient in Python",
                help="tilec.gradients calls what tilec.with_pullback was given; grad, jvp and vjp "
                "derive texts from texts",
            )
        found[name] = gradient.parts.text.checked
    return found


def _derived(f: Function, text: str, floats: Sequence[str], judge: _Judge) -> Function:
    parts = f.parts
    source = Source(f"<derived from {parts.text.source.name.strip('<>')}>", text)
    plain = Function(frontend(source, None), parts.bound)

    def check(arguments: Sequence[Argument]) -> None:
        if parts.gradient is not None or parts.inner:
            return  # a gradient of its own need not be the derivative
        arrays = small_arguments(f, arguments)
        if arrays is None:
            message = (
                f"{plain.name or 'a derived function'} is not held against finite differences: "
                "its program fits no small shape"
            )
            warnings.warn(message, TilecWarning, stacklevel=2)
        else:
            judge(f, plain, [np.asarray(array) for array in arrays], tuple(floats))

    return Function(plain.parts.text, parts.bound, Origin(frozenset(floats), check))


def _judge_gradient(
    f: Function, derived: Function, arrays: list[Values], names: Sequence[str]
) -> None:
    work = Differences(f, arrays, np.random.default_rng(0))
    _compare(work, f, several(derived(*arrays, *work.cotangents)), names)


def _judge_value(
    f: Function, derived: Function, arrays: list[Values], names: Sequence[str]
) -> None:
    work = Differences(f, arrays, None)
    _, *found = several(derived(*arrays))
    _compare(work, f, found, names)


def _judge_tangents(
    f: Function, derived: Function, arrays: list[Values], names: Sequence[str]
) -> None:
    random = np.random.default_rng(0)
    work = Differences(f, arrays, random)
    positions = [each.name for each in f.inputs]
    changes = {
        positions.index(name): fill(spec_of(arrays[positions.index(name)]), random)
        for name in names
    }
    work.judge_tangents(several(derived(*arrays, *changes.values())), changes)


def _compare(work: Differences, f: Function, found: Sequence[Values], names: Sequence[str]) -> None:
    positions = [each.name for each in f.inputs]
    for name, value in zip(names, found, strict=True):
        work.judge(positions.index(name), value, work.allowed, SAMPLES)


def _name(f: Function, what: str) -> str | None:
    return None if f.name is None else f"{f.name}_{what}"


def checked_ties(ties: str) -> str:
    """The rule for ties.

    Raises:
        ArgumentError: there is no such rule.
    """
    if ties not in TIES:
        raise ArgumentError(f"ties is {ties!r}; it is one of {', '.join(TIES)}")
    return ties
