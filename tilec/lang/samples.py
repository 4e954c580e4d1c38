"""Sizes to try a function with when nobody gave any: small, distinct, and such that it binds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, product, repeat
from typing import Final

from tilec.dtypes import F32, I32, DType
from tilec.errors import UserError
from tilec.lang import ast, walk
from tilec.lang.checked import Checked, InputFact
from tilec.lang.lower.program import lower
from tilec.lang.lower.random import STATE
from tilec.records import dataclass
from tilec.tensor.ir import Program, TensorType
from tilec.tensor.size import concrete

MAX_ATTEMPTS: Final = 48

_SIZES: Final[tuple[tuple[int, ...], ...]] = (
    (5, 7, 6, 9, 8, 11, 10, 13),
    (8, 3, 4, 2, 6, 5, 7, 9),
    (3, 8, 2, 4, 5, 6, 9, 7),
    (4,),
    (16, 17, 18, 19, 20, 21, 22, 23),
    (8,),
    (32,),
)
"""What the sizes of a header become, in order, the last again and again."""

_SHAPES: Final[tuple[tuple[int, ...], ...]] = ((), (5,), (5, 7), (2, 5, 7), (2, 5, 7, 3))
"""Shapes for inputs of any rank."""

_NUMBERS: Final = (2, 3, 1, 4)


@dataclass(frozen=True, slots=True)
class Sample:
    """Arguments with which a function binds.

    Attributes:
        types: Element type and shape of each input that is not a bind scalar.
        values: The number of each bind scalar.
        program: The function bound to them.
    """

    types: dict[str, TensorType]
    values: dict[str, int | float]
    program: Program


def sample_sizes(checked: Checked) -> Sample | None:
    """Arguments with which the function binds, or None when none were found."""
    return next(samples(checked, 1), None)


def samples(checked: Checked, count: int) -> Iterator[Sample]:
    """Up to ``count`` different arguments with which the function binds."""
    sizes_found: set[tuple[int, ...]] = set()
    for sizes, types, values in islice(_attempts(checked), MAX_ATTEMPTS):
        if sizes in sizes_found:
            continue
        try:
            program = lower(checked, types, values)
        except UserError:
            continue
        sizes_found.add(sizes)
        yield Sample(types, values, program)
        if len(sizes_found) == count:
            return


def _attempts(
    checked: Checked,
) -> Iterator[tuple[tuple[int, ...], dict[str, TensorType], dict[str, int | float]]]:
    """Sizes, types and numbers in the order in which they are worth trying."""
    states, rows = _used_as(checked, "prng_step", 0), _used_as(checked, "gather", 1)
    rows |= _used_as(checked, "scatter", 1)
    scalars = sorted(checked.bind_scalars)
    tensors = [fact for fact in checked.inputs if not fact.is_bind_scalar]
    open_ranks = any(fact.rank is None for fact in tensors)
    shapes = _SHAPES if open_ranks else _SHAPES[:1]
    numbers = _NUMBERS if scalars else _NUMBERS[:1]
    for sizes, dtype, shape, number in product(_SIZES, (F32, I32), shapes, numbers):
        dims = dict(zip(checked.size_names, _endless(sizes), strict=False))
        types: dict[str, TensorType] = {}
        for fact in tensors:
            if fact.name in states:
                types[fact.name] = STATE
                dims.update(zip(_names(fact), concrete(STATE.shape), strict=False))
        unnamed = _endless(sizes[len(dims) :] or sizes[-1:])
        for fact in tensors:
            own = I32 if fact.name in rows else dtype
            types.setdefault(fact.name, _type(fact, own, dims, shape, unnamed))
        values: dict[str, int | float] = {name: number + at for at, name in enumerate(scalars)}
        yield sizes, types, values


def _type(
    fact: InputFact,
    dtype: DType,
    dims: dict[str, int],
    shape: tuple[int, ...],
    unnamed: Iterator[int],
) -> TensorType:
    own = fact.dtype or dtype
    if fact.dims is not None:
        extents = (d.value if isinstance(d, ast.IntLiteral) else dims[d.name] for d in fact.dims)
        return TensorType(own, tuple(extents))
    if fact.rank is None:
        return TensorType(own, shape)
    return TensorType(own, tuple(islice(unnamed, fact.rank)))


def _endless(sizes: Sequence[int]) -> Iterator[int]:
    return chain(sizes, repeat(sizes[-1]))


def _names(fact: InputFact) -> Iterator[str]:
    return (dim.name for dim in fact.dims or () if isinstance(dim, ast.Name))


def _used_as(checked: Checked, function: str, position: int) -> set[str]:
    """Names that stand as an argument of a builtin."""
    found: set[str] = set()
    for statement in checked.function.body:
        for root in walk.roots(statement):
            for expr in walk.expressions(root):
                if isinstance(expr, ast.Call) and expr.function == function:
                    arg = next(iter(expr.args[position:]), None)
                    if isinstance(arg, ast.Name):
                        found.add(arg.name)
    return found
