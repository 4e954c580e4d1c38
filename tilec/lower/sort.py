"""Sorting as a network: the same comparisons whatever the data, so plain loops suffice.

Batcher's odd-even merge sort for any length (Knuth, The Art of Computer Programming 3, 5.2.2,
algorithm M). Ties are broken by position, which makes it stable: about n/4 log2(n)^2 comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping

from tilec.dtypes import BF16, BOOL, F16, F32, I32
from tilec.kernel import build
from tilec.kernel.ir import (
    CONDITION,
    INDEX,
    Apply,
    Expr,
    For,
    If,
    Let,
    Load,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower.special import Body
from tilec.lower.translate import Place, convert
from tilec.tensor.ir import ArgSort, TensorType
from tilec.tensor.size import concrete


def argsort(
    node: ArgSort, places: Mapping[str, Place], target: Place, types: Mapping[str, TensorType]
) -> Body:
    """Positions that sort the operand along one axis, every line of it on its own."""
    shape = concrete(node.type.shape)
    source = places[node.operand]
    n = shape[node.axis]
    names = [f"i{axis}" for axis in range(len(shape)) if axis != node.axis]
    line = [axis for axis in range(len(shape)) if axis != node.axis]
    base = _sum([build.mul(build.var(f"i{a}"), build.const(source.strides[a])) for a in line])
    start = _sum([build.mul(build.var(f"i{a}"), build.const(target.strides[a])) for a in line])
    step, stride = target.strides[node.axis], source.strides[node.axis]
    out = target.buffer.name
    kind = VType(I32)

    def slot(at: Expr) -> Expr:
        return build.add(start, build.mul(at, build.const(step)))

    def key(position: Expr) -> Expr:
        index = build.add(base, build.mul(_clamped(position, n), build.const(stride)))
        value = Load(source.buffer.name, index, VType(types[node.operand].dtype))
        return convert(value, F32) if value.type.dtype in (F16, BF16) else value

    p = build.var("p")
    stmts: list[Stmt] = [
        For("p", build.const(0), build.const(n), (Store(out, slot(p), convert(p, I32)),))
    ]
    for low, high, loops in _network(n):
        left, right = Var("left", kind), Var("right", kind)
        a, b = key(left), key(right)
        swap: tuple[Stmt, ...] = (
            Let(left, Load(out, slot(low), kind)),
            Let(right, Load(out, slot(high), kind)),
            If(
                _before(b, a, right, left, descending=node.descending),
                (Store(out, slot(low), right), Store(out, slot(high), left)),
            ),
        )
        stmts += loops(swap)
    body = tuple(stmts)
    for axis, name in zip(reversed(line), reversed(names), strict=True):
        body = (For(name, build.const(0), build.const(shape[axis]), body),)
    return Body(body, notes=("sorted by an odd-even merge network",))


class _Layer:
    """Loops over the pairs of one layer of the network, to be put around a comparison."""

    def __init__(self, n: int, p: int, k: int) -> None:
        self.n, self.p, self.k = n, p, k

    def __call__(self, body: tuple[Stmt, ...]) -> list[Stmt]:
        first = self.k % self.p
        blocks = build.const(self.n - self.k)
        at = build.add(build.var("j"), build.var("i"))
        same = build.compare(
            "cmp_eq",
            build.floor_div(at, 2 * self.p),
            build.floor_div(build.add(at, build.const(self.k)), 2 * self.p),
        )
        fits = build.minimum(build.const(self.k), build.sub(blocks, build.var("j")))
        guarded = body if self.k == self.p else (If(same, body),)
        inner = For("i", build.const(0), fits, guarded)
        return [For("j", build.const(first), blocks, (inner,), step=2 * self.k)]


def _network(n: int) -> list[tuple[Expr, Expr, _Layer]]:
    """Positions that each layer compares, over its loops ``j`` and ``i``."""
    layers: list[tuple[Expr, Expr, _Layer]] = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            low = build.add(build.var("j"), build.var("i"))
            layers.append((low, build.add(low, build.const(k)), _Layer(n, p, k)))
            k //= 2
        p *= 2
    return layers


def _before(a: Expr, b: Expr, at: Expr, other: Expr, *, descending: bool) -> Expr:
    """Whether key ``a`` (from position ``at``) sorts before ``b``; NaN sorts last either way."""
    less = Apply("cmp_gt" if descending else "cmp_lt", (a, b), CONDITION)
    equal = Apply("cmp_eq", (a, b), CONDITION)
    if a.type.dtype.is_float:
        a_nan = Apply("cmp_ne", (a, a), CONDITION)
        b_nan = Apply("cmp_ne", (b, b), CONDITION)
        number_first = build.both(b_nan, Apply("logical_not", (a_nan,), CONDITION))
        less = build.either(less, number_first)
        equal = build.either(equal, build.both(a_nan, b_nan))
    earlier = Apply("cmp_lt", (at, other), VType(BOOL))
    return build.either(less, build.both(equal, earlier))


def _clamped(position: Expr, n: int) -> Expr:
    """A stored position as an index; the clamp only lets the verifier see that it is in range."""
    index = Apply("cast", (position,), INDEX)
    high = Apply("min", (index, build.const(n - 1)), INDEX)
    return Apply("max", (high, build.const(0)), INDEX)


def _sum(terms: list[Expr]) -> Expr:
    total: Expr = build.const(0)
    for term in terms:
        total = build.add(total, term)
    return total
