"""Random aggregations as text: accesses, output, constraints and what is combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.property import facts
from tests.property.expressions import Expr, expressions
from tests.property.facts import Fact
from tilec.tensor.ir import Aggregation
from tilec.tensor.types import common

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65)
"""Small numbers, primes, and the surroundings of powers of two. 0 is drawn apart."""

_INDICES = "ijkl"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the program.

    Attributes:
        name: Its name.
        shape: Extents.
        sizes: Text of each extent, a name or a number.
        fact: What is known of its elements.
    """

    name: str
    shape: tuple[int, ...]
    sizes: tuple[str, ...]
    fact: Fact


@dataclass(frozen=True, slots=True)
class Statement:
    """``left = agg(body), constraints``, which may or may not be valid.

    Attributes:
        text: All of it, without what may follow the constraints.
        agg: How values are combined.
        fact: What is known of the value at one index point.
        shape: Extents of the result.
    """

    text: str
    agg: Aggregation
    fact: Fact
    shape: tuple[int, ...]


@st.composite
def aggregations(
    draw: st.DrawFn, name: str, tensors: Sequence[Tensor], *, smooth: bool
) -> Statement:
    """An aggregation over some tensors that defines ``name``."""
    parts = _Parts(draw)
    count = draw(st.sampled_from([1, 1, 2, 2, 3]))
    operands = [parts.operand(draw(st.sampled_from(tensors))) for _ in range(count)]
    outputs = [parts.output() for _ in range(draw(st.sampled_from([0, 1, 1, 2, 2, 3])))]
    body = _plain(draw, operands) or draw(expressions(operands, 3, smooth=smooth))
    agg = draw(st.sampled_from(Aggregation))
    left = f"{name}[{', '.join(item.text for item in outputs)}"
    left += f" : {', '.join(item.size for item in outputs)}]" if outputs else "]"
    text = f"{left} = {agg.value}({body.text})"
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        text += f", {parts.constraint()}"
    return Statement(text, agg, body.fact, tuple(item.extent for item in outputs))


def _plain(draw: st.DrawFn, operands: list[Expr]) -> Expr | None:
    """A combination in one of PlaidML's forms, or None for any other expression.

    The type of a result is that of the expression as it is written. f16 and bf16 are computed in
    f32 inside an aggregation, which makes errors smaller than the facts say.
    """
    if draw(st.booleans()):
        return None
    if len(operands) == 1:
        return operands[0]
    first, second, *third = operands
    if third:
        return _triple(first, second, third[0])
    symbol, op = draw(st.sampled_from([("*", "mul"), ("*", "mul"), ("+", "add"), ("==", "cmp_eq")]))
    fact = facts.apply(op, first.fact, second.fact)
    return None if fact is None else Expr(f"{first.text} {symbol} {second.text}", fact)


def _triple(first: Expr, second: Expr, third: Expr) -> Expr | None:
    """``a == b ? c``: c or 0, in the type in which all three meet."""
    if facts.apply("cmp_eq", first.fact, second.fact) is None:
        return None
    dtype = common([item.fact.dtype for item in (first, second, third)])
    chosen = facts.convert(third.fact, dtype)
    if chosen is None:
        return None
    text = f"{first.text} == {second.text} ? {third.text}"
    return Expr(text, facts.with_value(chosen, None))


@dataclass(frozen=True, slots=True)
class _Coordinate:
    text: str
    size: str
    extent: int


@dataclass(slots=True)
class _Parts:
    """Draws coordinates; remembers the indices and the axes on which they stand alone."""

    draw: st.DrawFn
    indices: list[str] = field(default_factory=list[str])
    axes: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])

    def operand(self, tensor: Tensor) -> Expr:
        """A read of a tensor."""
        pairs = zip(tensor.sizes, tensor.shape, strict=True)
        access = ", ".join(self._read(text, extent) for text, extent in pairs)
        return Expr(f"{tensor.name}[{access}]", tensor.fact)

    def output(self) -> _Coordinate:
        """A coordinate of the output and the size of its axis."""
        extent = self.draw(st.sampled_from(SIZES[:12]))
        kinds = ["alone"] * 8 + ["window", "scaled", "shifted", "reversed", "fraction", "constant"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "constant":
            text = str(self.draw(st.integers(0, extent - 1)))
            return _Coordinate(text, str(extent), extent)
        index = self._index()
        if kind != "alone":
            return _Coordinate(self._form(kind, index, str(extent)), str(extent), extent)
        # Mostly as many elements as the index has values, else a slice, or more.
        if index in self.axes and self.draw(st.integers(0, 3)) > 0:
            return _Coordinate(index, *self.axes[index])
        return _Coordinate(index, str(extent), extent)

    def constraint(self) -> str:
        """A constraint on the indices that there are."""
        if not self.indices:
            return f"0 < {self.draw(st.integers(1, 3))}"
        first, second = (self.draw(st.sampled_from(self.indices)) for _ in range(2))
        forms = [first, first, first, f"{first} - {second}", f"{first} + 2*{second} - 1"]
        forms += [f"{first}/2", f"3 - {first}"]
        bound = self.draw(st.sampled_from([1, 2, 3, 4, 7, 16]))
        return f"{self.draw(st.sampled_from(forms))} < {bound}"

    def _read(self, size: str, extent: int) -> str:
        kinds = ["alone"] * 6 + ["window"] * 2 + ["scaled", "shifted", "reversed", "fraction"]
        kind = self.draw(st.sampled_from([*kinds, "constant"]))
        if kind == "constant":
            return str(self.draw(st.integers(0, max(0, extent - 1))))
        index = self._index()
        if kind == "alone":
            self.axes.setdefault(index, (size, extent))
            return index
        return self._form(kind, index, size)

    def _index(self) -> str:
        """A known index or, while there are few, a new one."""
        fresh = [name for name in _INDICES if name not in self.indices][:1]
        name = self.draw(st.sampled_from([*fresh, *fresh, *self.indices]))
        if name not in self.indices:
            self.indices.append(name)
        return name

    def _form(self, kind: str, index: str, size: str) -> str:
        """An index expression with more to it than an index."""
        draw = self.draw
        match kind:
            case "window":
                stride = draw(st.sampled_from(["", "", "2*", "3"]))
                dilation = draw(st.sampled_from(["", "", "2*"]))
                offset = draw(st.sampled_from(["", "", " - 1", " - 2", " + 1"]))
                return f"{stride}{index} + {dilation}{self._index()}{offset}"
            case "scaled":
                return f"{draw(st.sampled_from([2, 3, 5]))}*{index} + {draw(st.integers(0, 2))}"
            case "shifted":
                return f"{index} {draw(st.sampled_from('+-'))} {draw(st.integers(1, 3))}"
            case "reversed":
                return f"{size} - 1 - {index}"
            case _:
                over = draw(st.sampled_from([2, 3]))
                forms = [f"{index}/{over}", f"({index} + 1)/{over}", f"2*{index}/3"]
                forms.append(f"({index} - {self._index()} + 1)/{over}")
                return draw(st.sampled_from(forms))
