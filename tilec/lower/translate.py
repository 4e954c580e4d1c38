"""Scalar expressions of the tensor IR as kernel expressions: addresses and explicit widening.

f16 and bf16 elements are computed in f32 and rounded after each operation, which for f16 is what
IEEE arithmetic in f16 gives (f32 has more than twice its precision, Figueroa 1995).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

from tilec.dtypes import BF16, F16, F32, I64, DType
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import INDEX, Apply, Buffer, Const, Expr, Load, VType
from tilec.records import dataclass
from tilec.tensor import scalar
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Form, form_of

_EXACT = frozenset({"cond", "cast", "neg", "abs", "max", "min", "relu", "sign"})
"""Operations whose result is one of the operands or a small integer: no rounding can happen."""


RESULT = "."
"""Name under which an epilogue reads the element that was just computed; no tensor has it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor in memory: its buffer and the stride of each axis in elements."""

    buffer: Buffer
    strides: tuple[int, ...]


Places = Mapping[str, Place]


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major element strides."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def form_expr(form: Form) -> Expr:
    """The numerator of a form, divided exactly by its denominator."""
    total: Expr = build.const(0)
    for name, factor in form.terms:
        total = build.add(total, build.mul(build.var(name), build.const(factor)))
    total = build.add(total, build.const(form.const))
    return build.floor_div(total, form.denominator)


def offset(place: Place, access: tuple[Affine, ...]) -> Expr:
    """Element offset of the coordinates ``access`` in a buffer."""
    merged = Form((), 0)
    exact: Expr = build.const(0)
    for affine, stride in zip(access, place.strides, strict=True):
        form = form_of(affine)
        if form.denominator == 1:
            merged = merged.plus(form, stride)
        else:
            exact = build.add(exact, build.mul(form_expr(form), build.const(stride)))
    return build.add(form_expr(merged), exact)


def translate(
    value: scalar.Scalar, places: Places, known: Mapping[str, Expr] = MappingProxyType({})
) -> Expr:
    """The kernel expression of a scalar expression over loop variables.

    ``known`` holds what stands for reads of some names without coordinates, such as the value of
    ``RESULT`` to which an epilogue is applied.
    """
    match value:
        case scalar.Literal():
            return Const(value.value, VType(value.dtype))
        case scalar.Read(tensor=tensor, access=()) if tensor in known:
            return known[tensor]
        case scalar.Read():
            place = places[value.tensor]
            return Load(place.buffer.name, offset(place, value.access), VType(value.dtype))
        case scalar.IndexValue():
            return convert(form_expr(form_of(value.form)), value.dtype)
        case scalar.Apply():
            args = tuple(translate(arg, places, known) for arg in value.args)
            return _apply(value.op, args, value.dtype)


def convert(value: Expr, dtype: DType) -> Expr:
    """``value`` cast to ``dtype``, lane by lane."""
    if value.type.dtype == dtype:
        return value
    return Apply("cast", (value,), VType(dtype, value.type.lanes))


def _apply(op: str, args: tuple[Expr, ...], dtype: DType) -> Expr:
    if not args:
        raise InternalError(f"operation {op} without operands")
    narrow = (F16, BF16)
    if op == "cast" and args[0].type.dtype == dtype:
        return args[0]
    if op in _EXACT and BF16 not in (dtype, *(arg.type.dtype for arg in args)):
        return Apply(op, args, VType(dtype))
    if op == "cast" or not any(arg.type.dtype in narrow for arg in args):
        return Apply(op, args, VType(dtype))
    widened = tuple(convert(arg, F32) if arg.type.dtype in narrow else arg for arg in args)
    result = F32 if dtype in narrow else dtype
    return convert(Apply(op, widened, VType(result)), dtype)


def index_value(value: Expr) -> Expr:
    """An integer expression as an i64 index."""
    return value if value.type == INDEX else Apply("cast", (value,), VType(I64))
