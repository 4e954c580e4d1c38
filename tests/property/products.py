"""Programs of the kinds that are optimised most, at sizes around the edges of tiles."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tests.property import facts
from tests.property.aggregations import Tensor
from tests.property.facts import Fact
from tests.property.programs import Case, fill
from tilec.dtypes import BF16, F16, F32, F64, I8, I32, DType
from tilec.tensor.ir import Aggregation

EDGES = (1, 2, 3, 7, 8, 9, 13, 14, 15, 16, 17, 27, 28, 29, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96)
"""Sizes beside multiples of vectors and of register tiles."""

MAX_POINTS = 400_000

_DTYPES = st.sampled_from([F32, F32, F32, F64, F16, BF16, I32, I8])
_EPILOGUES = ("", "R = relu(C);", "R = relu(C + B);", "R = C * 2 - C;", "R = tanh(C / 64);")


@st.composite
def _sizes(draw: st.DrawFn, count: int) -> list[int]:
    sizes = [draw(st.sampled_from(EDGES)) for _ in range(count)]
    if draw(st.integers(0, 29)) == 0:
        sizes[draw(st.integers(0, count - 1))] = 0
    return sizes


@st.composite
def matrix_products(draw: st.DrawFn) -> Case:
    """A product of matrices in any layout, batched or not, with what follows it."""
    m, n, k = draw(_sizes(3))
    batch = draw(st.sampled_from([0, 0, 0, 1, 3]))
    assume(m * n * k * max(1, batch) <= MAX_POINTS)
    extents = {"i": ("M", m), "j": ("N", n), "k": ("K", k), "b": ("P", batch)}
    lead = "b" if batch else ""
    left = draw(st.permutations(["i", "k"]))
    right = draw(st.permutations(["k", "j"]))
    out = draw(st.permutations(["i", "j"]))
    axes = {"X": [*lead, *left], "Y": [*lead, *right], "C": [*lead, *out]}
    if draw(st.booleans()):
        axes["Y"] = right
    tensors = {
        name: (
            tuple(extents[axis][0] for axis in axes[name]),
            tuple(extents[axis][1] for axis in axes[name]),
        )
        for name in ("X", "Y")
    }
    body = f"X[{', '.join(axes['X'])}] * Y[{', '.join(axes['Y'])}]"
    sizes = ", ".join(extents[axis][0] for axis in axes["C"])
    statement = f"C[{', '.join(axes['C'])} : {sizes}] = +({body});"
    return _case(draw, tensors, statement, extents[out[1]], k)


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    """A convolution of one or two dimensions with strides, dilation and padding."""
    rank = draw(st.integers(1, 2))
    channels, filters = (draw(st.sampled_from([1, 3, 8, 16, 17])) for _ in range(2))
    spatial = [draw(st.sampled_from([1, 5, 7, 8, 14, 15, 16, 28])) for _ in range(rank)]
    window = [draw(st.sampled_from([1, 2, 3])) for _ in range(rank)]
    stride, dilation = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 2]))
    # The first window meets the first element.
    offset = dilation * draw(st.integers(0, min(window) - 1))
    out = [-(-n // stride) for n in spatial]
    assume(prod(out) * prod(window) * channels * filters <= MAX_POINTS)
    places = "yx"[:rank]
    access = [f"{stride}*{p} + {dilation}*{p}f - {offset}" for p in places]
    tensors = {
        "X": ((*(f"S{p}" for p in places), "CI"), (*spatial, channels)),
        "Y": ((*(f"W{p}" for p in places), "CI", "CO"), (*window, channels, filters)),
    }
    body = f"X[{', '.join(access)}, ci] * Y[{', '.join(f'{p}f' for p in places)}, ci, co]"
    sizes = ", ".join(map(str, out))
    statement = f"C[{', '.join(places)}, co : {sizes}, CO] = +({body});"
    return _case(draw, tensors, statement, ("CO", filters), prod(window) * channels)


@st.composite
def moves(draw: st.DrawFn) -> Case:
    """Axes in another order, on the way from what is read to what is added; or rows by number."""
    dtype = draw(_DTYPES)
    value = Fact(dtype, -2, 2, 2) if dtype.is_float else Fact(dtype, -9, 9)
    names = "ijk"[: draw(st.integers(2, 3))]
    extents = {name: draw(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 31, 32, 33])) for name in names}
    to = draw(st.permutations(names))
    sizes = {name: name.upper() for name in names}
    of = Tensor("X", tuple(extents[i] for i in names), tuple(sizes[i] for i in names), value)
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    arrays = {"X": fill(of, random)}
    head = f"X[{', '.join(of.sizes)}]: {dtype}"
    if draw(st.booleans()):
        count = draw(st.sampled_from([1, 5, 31, 32, 33]))
        arrays["N"] = random.integers(0, extents["i"], count).astype(np.int32)
        text = f"function ({head}, N[P]: i32) -> (T) {{\n  T = gather(X, N);\n}}"
        return Case(text, arrays, {"T": value})
    left = f"T[{', '.join(to)} : {', '.join(sizes[i] for i in to)}]"
    text = f"function ({head}) -> (T) {{\n  {left} = =(X[{', '.join(names)}]);\n}}"
    return Case(text, arrays, {"T": value})


@st.composite
def reductions(draw: st.DrawFn) -> Case:
    """Many values into few elements, which may be split among tasks."""
    rank = draw(st.integers(1, 3))
    names = "ijkl"[: rank + draw(st.integers(0, 1))]
    outputs = draw(st.permutations(names))[: len(names) - rank]
    extents = {name: draw(st.sampled_from([1, 2, 3, 5, 16, 17])) for name in outputs}
    for name in names:
        extents.setdefault(name, draw(st.sampled_from([1, 7, 16, 31, 33, 64, 65, 96, 257])))
    assume(prod(extents.values()) <= MAX_POINTS)
    dtype, agg = draw(_DTYPES), draw(st.sampled_from(["+", "+", ">", "<"]))
    value = Fact(dtype, -2, 2, 2) if dtype.is_float else Fact(dtype, -9, 9)
    axes = {"X": draw(st.permutations(names))}
    if draw(st.booleans()):
        axes["Y"] = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    inputs = {
        name: Tensor(name, tuple(extents[i] for i in own), tuple(i.upper() for i in own), value)
        for name, own in axes.items()
    }
    body = " * ".join(f"{name}[{', '.join(own)}]" for name, own in axes.items())
    constraint = draw(st.sampled_from(["", "", f", {names[0]} < {extents[names[0]] // 2 + 1}"]))
    left = f"C[{', '.join(outputs)}"
    left += f" : {', '.join(i.upper() for i in outputs)}]" if outputs else "]"
    header = ", ".join(f"{item.name}[{', '.join(item.sizes)}]: {dtype}" for item in inputs.values())
    text = f"function ({header}) -> (C) {{\n  {left} = {agg}({body}){constraint};\n}}"
    term = facts.apply("mul", value, value) if len(axes) > 1 else value
    kind = Aggregation(agg)
    wide = term and facts.convert(term, facts.combining(kind, dtype))
    points = prod(extents[i] for i in names if i not in outputs)
    total = wide and facts.aggregate(kind, wide, points, dtype)
    assume(total is not None)
    assert total is not None
    seed = draw(st.integers(0, 2**16))
    arrays = {
        name: fill(item, np.random.default_rng([seed, at]))
        for at, (name, item) in enumerate(inputs.items())
    }
    return Case(text, arrays, {"C": total})


def _case(
    draw: st.DrawFn,
    tensors: dict[str, tuple[tuple[str, ...], tuple[int, ...]]],
    statement: str,
    last: tuple[str, int],
    terms: int,
) -> Case:
    """A program of one product and an epilogue, and the bound of its error."""
    dtype = draw(_DTYPES)
    epilogue = draw(st.sampled_from(_EPILOGUES))
    value = Fact(dtype, -2, 2, 2) if dtype.is_float else Fact(dtype, -9, 9)
    inputs = {name: Tensor(name, shape, sizes, value) for name, (sizes, shape) in tensors.items()}
    inputs["B"] = Tensor("B", (last[1],), (last[0],), value)
    seed = draw(st.integers(0, 2**16))
    output = "R" if epilogue else "C"
    fact = _predicted(dtype, epilogue, value, terms)
    assume(fact is not None)
    assert fact is not None
    header = ", ".join(f"{item.name}[{', '.join(item.sizes)}]: {dtype}" for item in inputs.values())
    text = f"function ({header}) -> ({output}) {{\n  {statement}\n  {epilogue}\n}}"
    arrays = {
        name: fill(item, np.random.default_rng([seed, at]))
        for at, (name, item) in enumerate(inputs.items())
    }
    return Case(text, arrays, {output: fact})


def _predicted(dtype: DType, epilogue: str, value: Fact, terms: int) -> Fact | None:
    two = Fact(facts.INDEX, 2, 2)
    product = facts.apply("mul", value, value)
    wide = product and facts.convert(product, facts.combining(Aggregation.SUM, dtype))
    total = wide and facts.aggregate(Aggregation.SUM, wide, terms, dtype)
    if total is None:
        return None
    match epilogue:
        case "":
            return total
        case "R = relu(C);":
            return facts.apply("relu", total)
        case "R = relu(C + B);":
            shifted = facts.apply("add", total, value)
            return shifted and facts.apply("relu", shifted)
        case "R = C * 2 - C;":
            doubled = facts.apply("mul", total, two)
            return doubled and facts.apply("sub", doubled, total)
        case _:
            scaled = facts.apply("div", total, Fact(facts.INDEX, 64, 64))
            return scaled and facts.apply("tanh", scaled)
