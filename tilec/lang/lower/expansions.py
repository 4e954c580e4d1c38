"""Builtins that stand for several contractions and maps."""

from __future__ import annotations

from collections.abc import Callable

from tilec.lang.lower.bodies import typed_body
from tilec.lang.lower.builder import Frame
from tilec.lang.lower.values import Tensor
from tilec.source import Span
from tilec.tensor import types
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Map, TensorType
from tilec.tensor.scalar import Read, Scalar
from tilec.tensor.size import Size

_Wide = Callable[[Scalar], Scalar]
_ROW, _COLUMN = "i", "j"


def softmax(x: Tensor, frame: Frame, name: str, span: Span) -> Tensor:
    """``exp(x - max) / sum(exp(x - max))`` over the rows of a matrix."""
    highest = _over_columns(Aggregation.MAX, x, lambda wide: wide(_at(x)), "max", frame, span)
    shifted = types.apply("exp", types.apply("sub", _at(x), _of_row(highest)))
    powers = _matrix(shifted, x, frame.fresh("exp"), frame, span)
    total = _over_columns(
        Aggregation.SUM, powers, lambda wide: wide(_at(powers)), "sum", frame, span
    )
    return _matrix(types.apply("div", _at(powers), _of_row(total)), x, name, frame, span)


def log_softmax(x: Tensor, frame: Frame, name: str, span: Span) -> Tensor:
    """``x - max - log(sum(exp(x - max)))`` over the rows of a matrix."""
    highest = _over_columns(Aggregation.MAX, x, lambda wide: wide(_at(x)), "max", frame, span)

    def power(wide: _Wide) -> Scalar:
        return types.apply("exp", types.apply("sub", wide(_at(x)), wide(_of_row(highest))))

    total = _over_columns(Aggregation.SUM, x, power, "sum", frame, span)
    shifted = types.apply("sub", _at(x), _of_row(highest))
    result = types.apply("sub", shifted, types.apply("log", _of_row(total)))
    return _matrix(result, x, name, frame, span)


def sum_to(x: Tensor, shape: tuple[Size, ...], frame: Frame, name: str, span: Span) -> Tensor:
    """Sum over the leading axes that ``shape`` lacks and over those that it has with size 1."""
    indices = tuple(f"i{axis}" for axis in range(len(x.type.shape)))
    extra = len(indices) - len(shape)
    output = tuple(
        Affine.index(index) if size == old else Affine.number(0)
        for index, size, old in zip(indices[extra:], shape, x.type.shape[extra:], strict=True)
    )
    access = tuple(map(Affine.index, indices))
    body, dtype = typed_body(lambda wide: wide(Read(x.name, access, x.type.dtype)))
    kept = [form.indices[0] for form in output if form.indices]
    reduced = [index for index in indices if index not in kept]
    combined = types.convert(body, types.combining_dtype(Aggregation.SUM, dtype))
    node = Contraction(
        name=name,
        type=TensorType(dtype, shape),
        indices=(*kept, *reduced),
        agg=Aggregation.SUM,
        output=output,
        body=combined,
        span=span,
    )
    return frame.add(node)


def _at(tensor: Tensor) -> Read:
    """The element of a matrix at the row and column at hand."""
    access = (Affine.index(_ROW), Affine.index(_COLUMN))
    return Read(tensor.name, access, tensor.type.dtype)


def _of_row(tensor: Tensor) -> Read:
    """What a row was reduced to, for the row at hand."""
    return Read(tensor.name, (Affine.index(_ROW), Affine.number(0)), tensor.type.dtype)


def _over_columns(
    agg: Aggregation,
    like: Tensor,
    make: Callable[[_Wide], Scalar],
    what: str,
    frame: Frame,
    span: Span,
) -> Tensor:
    """Aggregate each row of a matrix to one column."""
    body, dtype = typed_body(make)
    node = Contraction(
        name=frame.fresh(what),
        type=TensorType(dtype, (like.type.shape[0], 1)),
        indices=(_ROW, _COLUMN),
        agg=agg,
        output=(Affine.index(_ROW), Affine.number(0)),
        body=types.convert(body, types.combining_dtype(agg, dtype)),
        span=span,
    )
    return frame.add(node)


def _matrix(scalar: Scalar, like: Tensor, name: str, frame: Frame, span: Span) -> Tensor:
    type_ = TensorType(scalar.dtype, like.type.shape)
    return frame.add(Map(name, type_, (_ROW, _COLUMN), scalar, span=span))
