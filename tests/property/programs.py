"""A hypothesis strategy for valid Tile programs as text, with arrays to run them on.

A program grows statement by statement. Each candidate is compiled down to the tensor IR; one that
the compiler refuses (no index point, an index without bounds, an element written twice) is dropped.
So everything that comes out is valid, and the strategy needs no proof of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.property import facts
from tests.property.aggregations import SIZES, Statement, Tensor, aggregations
from tests.property.expressions import Expr, expressions
from tests.property.facts import Fact
from tilec.dtypes import ALL, BF16, BOOL, F32, F64, I32, U32, DType, integer_range
from tilec.errors import BoundsError, LimitError, ShapeError
from tilec.lang.check import check_file
from tilec.lang.lower.program import lower
from tilec.lang.parse import parse
from tilec.source import Source
from tilec.tensor import domain
from tilec.tensor.ir import Aggregation, Contraction, Program, TensorType
from tilec.tensor.numpy_ops import storage
from tilec.tensor.size import concrete

Array = NDArray[Any]

MAX_POINTS = 100_000
"""Index points of one contraction."""

MAX_ELEMENTS = 16_384
"""Elements of one tensor."""


RANDOM = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)
"""Settings for tests over ``cases``: making one takes some tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program and what to run it on.

    Attributes:
        text: The program.
        arrays: Inputs by name; bf16 as ``ml_dtypes.bfloat16``.
        facts: What is known of each output.
    """

    text: str
    arrays: dict[str, Array]
    facts: dict[str, Fact]

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{name}: {array.dtype}{list(array.shape)}" for name, array in self.arrays.items()
        )
        return f"Case of\n{self.text}\non {arrays}"


@st.composite
def cases(
    draw: st.DrawFn, *, max_statements: int = 3, dtypes: Sequence[DType] | None = None
) -> Case:
    """A valid program of up to ``max_statements`` statements, and its inputs.

    Args:
        draw: Given by hypothesis.
        max_statements: Bound of their number.
        dtypes: What inputs may be, apart from those that must be integers; by default anything,
            and values may be special then.
    """
    smooth = dtypes is not None or draw(st.integers(0, 3)) > 0
    grown = _Growing(draw, smooth, dtypes or (F32, F32, F64, I32, *ALL))
    for _ in range(draw(st.integers(1, 2))):
        grown.add_input(draw(_shapes()))
    wanted = draw(st.integers(1, max_statements))
    for _ in range(3 * wanted):
        if len(grown.statements) < wanted:
            grown.try_statement()
    assume(grown.statements)
    names = list(grown.statements)
    outputs = [name for name in names if name == names[-1] or draw(st.booleans())]
    return Case(
        grown.text(outputs),
        {name: grown.array(item) for name, item in grown.inputs.items()},
        {name: grown.known[name].fact for name in outputs},
    )


def fill(tensor: Tensor, random: np.random.Generator) -> Array:
    """Values that the fact of a tensor allows."""
    fact = tensor.fact
    dtype = fact.dtype
    if not dtype.is_float:
        low, high = int(fact.low), int(fact.high)
        kind = np.dtype(np.uint8) if dtype == BOOL else storage(dtype)
        values = np.asarray(random.integers(low, high, tensor.shape, kind, endpoint=True))
        return values.astype(storage(dtype))
    assert fact.grain is not None
    scale = 2**fact.grain
    whole = random.integers(int(fact.low * scale), int(fact.high * scale) + 1, tensor.shape)
    values = np.asarray(whole / scale)
    if fact.special:
        chosen = random.random(tensor.shape)
        for at, special in enumerate((np.nan, np.inf, -np.inf)):
            values = np.where(chosen > 0.97 + at / 100, special, values)
    return values.astype(ml_dtypes.bfloat16 if dtype == BF16 else storage(dtype))


@st.composite
def _shapes(draw: st.DrawFn) -> tuple[int, ...]:
    """A shape of few elements."""
    rank = draw(st.sampled_from([0, 1, 1, 2, 2, 2, 3]))
    shape: list[int] = []
    for _ in range(rank):
        limit = max(1, MAX_ELEMENTS // 4 // prod(max(1, n) for n in shape))
        shape.append(draw(st.sampled_from([n for n in SIZES if n <= limit])))
    if shape and draw(st.integers(0, 19)) == 0:
        shape[draw(st.integers(0, rank - 1))] = 0
    return tuple(shape)


@dataclass(slots=True)
class _Growing:
    """A program that grows; every state of it is valid."""

    draw: st.DrawFn
    smooth: bool
    dtypes: Sequence[DType]
    inputs: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    known: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    statements: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    seed: int = 0

    def __post_init__(self) -> None:
        self.seed = self.draw(st.integers(0, 2**16))

    # --- inputs

    def add_input(
        self,
        shape: tuple[int, ...],
        dtype: DType | None = None,
        *,
        sizes: tuple[str, ...] | None = None,
    ) -> Tensor:
        dtype = dtype or self.draw(st.sampled_from(self.dtypes))
        name = f"A{len(self.inputs)}"
        if sizes is None:
            sizes = tuple(
                str(n) if self.draw(st.integers(0, 5)) == 0 else f"N{len(self.inputs)}{axis}"
                for axis, n in enumerate(shape)
            )
        fact = _input_fact(dtype, wide=self.draw(st.booleans()), special=not self.smooth)
        tensor = Tensor(name, shape, sizes, fact)
        self.inputs[name] = self.known[name] = tensor
        return tensor

    def array(self, tensor: Tensor) -> Array:
        """Values for an input."""
        return fill(tensor, np.random.default_rng([self.seed, int(tensor.name[1:])]))

    # --- text

    def text(self, outputs: list[str], *extra: str) -> str:
        inputs = ", ".join(
            f"{item.name}[{', '.join(item.sizes)}]: {item.fact.dtype}"
            for item in self.inputs.values()
        )
        body = [line for lines in self.statements.values() for line in lines]
        listed = "".join(f"\n  {line};" for line in (*body, *extra))
        return f"function ({inputs}) -> ({', '.join(outputs)}) {{{listed}\n}}"

    def lowered(self, name: str, *statement: str) -> Program | None:
        """The program with one more statement; None when it is refused for its sizes."""
        file = parse(Source("<property>", self.text([name], *statement)))
        types = {
            item.name: TensorType(item.fact.dtype, item.shape) for item in self.inputs.values()
        }
        try:
            return lower(check_file(file)[-1], types)
        except (BoundsError, ShapeError, LimitError):
            return None

    def accept(self, name: str, lines: tuple[str, ...], fact: Fact | None) -> bool:
        """Keep statements that define ``name``, if the compiler takes them."""
        if fact is None:
            return False
        program = self.lowered(name, *lines)
        if program is None:
            return False
        kind = program.types()[program.outputs[0].value]
        shape = concrete(kind.shape)
        if prod(shape) > MAX_ELEMENTS:
            return False
        # Folding in the compiler may have given a number another type than the rules would.
        assert kind.dtype == fact.dtype, f"{kind.dtype} instead of {fact.dtype}: {lines}"
        self.statements[name] = lines
        self.known[name] = Tensor(name, shape, tuple(map(str, shape)), fact)
        return True

    # --- statements

    def try_statement(self) -> None:
        """Add one random statement, or none."""
        name = f"R{len(self.statements)}"
        inputs = dict(self.inputs)
        kind = self.draw(
            st.sampled_from(["contraction"] * 6 + ["elementwise"] * 3 + ["special"] * 3)
        )
        if kind == "contraction":
            done = self._contraction(name)
        elif kind == "elementwise":
            done = self._elementwise(name)
        else:
            done = self._special(name)
        if not done:
            for extra in self.inputs.keys() - inputs.keys():
                del self.inputs[extra], self.known[extra]

    def pick(self) -> Tensor:
        return self.draw(st.sampled_from(list(self.known.values())))

    def _contraction(self, name: str) -> bool:
        made = self.draw(aggregations(name, list(self.known.values()), smooth=self.smooth))
        if prod(made.shape) > MAX_ELEMENTS:
            return False
        node = _contraction(self.lowered(name, made.text))
        terms = None if node is None else self._terms(node)
        result = None if terms is None else _result(made, terms)
        if result is None:
            return False
        text = made.text
        if self.draw(st.integers(0, 3)) == 0:
            sizes = tuple(map(str, made.shape))
            default = self.add_input(made.shape, result.dtype, sizes=sizes)
            result = facts.with_value(result, default.fact)
            text += f" default {default.name}"
        else:
            result = facts.with_value(result, None)
        promised = self.draw(st.integers(0, 3)) == 0
        if promised and self.accept(name, (f"{text} no_defract",), result):
            return True
        return self.accept(name, (text,), result)

    def _terms(self, node: Contraction) -> int | None:
        """Bound of the points that meet in one element; None when there are too many in all."""
        types = {item.name: TensorType(item.fact.dtype, item.shape) for item in self.known.values()}
        points = domain.of(node, types)
        if domain.is_empty(points):
            return 1
        ranges = {name: high - low + 1 for name, (low, high) in domain.bounds(points).items()}
        if prod(ranges.values()) > MAX_POINTS:
            return None
        fixed = {form.indices[0] for form in node.output if len(form.terms) == 1}
        return prod(count for name, count in ranges.items() if name not in fixed)

    def _elementwise(self, name: str) -> bool:
        base = self.pick()
        leaves = [
            Expr(item.name, item.fact)
            for item in self.known.values()
            if _broadcasts(item.shape, base.shape)
        ]
        sizes = {*base.sizes} - {str(n) for n in range(100)}
        extents = dict(zip(base.sizes, base.shape, strict=True))
        leaves += [
            Expr(text, Fact(I32, extents[text], extents[text]), constant=True)
            for text in sorted(sizes)
        ]
        made = self.draw(expressions([Expr(base.name, base.fact), *leaves], 3, smooth=self.smooth))
        return not made.constant and self.accept(name, (f"{name} = {made.text}",), made.fact)

    def _special(self, name: str) -> bool:
        base, draw = self.pick(), self.draw
        match draw(st.sampled_from(["reshape", "index", "gather", "scatter", "argsort", "random"])):
            case "reshape":
                sizes = draw(st.sampled_from(_factorings(prod(base.shape))))
                text = f"{name} = reshape({', '.join([base.name, *map(str, sizes)])})"
                return self.accept(name, (text,), base.fact)
            case "index" if base.shape:
                axis = draw(st.integers(0, len(base.shape) - 1))
                fact = Fact(I32, 0, max(0, base.shape[axis] - 1))
                return self.accept(name, (f"{name} = index({base.name}, {axis})",), fact)
            case "gather" if base.shape:
                dtype = draw(st.sampled_from([d for d in ALL if d.is_integer]))
                rows = self.add_input(draw(st.sampled_from([(), (3,), (2, 4), (0,)])), dtype)
                return self.accept(name, (f"{name} = gather({base.name}, {rows.name})",), base.fact)
            case "scatter" if base.shape:
                dtype = draw(st.sampled_from([d for d in ALL if d.is_integer]))
                rows = self.add_input(base.shape[:1], dtype, sizes=base.sizes[:1])
                like = self.add_input((draw(st.sampled_from([1, 3, 9])),), BOOL)
                return self._scatter(name, base, rows, like)
            case "argsort" if base.shape and base.fact.exact:
                axis = draw(st.integers(0, len(base.shape) - 1))
                text = f"{name} = argsort({base.name}, {axis}, {draw(st.integers(0, 1))})"
                return self.accept(name, (text,), Fact(I32, 0, max(0, base.shape[axis] - 1)))
            case "random":
                return self._random(name)
            case _:
                return False

    def _scatter(self, name: str, base: Tensor, rows: Tensor, like: Tensor) -> bool:
        wide = facts.convert(base.fact, facts.combining(Aggregation.SUM, base.fact.dtype))
        fact = None
        if wide is not None:
            fact = facts.aggregate(Aggregation.SUM, wide, base.shape[0], base.fact.dtype)
        return self.accept(
            name, (f"{name} = scatter({base.name}, {rows.name}, {like.name})",), fact
        )

    def _random(self, name: str) -> bool:
        state = self.add_input((3, 2048), U32, sizes=("3", "2048"))
        shape = self.draw(st.sampled_from(["7", "3, 5", "2049"]))
        lines = (
            f"{name}P = prng_step({state.name}, {shape})",
            f"{name}S = prng_state({name}P)",
            f"{name} = prng_value({name}P)",
        )
        return self.accept(name, lines, Fact(F32, 0, 1, None))


def _contraction(program: Program | None) -> Contraction | None:
    """The node behind the only output, where it is a contraction."""
    if program is None:
        return None
    value = program.outputs[0].value
    nodes = [node for node in program.nodes if node.name == value]
    return nodes[0] if nodes and isinstance(nodes[0], Contraction) else None


def _result(made: Statement, terms: int) -> Fact | None:
    wide = facts.convert(made.fact, facts.combining(made.agg, made.fact.dtype))
    return None if wide is None else facts.aggregate(made.agg, wide, terms, made.fact.dtype)


def _input_fact(dtype: DType, *, wide: bool, special: bool) -> Fact:
    if dtype.is_float:
        return Fact(dtype, -2, 2, 2, special=special)
    low, high = integer_range(dtype)
    return Fact(dtype, low, high) if wide else Fact(dtype, max(low, -9), min(high, 9))


def _broadcasts(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    pairs = zip(reversed(shape), reversed(other), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def _factorings(count: int) -> list[tuple[int, ...]]:
    if count == 0:
        return [(0,), (3, 0), (0, 5)]
    found = [(count,), (1, count)]
    found += [(n, count // n) for n in (2, 3, 4, 5, 7) if count % n == 0]
    return found + ([()] if count == 1 else [])
