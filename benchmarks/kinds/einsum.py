"""Contractions written as ``einsum`` writes them, of two or more factors.

Columns: expr, such as ``acik,bkjc->abij``; sizes, by index.

Products of three and more factors are computed pair by pair, in the order that needs the fewest
operations; ``flop`` counts that order. The Tile program says it in as many statements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, RowError, Work, aligned

_NAMES = "ABCDEFGH"


@dataclass(frozen=True, slots=True)
class Step:
    """The product of two factors, or the reduction of one.

    Attributes:
        factors: Names of the factors.
        reads: Their indices.
        out: Name of the result.
        indices: Its indices.
    """

    factors: tuple[str, ...]
    reads: tuple[str, ...]
    out: str
    indices: str

    def flop(self, sizes: Mapping[str, int]) -> int:
        """A multiplication and an addition at every point."""
        return 2 * math.prod(sizes[index] for index in set("".join(self.reads)))


def case(row: Row) -> Case:
    expr, sizes = row.text("expr"), row.sizes("sizes")
    left, arrow, result = expr.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or not 1 <= len(terms) <= len(_NAMES):
        raise RowError(f"{expr!r} is not of the form ab,bc->ac")
    lacking = sorted(set("".join(terms)) - set(sizes))
    if lacking or not set(result) <= set("".join(terms)):
        raise RowError(f"{expr!r} has an index without a size or an operand")
    steps = order(terms, result, sizes)
    shapes = {
        name: tuple(sizes[index] for index in term)
        for name, term in zip(_NAMES, terms, strict=False)
    }
    names = tuple(shapes)

    def with_numpy(numpy: Any, inputs: Inputs) -> Work:
        arrays = [inputs[name] for name in names]
        path = numpy.einsum_path(expr, *arrays, optimize="optimal")[0]
        out = aligned([sizes[index] for index in result])
        return Work(lambda: numpy.einsum(expr, *arrays, out=out, optimize=path), lambda: out)

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        tensors = [torch.from_numpy(inputs[name]) for name in names]

        def run() -> Any:
            with torch.inference_mode():
                return torch.einsum(expr, *tensors)

        return Work(run, lambda: run().numpy())

    def with_torch_compile(torch: Any, inputs: Inputs) -> Work:
        tensors = [torch.from_numpy(inputs[name]) for name in names]
        torch._dynamo.reset()

        def contract(*given: Any) -> Any:
            return torch.einsum(expr, *given)

        function = torch.compile(contract, dynamic=False)

        def run() -> Any:
            with torch.inference_mode():
                return function(*tensors)

        return Work(run, lambda: run().numpy())

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        arrays = [jax.device_put(inputs[name]) for name in names]

        def contract(*given: Any) -> Any:
            return jax.numpy.einsum(expr, *given, optimize="optimal")

        function = jax.jit(contract)
        return Work(
            lambda: function(*arrays).block_until_ready(), lambda: np.asarray(function(*arrays))
        )

    def reference(inputs: Inputs) -> Array:
        arrays = [inputs[name].astype(np.float64) for name in names]
        return np.einsum(expr, *arrays, optimize="optimal")

    label = row.text("name", "")
    return Case(
        name=f"{label} {expr}" if label else expr,
        program=program(terms, steps),
        shapes=shapes,
        output=tuple(sizes[index] for index in result),
        flop=sum(step.flop(sizes) for step in steps),
        reference=reference,
        peers={
            "numpy": with_numpy,
            "torch": with_torch,
            "torch-compile": with_torch_compile,
            "jax": with_jax,
        },
    )


def order(terms: Sequence[str], result: str, sizes: Mapping[str, int]) -> list[Step]:
    """The order of pairs that needs the fewest operations."""
    factors = tuple(zip(_NAMES, terms, strict=False))
    if len(factors) == 1:
        return [Step((factors[0][0],), (terms[0],), "R", result)]
    return _cheapest(factors, result, sizes, 1)[1]


def _cheapest(
    factors: tuple[tuple[str, str], ...], result: str, sizes: Mapping[str, int], number: int
) -> tuple[int, list[Step]]:
    found: list[tuple[int, list[Step]]] = []
    for pair in combinations(factors, 2):
        left, right = sorted(pair, key=lambda each: -_elements(each[1], sizes))
        rest = tuple(each for each in factors if each not in pair)
        # What remains of the larger factor keeps its order.
        needed = set(result).union(*(indices for _, indices in rest))
        kept = "".join(dict.fromkeys(index for index in left[1] + right[1] if index in needed))
        out = (f"T{number}", kept) if rest else ("R", result)
        step = Step((left[0], right[0]), (left[1], right[1]), *out)
        cost, later = _cheapest((*rest, out), result, sizes, number + 1) if rest else (0, [])
        found.append((cost + step.flop(sizes), [step, *later]))
    return min(found, key=lambda each: each[0])


def _elements(indices: str, sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[index] for index in indices)


def program(terms: Sequence[str], steps: Sequence[Step]) -> str:
    """The Tile function; sizes are called after their indices."""
    header = ", ".join(
        f"{name}[{', '.join(f'N_{index}' for index in term)}]"
        for name, term in zip(_NAMES, terms, strict=False)
    )
    lines = [
        f"  {step.out}[{', '.join(step.indices)} : {', '.join(f'N_{i}' for i in step.indices)}] = "
        + "+("
        + " * ".join(
            f"{name}[{', '.join(read)}]"
            for name, read in zip(step.factors, step.reads, strict=True)
        )
        + ");\n"
        for step in steps
    ]
    return f"function ({header}) -> (R) {{\n{''.join(lines)}}}"
