"""Pieces as loops: initialise, reduce, store, with the fewest guards that are right.

Every output element is stored once, by the loops of its piece. Constraints become loop bounds
where they can, guards where they cannot; a loop that becomes vectors is first split where a
constraint starts or stops to hold, so that its long middle runs without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from math import prod

from tilec.dtypes import F64, I32, DType, Kind, integer_range
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    Fold,
    For,
    If,
    Load,
    LoopKind,
    Scope,
    Stmt,
    Store,
    VType,
)
from tilec.lower.flatten import FlatPiece
from tilec.lower.pieces import Part, restrict, segments
from tilec.lower.plan import WIDE, Plan
from tilec.lower.translate import RESULT, Places, convert, form_expr, translate
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, Form, form_of
from tilec.tensor.ir import Aggregation

CASCADE_POINTS = 4096
"""Float sums of more points are blocked: an f32 block is flushed into an f64 total."""

CASCADE_BLOCK = 32
"""Additions to one f32 accumulator before it is flushed: an error of at most 16 units in the last
place of a block (Higham 1993, the accuracy of floating point summation), for a tenth more work."""

CHUNK = 1 << 14
"""Index points of a task when one long loop is divided; it takes whole wide vectors."""

COMBINE = {
    Aggregation.SUM: "add",
    Aggregation.PRODUCT: "mul",
    Aggregation.MAX: "max",
    Aggregation.MIN: "min",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how the results of a node are stored.

    Attributes:
        agg: Aggregation; ASSIGN for a map.
        accumulate: Type in which values are combined.
        result: Type of an element before its epilogue.
        output: Buffer of the results.
        default: Buffer of what elements without a point hold, None for 0.
        total: Type of the totals of long float sums: f32 where a device has no f64.
    """

    agg: Aggregation
    accumulate: DType
    result: DType
    output: Buffer
    default: Buffer | None
    total: DType = F64


