"""Invariants of the kernel IR, one function each; a violation is a bug in tilec.

What is checked: names and their scopes, the types of every expression and statement, that buffers
are of the kind their scope allows, that every access stays inside its buffer, that iterations of a
parallel loop do not meet in memory (``races.py``), that the items of a group agree on barriers and
local memory (``groups.py``), and that the calls of a module fit their kernels and never let a
buffer that is written overlap another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Never

from tilec.dtypes import BOOL, I64, Kind, integer_range
from tilec.errors import InternalError
from tilec.kernel.bounds import Facts
from tilec.kernel.groups import check_group
from tilec.kernel.ir import (
    CONDITION,
    INDEX,
    Apply,
    Barrier,
    Buffer,
    Call,
    Const,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Module,
    Prefetch,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    VType,
    Zip,
)
from tilec.kernel.printer import print_expression, print_statement
from tilec.kernel.races import ParallelLoop
from tilec.kernel.uses import Uses, private_buffers
from tilec.kernel.walk import operands
from tilec.operations import OPERATIONS, Rule

_EXTRA_ARITIES = {"fma": 3, "floor_div": 2, "floor_mod": 2}
_FOLDS = ("add", "mul", "max", "min")
_NESTED: Final = {
    LoopKind.PARALLEL: (LoopKind.SERIAL, LoopKind.PARALLEL),
    LoopKind.GROUP: (LoopKind.SERIAL, LoopKind.GROUP),
    LoopKind.ITEM: (LoopKind.GROUP, LoopKind.ITEM),
}
"""What loops of some kinds may stand in, the nearest of these kinds or none of them."""


def verify(module: Module) -> None:
    """Check a module and all its kernels.

    Raises:
        InternalError: an invariant is broken; the message names kernel, statement and case.
    """
    _check_module_names(module)
    _check_constants(module)
    _check_workspace(module)
    _check_views(module)
    for kernel in module.kernels:
        verify_kernel(kernel)
    for call in module.calls:
        _check_call(module, call)


def verify_kernel(kernel: Kernel) -> None:
    """Check one kernel; see ``verify``."""
    _check_buffers(kernel)
    _Checker(kernel).block(kernel.body, {}, Facts())


def is_right(kernel: Kernel) -> bool:
    """Whether a kernel passes: how passes find out whether they may do what they would like to."""
    try:
        verify_kernel(kernel)
    except InternalError:
        return False
    return True


def _check_module_names(module: Module) -> None:
    buffers = [*module.inputs, *module.outputs]
    buffers += [item.buffer for item in (*module.temporaries, *module.constants, *module.views)]
    _check_unique(module.name, "buffer", [buffer.name for buffer in buffers])
    _check_unique(module.name, "kernel", [kernel.name for kernel in module.kernels])
    if module.name in {kernel.name for kernel in module.kernels}:
        raise InternalError(f"{module.name}: a kernel has the name of its module")


def _check_constants(module: Module) -> None:
    for item in module.constants:
        buffer = item.buffer
        size = (buffer.high - buffer.low) * buffer.type.dtype.bytes
        if buffer.low != 0 or size != len(item.data):
            raise InternalError(
                f"{module.name}: constant {buffer.name} has {len(item.data)} bytes, not {size}"
            )


def _check_workspace(module: Module) -> None:
    for item in module.temporaries:
        start, stop = _extent(item.buffer, item.offset_bytes)
        if item.buffer.low != 0 or start < 0 or stop > module.workspace_bytes:
            raise InternalError(
                f"{module.name}: temporary {item.buffer.name} at bytes {start} to {stop} is not in "
                f"a workspace of {module.workspace_bytes} bytes"
            )
        if start % item.buffer.type.dtype.bytes:
            raise InternalError(f"{module.name}: temporary {item.buffer.name} is not aligned")


def _check_views(module: Module) -> None:
    buffers = module.buffers()
    views = {view.buffer.name for view in module.views}
    for view in module.views:
        whole, own = buffers.get(view.whole), view.buffer
        if whole is None or view.whole in views or whole.type != own.type:
            raise InternalError(f"{module.name}: {own.name} is no view of {view.whole}")
        if own.low != 0 or view.offset < whole.low or view.offset + own.high > whole.high:
            raise InternalError(f"{module.name}: {own.name} is not inside of {view.whole}")


def _check_call(module: Module, call: Call) -> None:
    """Arguments exist, are of the right type and extent, and those written overlap no other."""
    kernels = {kernel.name: kernel for kernel in module.kernels}
    buffers = module.buffers()
    what = f"{module.name}: call {call.kernel}({', '.join(call.args)})"
    if call.kernel not in kernels or any(name not in buffers for name in call.args):
        raise InternalError(f"{what} names a kernel or a buffer that does not exist")
    params = kernels[call.kernel].params
    if len(params) != len(call.args):
        raise InternalError(f"{what} has not {len(params)} arguments")
    read_only = {b.name for b in module.inputs} | {c.buffer.name for c in module.constants}
    read_only |= {view.buffer.name for view in module.views if view.whole in read_only}
    for param, name in zip(params, call.args, strict=True):
        given = buffers[name]
        if param.type != given.type or param.low < given.low or param.high > given.high:
            raise InternalError(f"{what}: {name} does not hold what {param.name} may access")
        if param.writable and name in read_only:
            raise InternalError(f"{what} writes {name}, which is an input or a constant")
    written = [name for param, name in zip(params, call.args, strict=True) if param.writable]
    for name in written:
        others = list(call.args)
        others.remove(name)
        if any(_overlap(module, name, other) for other in others):
            raise InternalError(f"{what} writes {name}, which shares memory with another argument")


def _overlap(module: Module, left: str, right: str) -> bool:
    if left == right:
        return True
    views = {view.buffer.name: view for view in module.views}
    if left in views and right in views and views[left].is_apart(views[right]):
        return False
    places = {t.buffer.name: ("", _extent(t.buffer, t.offset_bytes)) for t in module.temporaries}
    for buffer in (*module.inputs, *module.outputs):
        places[buffer.name] = (buffer.name, _extent(buffer, 0))
    for view in module.views:
        inside, (start, _) = places.get(view.whole, (view.whole, (0, 0)))
        at = start + view.offset * view.buffer.type.dtype.bytes
        places[view.buffer.name] = (inside, _extent(view.buffer, at))
    if left not in places or right not in places:
        return False
    (one, (a, b)), (other, (c, d)) = places[left], places[right]
    return one == other and a < d and c < b


def _extent(buffer: Buffer, offset: int) -> tuple[int, int]:
    return offset, offset + buffer.high * buffer.type.dtype.bytes


def _check_unique(where: str, kind: str, names: Sequence[str]) -> None:
    for first, second in pairwise(sorted(names)):
        if first == second:
            raise InternalError(f"{where}: two {kind}s are called {first}")


def _check_buffers(kernel: Kernel) -> None:
    """Scopes and element types."""
    _check_unique(kernel.name, "buffer", [b.name for b in (*kernel.params, *kernel.locals)])
    for buffer in kernel.params:
        if buffer.scope is not Scope.GLOBAL or buffer.type.lanes != 1:
            raise InternalError(f"{kernel.name}: parameter {buffer.name} is no global array")
    for buffer in kernel.locals:
        if buffer.scope is Scope.GLOBAL or buffer.low != 0 or not buffer.writable:
            raise InternalError(f"{kernel.name}: {buffer.name} is no scratch buffer")
        if buffer.scope is not Scope.REGISTER and buffer.type.lanes != 1:
            raise InternalError(f"{kernel.name}: the elements of {buffer.name} must be scalars")


class _Checker:
    """Walks a kernel; ``names`` are the variables in scope, ``facts`` what is known of them."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.buffers = kernel.buffers()
        self.private = private_buffers(kernel)
        self.stmt: Stmt | None = None
        self.divided: list[ParallelLoop] = []
        self.inside = LoopKind.SERIAL

    def block(self, body: tuple[Stmt, ...], names: dict[str, VType], facts: Facts) -> None:
        """Check statements in order."""
        names, facts = dict(names), facts.fork()
        for stmt in body:
            self.stmt = stmt
            match stmt:
                case For():
                    self._check_loop(stmt, names, facts)
                case If():
                    self._check_if(stmt, names, facts)
                case Store():
                    self._check_store(stmt, names, facts)
                case Barrier():
                    self._require(self.inside is LoopKind.ITEM, "there are no items to wait for")
                case Prefetch():
                    self.expression(stmt.index, names, facts)
                    self._require(stmt.buffer in self.buffers, f"there is no buffer {stmt.buffer}")
                    self._require(stmt.index.type == INDEX, "the address is no index")
                case Let():
                    self._check_new(stmt.var.name, names)
                    self.expression(stmt.value, names, facts)
                    self._require(stmt.value.type == stmt.var.type, "the value has another type")
                    names[stmt.var.name] = stmt.var.type
                    facts.define(stmt.var.name, stmt.value)

    def expression(self, expr: Expr, names: dict[str, VType], facts: Facts) -> None:
        """Check an expression and all below it."""
        for below in operands(expr):
            self.expression(below, names, facts)
        self._require(expr.type.lanes >= 1, "there are fewer lanes than one")
        match expr:
            case Const():
                self._check_constant(expr)
            case Var():
                self._require(expr.name in names, f"{expr.name} is not defined here")
                self._require(names[expr.name] == expr.type, f"{expr.name} has another type")
            case Load():
                self._check_access(expr.buffer, expr.index, expr.type, expr.mask)
                self._check_bounds(expr, expr.type, facts)
            case Apply():
                self._check_apply(expr)
            case Splat():
                scalar = VType(expr.type.dtype)
                self._require(expr.arg.type == scalar, f"splat of {expr.arg.type}")
            case Ramp():
                scalar = VType(expr.type.dtype)
                fits = expr.start.type == scalar and scalar.dtype.is_integer
                self._require(fits, f"ramp from {expr.start.type}")
            case Fold():
                self._require(expr.op in _FOLDS, f"there is no fold by {expr.op}")
                self._require(expr.type == VType(expr.arg.type.dtype), "the fold has another type")
            case Zip():
                equal = expr.first.type == expr.second.type == expr.type
                self._require(equal and expr.type.lanes % 2 == 0, "a zip of unequal vectors")

    def _check_loop(self, loop: For, names: dict[str, VType], facts: Facts) -> None:
        self._check_new(loop.var, names)
        for bound in (loop.start, loop.stop):
            self.expression(bound, names, facts)
            self._require(bound.type == INDEX, "a loop bound is no index")
        self._require(loop.step >= 1, "the step of a loop is not positive")
        if loop.kind is LoopKind.UNROLL:
            known = isinstance(loop.start, Const) and isinstance(loop.stop, Const)
            self._require(known, "the bounds of an unrolled loop must be constants")
        inner = facts.fork()
        variable = inner.enter_loop(loop.var, loop.start, loop.stop, loop.step)
        around = self.inside
        if loop.kind in _NESTED:
            self._require(around in _NESTED[loop.kind], f"it stands in a {around.value} loop")
            self.inside = loop.kind
            # Iterations that agree on the loops around: with those of all of them, any two.
            shared = Uses().block(loop.body).stores.keys() - self.private
            outer = frozenset(facts.variables)
            self.divided.append(ParallelLoop(loop.var, variable, outer, frozenset(shared)))
        if loop.kind is LoopKind.GROUP and around is not LoopKind.GROUP:
            check_group(self.kernel, loop)
        self.block(loop.body, {**names, loop.var: INDEX}, inner)
        self.inside = around
        if loop.kind in _NESTED:
            race, self.stmt = self.divided.pop().race(), loop
            if race is not None:
                self._fail(race)

    def _check_if(self, stmt: If, names: dict[str, VType], facts: Facts) -> None:
        self.expression(stmt.condition, names, facts)
        self._require(stmt.condition.type == CONDITION, "the condition is no scalar bool")
        for body, holds in ((stmt.then, True), (stmt.otherwise, False)):
            inner = facts.fork()
            inner.assume(stmt.condition, holds=holds)
            self.block(body, names, inner)

    def _check_store(self, stmt: Store, names: dict[str, VType], facts: Facts) -> None:
        for expr in (stmt.index, stmt.value, *(() if stmt.mask is None else (stmt.mask,))):
            self.expression(expr, names, facts)
        self._check_access(stmt.buffer, stmt.index, stmt.value.type, stmt.mask)
        writable = self.buffers[stmt.buffer].writable
        self._require(writable, f"{stmt.buffer} must not be written")
        if stmt.nontemporal:
            one = stmt.mask is None and stmt.stride == 1 and stmt.index.type == INDEX
            self._require(one, "only whole runs of elements are written past the caches")
            argument = self.buffers[stmt.buffer].scope is Scope.GLOBAL
            self._require(argument, f"{stmt.buffer} is no argument")
        self._check_bounds(stmt, stmt.value.type, facts)

    def _check_new(self, name: str, names: dict[str, VType]) -> None:
        self._require(name not in names, f"{name} is defined twice")
        self._require(name not in self.buffers, f"{name} is also the name of a buffer")

    def _check_constant(self, expr: Const) -> None:
        dtype, value = expr.type.dtype, expr.value
        if dtype.kind is Kind.BOOL:
            self._require(isinstance(value, bool), f"{value!r} is no bool")
        elif dtype.is_integer:
            low, high = integer_range(dtype)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            self._require(is_whole and low <= value <= high, f"{value!r} is no {dtype}")
        else:
            self._require(not isinstance(value, bool), f"{value!r} is no {dtype}")

    def _check_access(self, name: str, index: Expr, kind: VType, mask: Expr | None) -> None:
        """Types of an access."""
        self._require(name in self.buffers, f"there is no buffer {name}")
        element = self.buffers[name].type
        self._require(element.dtype == kind.dtype, f"{name} holds {element}, not {kind}")
        if element.lanes > 1:
            self._require(element == kind, f"{name} holds {element}, not {kind}")
        is_index = index.type.dtype == I64 and index.type.lanes in (1, kind.lanes)
        self._require(is_index, f"an offset of type {index.type} for {kind}")
        if element.lanes > 1:
            self._require(index.type == INDEX, f"the offset in {name} must be a scalar")
        if mask is not None:
            self._require(mask.type == VType(BOOL, kind.lanes), f"a mask of type {mask.type}")

    def _check_bounds(self, access: Load | Store, kind: VType, facts: Facts) -> None:
        """No active lane leaves the buffer."""
        buffer = self.buffers[access.buffer]
        lanes = 1 if buffer.type.lanes > 1 else kind.lanes
        mask = access.mask if buffer.type.lanes == 1 else None
        there, offset = facts.at(access.index, lanes, access.stride, mask)
        case = there.outside(offset, buffer.low, buffer.high)
        if case is None and self.stmt is not None:
            for loop in self.divided:
                loop.add(access, offset, there, self.stmt)
        if case is not None:
            where = print_expression(access.index)
            extent = f"{buffer.low} to {buffer.high}"
            when = f" when {case}" if case else ""
            self._fail(f"offset {where} leaves {buffer.name} ({extent}){when}")

    def _check_apply(self, expr: Apply) -> None:
        arity = _EXTRA_ARITIES.get(expr.op)
        if arity is None:
            self._require(expr.op in OPERATIONS, f"there is no operation {expr.op}")
            arity = OPERATIONS[expr.op].arity
        self._require(len(expr.args) == arity, f"{expr.op} takes {arity} operands")
        lanes = {arg.type.lanes for arg in expr.args}
        self._require(lanes == {expr.type.lanes}, f"the operands of {expr.op} have other lanes")
        allowed = _allowed(expr, [arg.type.dtype.name for arg in expr.args])
        listed = ", ".join(str(arg.type) for arg in expr.args)
        self._require(allowed, f"{expr.op} of {listed} is no {expr.type}")

    def _require(self, holds: bool, problem: str) -> None:
        if not holds:
            self._fail(problem)

    def _fail(self, problem: str) -> Never:
        shown = "" if self.stmt is None else print_statement(self.stmt).splitlines()[0].strip()
        raise InternalError(f"kernel {self.kernel.name}: {problem}; in: {shown}")


def _allowed(expr: Apply, dtypes: list[str]) -> bool:
    """Whether an operation has these operand dtypes and this result dtype."""
    first, result = expr.args[0].type.dtype, expr.type.dtype
    equal = len(set(dtypes)) == 1
    if expr.op == "fma":
        return equal and result == first and first.kind is not Kind.BOOL
    if expr.op in ("floor_div", "floor_mod"):
        divisor = expr.args[1]
        divisor = divisor.arg if isinstance(divisor, Splat) else divisor
        known = isinstance(divisor, Const) and divisor.value > 0
        return equal and first == I64 and result == I64 and known
    match OPERATIONS[expr.op].rule:
        case Rule.ARITHMETIC:
            return equal and result == first
        case Rule.COMPARISON | Rule.LOGICAL:
            return equal and result == BOOL
        case Rule.BITWISE:
            return equal and result == first and not first.is_float
        case Rule.ROUNDING:
            return result == first
        case Rule.MATH:
            return equal and result == first and first.is_float
        case Rule.SELECT:
            return first == BOOL and len({*dtypes[1:], result.name}) == 1
        case Rule.CAST:
            return True
