"""Softmax and its relatives along any axes."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.ops.texts import axes_of, listed, number, numbered, single, text
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor, tensor


@public
def softmax(x: Operand, axis: int | Sequence[int] = -1) -> Tensor:
    """``e / e.sum(axis, keepdims=True)`` with ``e = np.exp(x - x.max(axis, keepdims=True))``.

    Several axes are one: the sum over all of them is 1.

    Raises:
        ArgumentError: there is no such axis.
    """
    return _along("softmax", x, axis, "E = exp(X - M); {sum} = +(E[{at}]); Y = E / S;")


@public
def log_softmax(x: Operand, axis: int | Sequence[int] = -1) -> Tensor:
    """``np.log(softmax(x, axis))``, without underflow.

    Raises:
        ArgumentError: there is no such axis.
    """
    return _along("log_softmax", x, axis, "D = X - M; {sum} = +(exp(D[{at}])); Y = D - log(S);")


@public
def hardmax(x: Operand, axis: int = -1) -> Tensor:
    """1 at the first of the largest elements along an axis, 0 elsewhere.

    Raises:
        ArgumentError: there is no such axis.
    """
    return _along(
        "hardmax",
        x,
        axis,
        "I = index(X, {axis}); {sum} = <(X[{at}] == M[{kept}] ? I[{at}] : N{axis}); "
        "Y = I == S ? U : Z;",
        1.0,
        0.0,
    )


def _along(op: str, x: Operand, axis: int | Sequence[int], body: str, *numbers: float) -> Tensor:
    """A function of the largest element M along axes, which stay with size 1, and of numbers U and
    Z.
    """
    x = tensor(x)
    along = axes_of(op, axis, x.ndim)
    sizes, places = numbered("N", x.ndim), numbered("i", x.ndim)
    kept, ones = list(places), list(sizes)
    for at in along:
        kept[at], ones[at] = "0", "1"
    result = f"[{listed(kept)} : {listed(ones)}]"
    filled = body.format(sum=f"S{result}", at=listed(places), kept=listed(kept), axis=listed(along))
    name = "_".join(map(str, (op, x.ndim, *along)))
    called = text(
        f"function {name}(X[{listed(sizes)}]{', U, Z' * bool(numbers)}) -> (Y) {{ "
        f"M{result} = >(X[{listed(places)}]); {filled} }}"
    )
    return single(called, x, *(number(each, x) for each in numbers))
