"""Convolutions from short texts, for the tests of what is made of them."""

from __future__ import annotations

from tilec.dtypes import F64
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Input, Output, Program, TensorType
from tilec.tensor.scalar import Apply, Read


def affine(text: str) -> Affine:
    """``y+2i-1`` in letters and numbers."""
    total = Affine()
    for part in text.replace("-", "+-").split("+"):
        if part:
            sign = -1 if part[0] == "-" else 1
            body = part.lstrip("-")
            factor, name = body.rstrip("abcdefghijklmnopqrstuvwxyz"), body.lstrip("0123456789")
            number = sign * int(factor or 1)
            total += Affine.index(name) * number if name else Affine.number(number)
    return total


def conv(
    output: str,
    data: str,
    weights: str,
    out_shape: tuple[int, ...],
    data_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    swapped: bool = False,
) -> Program:
    """A convolution from the texts of its accesses."""

    def access(text: str) -> tuple[Affine, ...]:
        return tuple(affine(part) for part in text.split())

    reads = [Read("X", access(data), F64), Read("W", access(weights), F64)]
    indices = sorted(
        {name for form in (*reads[0].access, *reads[1].access) for name in form.indices}
    )
    node = Contraction(
        "S",
        TensorType(F64, out_shape),
        tuple(indices),
        Aggregation.SUM,
        access(output),
        Apply("mul", tuple(reversed(reads)) if swapped else tuple(reads), F64),
    )
    inputs = (Input("X", TensorType(F64, data_shape)), Input("W", TensorType(F64, weight_shape)))
    return Program("p", inputs, (node,), (Output("S", "S"),))
