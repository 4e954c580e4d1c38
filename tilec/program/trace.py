"""``compile``: a Python function of tensors as one program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import cast, overload

from numpy.typing import ArrayLike

from tilec.errors import ArgumentError
from tilec.options import Options
from tilec.program.boundary import public
from tilec.program.executable import Executable
from tilec.program.graph import Placeholder, Value
from tilec.program.link import MAIN, Linked, link
from tilec.program.opened import OpenExecutable
from tilec.program.tensor import Tensor
from tilec.runtime.arrays import spec_of, take
from tilec.runtime.spec import OpenSpec, Spec
from tilec.schedule.values import Schedule


@overload
def compile(
    function: Callable[..., object],
    *specs: Spec | ArrayLike,
    target: str | None = None,
    options: Options | None = None,
    schedule: Schedule | str | None = None,
) -> Executable: ...


@overload
def compile(
    function: Callable[..., object],
    first: OpenSpec,
    /,
    *specs: OpenSpec | Spec | ArrayLike,
    target: str | None = None,
    options: Options | None = None,
    schedule: Schedule | str | None = None,
) -> OpenExecutable: ...


@overload
def compile(
    function: Callable[..., object],
    *specs: OpenSpec | Spec | ArrayLike,
    target: str | None = None,
    options: Options | None = None,
    schedule: Schedule | str | None = None,
) -> Executable | OpenExecutable: ...


def compile(
    function: Callable[..., object],
    *specs: object,
    target: str | None = None,
    options: Options | None = None,
    schedule: Schedule | str | None = None,
) -> Executable | OpenExecutable:
    """Compile a Python function of tensors as one program.

    The function is called once, with tensors that have no elements yet. Arrays that it uses beside
    its arguments, such as weights, are known: what depends on them alone is computed once.

    Args:
        function: Takes tensors; returns a tensor, several in a sequence, or several by name.
        *specs: For each argument a ``Spec``, or an array like those that will come. A spec may
            leave sizes open: ``Spec((None, 3))`` or ``Spec(("N", 3))``.
        target: What to compile for; goes before ``options.target``.
        options: The options; by default those of the environment.
        schedule: What some kernels do with their loops.

    Returns:
        The program. It takes an array for each argument. With open sizes it is one that traces
        and compiles for those that come, once for each combination.

    Raises:
        UserError: something does not fit, or the function returns anything but tensors.
            What else the function raises comes through.

    Example:
        >>> import numpy as np
        >>> double = compile(lambda x: x + x, Spec((2,)))
        >>> double(np.ones(2, np.float32)).tolist()
        [2.0, 2.0]
    """

    def made(*sized: object) -> Executable:
        linked = trace(function, *sized)
        types = [given.spec for given in linked.inputs]
        return linked.bound().compile(*types, target=target, options=options, schedule=schedule)

    if not any(isinstance(each, OpenSpec) for each in specs):
        return made(*specs)
    names = _names(function, len(specs))
    return OpenExecutable(
        made,
        [
            (name, each if isinstance(each, OpenSpec) else _spec(name, each))
            for name, each in zip(names, specs, strict=True)
        ],
    )


def trace(function: Callable[..., object], *specs: object) -> Linked:
    """The graph of a Python function, linked: see ``compile``."""
    inputs = _inputs(function, specs)
    # Not a part of the compiler: an error in it is none of tilec's.
    found = function(*(Tensor(Value(each)) for each in inputs))
    return _linked(function, found, inputs)


@public
def _inputs(function: Callable[..., object], specs: Sequence[object]) -> list[Placeholder]:
    names = _names(function, len(specs))
    return [Placeholder(name, _spec(name, each)) for name, each in zip(names, specs, strict=True)]


@public
def _linked(
    function: Callable[..., object], found: object, inputs: Sequence[Placeholder]
) -> Linked:
    named = {name: each.value for name, each in _results(found).items()}
    title = getattr(function, "__name__", MAIN)
    return link(named, inputs, title if title.isidentifier() else MAIN)


def _spec(name: str, given: object) -> Spec:
    if isinstance(given, Spec):
        return Spec(given.shape, given.dtype)
    found = spec_of(take(name, given, None))
    return Spec(found.shape, found.dtype)


def _results(found: object) -> Mapping[str, Tensor]:
    if isinstance(found, Tensor):
        return {"Y": found}
    if isinstance(found, Mapping):
        results = {str(name): each for name, each in cast("Mapping[object, object]", found).items()}
    elif isinstance(found, Sequence) and not isinstance(found, str | bytes):
        each_one = cast("Sequence[object]", found)
        fields = cast("Sequence[str]", getattr(each_one, "_fields", ()))
        names = fields or [f"Y{at}" for at in range(len(each_one))]
        results = dict(zip(names, each_one, strict=True))
    else:
        results = {"it": found}
    tensors = {name: each for name, each in results.items() if isinstance(each, Tensor)}
    if not tensors or len(tensors) < len(results):
        raise ArgumentError(
            "the function returned something that is no tensor",
            help="return a tensor, several in a tuple, or several by name in a dict",
        )
    return tensors


def _names(function: Callable[..., object], count: int) -> list[str]:
    """Names for the arguments: those of the function where it has them."""
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):  # some callables have no signature
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [each.name for each in parameters if each.kind in positional][:count]
    return [*names, *(f"X{at}" for at in range(len(names), count))]
