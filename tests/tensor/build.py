"""Short ways to write tensor IR in tests, and its meaning by plain enumeration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import lcm
from operator import mul

from tilec.dtypes import F32, DType
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    Constraint,
    Contraction,
    Input,
    Node,
    Output,
    Program,
    TensorType,
)
from tilec.tensor.scalar import Apply, Read, Scalar
from tilec.tensor.size import concrete

_TERM = re.compile(r"([+-]?)(?:(\d+(?:/\d+)?)(?:\*|$))?([a-z]\w*)?(?:/(\d+))?")


def form(text: str) -> Affine:
    """An index expression such as ``2*i - k/3 + 1/2``."""
    terms: dict[str, Fraction] = {}
    const = Fraction(0)
    for part in text.replace(" ", "").replace("-", "+-").split("+"):
        if not part:
            continue
        found = _TERM.fullmatch(part)
        assert found is not None, part
        sign, factor, name, divisor = found.groups()
        value = Fraction(factor or 1) / int(divisor or 1) * (-1 if sign else 1)
        if name:
            terms[name] = terms.get(name, Fraction(0)) + value
        else:
            const += value
    return Affine.build(terms.items(), const)


def forms(text: str) -> tuple[Affine, ...]:
    """Comma-separated index expressions."""
    return tuple(form(part) for part in text.split(",") if part.strip())


def tensor(*shape: int, dtype: DType = F32) -> TensorType:
    """A tensor type."""
    return TensorType(dtype, shape)


def read(name: str, access: str, dtype: DType = F32) -> Read:
    """A read such as ``read("A", "i + k, 0")``."""
    return Read(name, forms(access), dtype)


def times(*values: Scalar) -> Scalar:
    """A product."""
    result = values[0]
    for value in values[1:]:
        result = Apply("mul", (result, value), result.dtype)
    return result


def contraction(
    output: str,
    shape: tuple[int, ...],
    body: Scalar,
    *,
    agg: Aggregation = Aggregation.SUM,
    constraints: tuple[tuple[str, int], ...] = (),
    default: str | None = None,
    indices: tuple[str, ...] | None = None,
    dtype: DType | None = None,
) -> Contraction:
    """The contraction ``O[output : shape] = agg(body), constraints``."""
    node = Contraction(
        "O",
        TensorType(dtype or body.dtype, shape),
        indices or (),
        agg,
        forms(output),
        body,
        tuple(Constraint(form(text), bound) for text, bound in constraints),
        default,
    )
    return node if indices is not None else replace(node, indices=_indices(node))


def _indices(node: Contraction) -> tuple[str, ...]:
    found = [form for form, _ in conditions(node, {})]
    return tuple(dict.fromkeys(name for form in found for name in form.indices))


def program(inputs: Mapping[str, TensorType], *nodes: Node, output: str = "O") -> Program:
    """A program with one output."""
    return Program(
        "test",
        tuple(Input(name, kind) for name, kind in inputs.items()),
        nodes,
        (Output(output, output),),
    )


def conditions(node: Contraction, types: Mapping[str, TensorType]) -> list[tuple[Affine, int]]:
    """What a point must satisfy, straight from the language reference, section 2.4.

    Reads of tensors that have no type here count as unlimited.
    """
    found = list(zip(node.output, concrete(node.type.shape), strict=True))
    for item in _reads(node.body):
        rank = len(item.access)
        shape = concrete(types[item.tensor].shape) if item.tensor in types else (1 << 60,) * rank
        found += zip(item.access, shape, strict=True)
    found += [(item.form, concrete((item.bound,))[0]) for item in node.constraints]
    return found


def _reads(value: Scalar) -> Iterator[Read]:
    if isinstance(value, Read):
        yield value
    elif isinstance(value, Apply):
        for arg in value.args:
            yield from _reads(arg)


def points(node: Contraction, types: Mapping[str, TensorType], reach: int) -> list[dict[str, int]]:
    """All index points with coordinates from -reach to reach, in lexicographic order."""
    tests = [_scaled(form, bound, node.indices) for form, bound in conditions(node, types)]
    return [
        dict(zip(node.indices, values, strict=True))
        for values in product(range(-reach, reach + 1), repeat=len(node.indices))
        if all(_holds(values, *test) for test in tests)
    ]


def _scaled(
    form: Affine, bound: int, indices: tuple[str, ...]
) -> tuple[tuple[int, ...], int, int, int]:
    """Factors, constant and divisor of a form over integers, and its bound."""
    factors, const = form.rational()
    divisor = lcm(const.denominator, *(f.denominator for f in factors.values()))
    row = tuple(int(factors.get(name, Fraction(0)) * divisor) for name in indices)
    return row, int(const * divisor), divisor, bound


def _holds(
    values: tuple[int, ...], factors: tuple[int, ...], const: int, divisor: int, bound: int
) -> bool:
    value = const + sum(map(mul, factors, values))
    return value % divisor == 0 and 0 <= value < bound * divisor


def place(node: Contraction, point: Mapping[str, int]) -> tuple[int, ...]:
    """The output element that an index point writes."""
    return tuple(int(form.evaluate(point)) for form in node.output)