@dataclass(slots=True)
class LoopWriter:
    """Writes the statements of one kernel; gathers the register buffers they use.

    ``again`` is an axis of the output and where along it other kernels store every element later.
    """

    places: Places
    target: Target
    locals: list[Buffer] = field(default_factory=list[Buffer])
    prefix: str = ""
    again: tuple[int, tuple[tuple[int, int], ...]] | None = None

    def piece(self, flat: FlatPiece, plan: Plan) -> tuple[Stmt, ...]:
        """The loops of one piece."""
        axes = list(flat.piece.axes)
        if plan.parallel is None or plan.parallel != plan.vector:
            return self._outer(flat, plan, axes)
        return self._chunks(flat, plan)

    def _chunks(self, flat: FlatPiece, plan: Plan) -> tuple[Stmt, ...]:
        """A single loop, both divided among tasks and made vectors."""
        (axis,) = flat.piece.axes
        points = max((prod(a.extent for a in part.axes) for part in flat.piece.parts), default=1)
        width = plan.lanes * WIDE
        chunk = max(1, CHUNK // max(1, points) // width) * width
        stmts: list[Stmt] = []
        for low, high in segments(flat.piece, axis, alone=False):
            inner = replace(flat, piece=restrict(flat.piece, axis.name, low, high))
            body = self._element(inner, plan)
            if not body:
                continue
            start = build.add(build.mul(build.var(".task"), build.const(chunk)), build.const(low))
            stop = build.minimum(build.add(start, build.const(chunk)), build.const(high))
            loop = For(axis.name, start, stop, body, kind=LoopKind.VECTOR)
            count = build.const(-(-(high - low) // chunk))
            stmts.append(For(".task", build.const(0), count, (loop,), kind=LoopKind.PARALLEL))
        return tuple(stmts)

    def _outer(self, flat: FlatPiece, plan: Plan, left: list[Axis]) -> tuple[Stmt, ...]:
        """Output loops from the outside in; the vector loop is the innermost."""
        if not left:
            return self._element(flat, plan)
        axis = next((a for a in left if a.name != plan.vector), left[0])
        rest = [a for a in left if a is not axis]
        is_vector = axis.name == plan.vector
        body: list[Stmt] = []
        for low, high in segments(flat.piece, axis, alone=not is_vector):
            inner = replace(flat, piece=restrict(flat.piece, axis.name, low, high))
            kind = LoopKind.VECTOR if is_vector else LoopKind.SERIAL
            kind = LoopKind.PARALLEL if axis.name == plan.parallel else kind
            stmts = self._outer(inner, plan, rest)
            if stmts:
                body.append(For(axis.name, build.const(low), build.const(high), stmts, kind=kind))
        return tuple(body)

    def _element(self, flat: FlatPiece, plan: Plan) -> tuple[Stmt, ...]:
        """One output element: all its parts, then the store."""
        piece, target = flat.piece, self.target
        result = VType(target.result)
        where = form_expr(form_of(flat.stores[0]))
        in_place = target.default is not None and target.default.name == target.output.name
        if not piece.parts and (in_place or self._is_stored_again(flat)):
            return ()  # an element without a point holds its default already, or gets a value later
        if not piece.parts:
            value = self._finished(flat, self._otherwise(flat, result))
            return (Store(target.output.name, where, value),)
        single = piece.parts[0]
        if target.agg is Aggregation.ASSIGN and _is_direct(piece.parts):
            value = convert(translate(single.body, self.places), result.dtype)
            value = self._finished(flat, value)
            return (Store(target.output.name, where, value),)
        hit = None if piece.covered else self._register(".hit", I32, 1)
        stmts: list[Stmt] = []
        if hit is not None:
            stmts.append(_set(hit, Const(0, hit.type)))
        total = self._register(".total", self._total_type(piece.parts), 1)
        stmts.append(_set(total, identity(target.agg, total.type)))
        for part in piece.parts:
            stmts += self._part(part, plan, total, hit)
        value = convert(_get(total), result.dtype)
        if hit is not None:
            reached = Apply("cmp_ne", (_get(hit), Const(0, hit.type)), VType(_bool()))
            value = Apply("cond", (reached, value, self._otherwise(flat, result)), result)
        stmts.append(Store(target.output.name, where, self._finished(flat, value)))
        return tuple(stmts)

    def _is_stored_again(self, flat: FlatPiece) -> bool:
        if self.again is None:
            return False
        at, spans = self.again
        form = flat.piece.output[at]
        axis = next((a for a in flat.piece.axes if form == Affine.index(a.name)), None)
        return axis is not None and any(
            low <= axis.low and axis.high <= high for low, high in spans
        )

    def _finished(self, flat: FlatPiece, value: Expr) -> Expr:
        """What is stored for a result."""
        if flat.epilogue is None:
            return value
        return translate(flat.epilogue, self.places, {RESULT: value})

    def _part(self, part: Part, plan: Plan, total: Buffer, hit: Buffer | None) -> list[Stmt]:
        """One reduction: ``total`` takes the values of all points, ``hit`` becomes 1 at any."""
        order = [axis for axis in part.axes if axis.name != plan.vector]
        order += [axis for axis in part.axes if axis.name == plan.vector]
        lanes = plan.lanes * WIDE if plan.reduction else 1
        if plan.reduction and order[-1].extent < lanes:
            lanes = plan.lanes
        block = _block(order, lanes) if is_cascade(self.target, [part]) else None
        sums = self._register(".sum", total.type.dtype, lanes) if plan.reduction else total
        partial = sums if block is None else self._register(".part", self.target.accumulate, lanes)
        hits = self._register(".hits", I32, lanes) if plan.reduction and hit is not None else hit
        value = translate(part.body, self.places)
        inner: list[Stmt] = [_set(partial, self._combined(_get(partial), value))]
        if hits is not None:
            inner.append(_set(hits, Const(1, VType(I32))))
        lane_variable = None if plan.reduction else plan.vector
        bounds, guards, hoisted = place_constraints(part, order, lane_variable)
        for guard in guards:
            inner = [If(guard, tuple(inner))]
        for depth in reversed(range(len(order))):
            axis = order[depth]
            low, high = bounds[axis.name]
            kind = (
                LoopKind.VECTOR if plan.reduction and axis.name == plan.vector else LoopKind.SERIAL
            )
            if block is not None and block[0] == depth:
                inner = _blocked(axis.name, low, high, block[1], inner, kind, partial, sums)
            else:
                inner = [For(axis.name, low, high, tuple(inner), kind=kind)]
        for guard in hoisted:
            inner = [If(guard, tuple(inner))]
        if not plan.reduction:
            return inner
        before: list[Stmt] = [_set(sums, identity(self.target.agg, sums.type))]
        after: list[Stmt] = []
        op = COMBINE[self.target.agg]
        folded = Fold(op, _get(sums), VType(sums.type.dtype))
        after.append(_set(total, Apply(op, (_get(total), folded), total.type)))
        if hits is not None and hit is not None:
            before.append(_set(hits, Const(0, hits.type)))
            after.append(_set(hit, Fold("max", _get(hits), VType(I32))))
        return [*before, *inner, *after]

    def _combined(self, old: Expr, value: Expr) -> Expr:
        value = convert(value, old.type.dtype)
        if self.target.agg is Aggregation.ASSIGN:
            return value
        return Apply(COMBINE[self.target.agg], (old, value), VType(old.type.dtype))

    def _otherwise(self, flat: FlatPiece, result: VType) -> Expr:
        if self.target.default is None:
            return Const(_as(result.dtype, 0), result)
        where = form_expr(form_of(flat.stores[1]))
        value = Load(self.target.default.name, where, VType(self.target.default.type.dtype))
        return convert(value, result.dtype)

    def _total_type(self, parts: tuple[Part, ...]) -> DType:
        return self.target.total if is_cascade(self.target, parts) else self.target.accumulate

    def _register(self, name: str, dtype: DType, lanes: int) -> Buffer:
        """The register buffer of this name and type, made when it is first asked for."""
        kind = VType(dtype, lanes)
        name = f"{self.prefix}{name}"
        taken = {buffer.name: buffer for buffer in self.locals}
        count = 0
        label = name
        while label in taken and taken[label].type != kind:
            count += 1
            label = f"{name}{count}"
        if label not in taken:
            self.locals.append(Buffer(label, kind, 1, scope=Scope.REGISTER, writable=True))
        return next(buffer for buffer in self.locals if buffer.name == label)


def is_cascade(target: Target, parts: Sequence[Part]) -> bool:
    """Whether the sums of some parts are long enough to be blocked."""
    if target.agg is not Aggregation.SUM or not target.accumulate.is_float:
        return False
    return any(prod(a.extent for a in part.axes) > CASCADE_POINTS for part in parts)


def place_constraints(
    part: Part, order: list[Axis], lane_variable: str | None
) -> tuple[dict[str, tuple[Expr, Expr]], list[Expr], list[Expr]]:
    """Bounds of each reduction loop, guards around the innermost body, guards around it all."""
    bounds: dict[str, tuple[Expr, Expr]] = {
        axis.name: (build.const(axis.low), build.const(axis.high)) for axis in order
    }
    guards: list[Expr] = []
    hoisted: list[Expr] = []
    for form in part.constraints:
        varies = lane_variable is not None and form.coefficient(lane_variable) != 0
        loops = [axis.name for axis in order if form.coefficient(axis.name)]
        holds = build.compare("cmp_ge", form_expr(form), build.const(0))
        if not loops:
            hoisted.append(holds)
        elif varies:
            guards.append(holds)
        else:
            name = loops[-1]
            factor = form.coefficient(name)
            others = tuple(term for term in form.terms if term[0] != name)
            low, high = bounds[name]
            if factor > 0:  # name >= ceil(-rest / factor)
                negated = Form(tuple((n, -f) for n, f in others), -form.const + factor - 1)
                low = build.maximum(low, build.floor_div(form_expr(negated), factor))
            else:  # name <= floor(rest / -factor)
                rest = Form(others, form.const)
                last = build.floor_div(form_expr(rest), -factor)
                high = build.minimum(high, build.add(last, build.const(1)))
            bounds[name] = (low, high)
    for form in part.divisible:
        numerator = form_expr(replace(form, denominator=1))
        rest = build.floor_mod(numerator, form.denominator)
        guards.append(build.compare("cmp_eq", rest, build.const(0)))
    return bounds, guards, hoisted


def _blocked(
    name: str,
    low: Expr,
    high: Expr,
    block: int,
    inner: list[Stmt],
    kind: LoopKind,
    partial: Buffer,
    total: Buffer,
) -> list[Stmt]:
    """A loop in blocks: ``partial`` sums one block and is then added to ``total``."""
    start = build.var(f"{name}.block")
    stop = build.minimum(build.add(start, build.const(block)), high)
    flushed = Apply("add", (_get(total), convert(_get(partial), total.type.dtype)), total.type)
    body = (
        _set(partial, Const(0.0, partial.type)),
        For(name, start, stop, tuple(inner), kind=kind),
        _set(total, flushed),
    )
    return [For(start.name, low, high, body, step=block)]


def _block(order: list[Axis], lanes: int) -> tuple[int, int] | None:
    """Depth of the loop to cut into blocks and the iterations of a block."""
    inner = 1
    for depth in reversed(range(len(order))):
        step = lanes if depth == len(order) - 1 else 1
        trips = -(-order[depth].extent // step)
        if inner * trips > CASCADE_BLOCK:
            return depth, max(1, CASCADE_BLOCK // inner) * step
        inner *= trips
    return None


def _is_direct(parts: tuple[Part, ...]) -> bool:
    """Whether an element is simply one value: no loop, no guard."""
    return len(parts) == 1 and not (parts[0].axes or parts[0].constraints or parts[0].divisible)


def identity(agg: Aggregation, kind: VType) -> Const:
    """The value that leaves others unchanged: 0, 1, the lowest or the highest."""
    dtype = kind.dtype
    ends = (-float("inf"), float("inf")) if dtype.is_float else integer_range(dtype)
    match agg:
        case Aggregation.SUM | Aggregation.ASSIGN:
            value: float = 0
        case Aggregation.PRODUCT:
            value = 1
        case Aggregation.MAX:
            value = ends[0]
        case Aggregation.MIN:
            value = ends[1]
    return Const(_as(dtype, value), kind)


def _as(dtype: DType, value: float) -> bool | int | float:
    """A number as a constant of some type."""
    if dtype.kind is Kind.BOOL:
        return bool(value)
    return float(value) if dtype.is_float else int(value)


def _bool() -> DType:
    return build.condition_type(1).dtype


def _get(buffer: Buffer) -> Load:
    return Load(buffer.name, build.const(0), buffer.type)


def _set(buffer: Buffer, value: Expr) -> Store:
    return Store(buffer.name, build.const(0), value)
