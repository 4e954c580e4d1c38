"""From a function to the text of its derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from tilec.errors import ArgumentError, GradientError, TilecError
from tilec.program.boundary import compiler_lock
from tilec.records import dataclass

if TYPE_CHECKING:
    from tilec.dtypes import DType
    from tilec.lang.checked import Checked
    from tilec.tensor.ir import Program, Region, TensorType

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Open:
    """A function lowered from its header alone.

    Attributes:
        program: The program; sizes are symbols.
        reserved: Names that are taken besides those of values.
        regions: Calls of functions that have a gradient of their own.
        expand: The program of such a gradient for the types of its inputs.
    """

    program: Program
    reserved: Sequence[str]
    regions: Sequence[Region]
    expand: Callable[[str, Mapping[str, TensorType]], Program]


def derive(
    checked: Checked,
    name: str | None,
    work: Callable[[Open], Program],
    floats: DType | None = None,
    gradients: Mapping[str, Checked] | None = None,
) -> str:
    """The text of a program that is made from that of a function.

    Args:
        checked: The function.
        name: Name of the new function.
        work: Makes the new program.
        floats: What floats are in the new header, if not what they were in the old one.
        gradients: Gradients of functions that the function calls.
    """
    from tilec.lang.express import Given, express, symbols
    from tilec.lang.lower.header import lower_header, lower_types
    from tilec.lang.printer import print_function

    with compiler_lock():
        own = dict(gradients or {})
        program, regions = _lowered(lambda: lower_header(checked, frozenset(own)))
        order = tuple(fact.name for fact in checked.inputs)
        given = Given(
            order,
            frozenset(fact.name for fact in checked.inputs if fact.is_bind_scalar),
            {fact.name: _dtype(fact.dtype, floats) for fact in checked.inputs if fact.dtype},
        )
        reserved = sorted({*symbols(program), *checked.size_names, *order})

        def expand(name: str, types: Mapping[str, TensorType]) -> Program:
            return _lowered(lambda: lower_types(own[name], types))

        derived = work(Open(program, reserved, regions, expand))
        return print_function(express(derived, name, given))


def _dtype(dtype: DType, floats: DType | None) -> DType:
    return floats if floats is not None and dtype.is_float else dtype


def _lowered(lower: Callable[[], _Result]) -> _Result:
    try:
        return lower()
    except GradientError:
        raise
    except TilecError as error:
        raise GradientError(
            f"the gradient cannot be derived while sizes and dtypes are open: {error.message}",
            error.span,
            help="name axes and dtypes in the header, for example X[N, M]: f32",
        ) from error


def chosen_inputs(
    program: Program, wrt: str | Sequence[str] | None, hidden: Mapping[str, object]
) -> tuple[str, ...]:
    """The inputs that are differentiated for.

    Raises:
        ArgumentError: there is no such input.
        GradientError: one is not a float.
    """
    inputs = {item.name: item for item in program.inputs if item.name not in hidden}
    if wrt is None:
        found = tuple(name for name, item in inputs.items() if item.type.dtype.is_float)
        if not found:
            raise GradientError("no input is a float, so there is nothing to differentiate for")
        return found
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in inputs:
            raise ArgumentError(
                f"there is no input {name!r} to differentiate for",
                help=f"the inputs are {', '.join(inputs)}",
            )
        if not inputs[name].type.dtype.is_float:
            raise GradientError(
                f"the input {name} is {inputs[name].type.dtype}, which has no gradient",
                inputs[name].span,
                help="only floats can be differentiated",
            )
    return names
