"""Checking a file: everything that can be known before any size is.

Names, ranks, arities, kinds, linear index expressions, single assignment, calls, and which inputs
are needed as numbers. All mistakes of a file are reported together; a faulty value is poisoned, so
that one mistake is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilec.dtypes import BY_NAME, DType
from tilec.errors import Collector, LimitError, NameResolutionError, TileTypeError
from tilec.lang import ast, bind, builtins, walk
from tilec.lang.check_contraction import check_contraction
from tilec.lang.check_values import check_value
from tilec.lang.checked import Checked, InputFact
from tilec.lang.kinds import SCALAR, UNKNOWN, RandomKind, TensorKind, TupleKind, describe
from tilec.lang.scope import Scope, did_you_mean
from tilec.tensor.types import integer_literal_dtype

__all__ = ["MAX_CALL_DEPTH", "MAX_NESTING", "Checked", "InputFact", "check_file"]

MAX_NESTING = 120
"""Levels of one expression. The compiler recurses over expressions, Python's stack is finite."""

MAX_CALL_DEPTH = 32
"""Functions of a file that may call one another in a chain."""


def check_file(file: ast.File) -> tuple[Checked, ...]:
    """Check all functions of a file.

    Args:
        file: The syntax tree.

    Returns:
        The functions in order of the text.

    Raises:
        UserError: the first mistake, the others in its ``also``.
    """
    collector = Collector()
    named = _named(file, collector)
    done: dict[str, Checked | None] = dict.fromkeys(named)
    results: dict[int, Checked | None] = {}
    for function in _callees_first(file, named, collector):
        checked = _check_function(function, done, collector)
        results[id(function)] = checked
        if function.name is not None and named[function.name] is function:
            done[function.name] = checked
    collector.raise_if_any()
    found = (results[id(function)] for function in file.functions)
    return tuple(checked for checked in found if checked is not None)


def _named(file: ast.File, collector: Collector) -> dict[str, ast.Function]:
    named: dict[str, ast.Function] = {}
    for function in file.functions:
        name = function.name
        if name is None:
            continue
        if builtins.find(name) is not None:
            collector.add(
                NameResolutionError,
                f"the function {name} has the name of a builtin",
                function.span,
                help="choose another name for it",
            )
        if name in named:
            collector.add(
                NameResolutionError,
                f"the function {name} is defined twice, first at line {named[name].span.line}",
                function.span,
                help="choose another name for one of them",
            )
        named.setdefault(name, function)
    return named


def _calls(function: ast.Function, named: Mapping[str, ast.Function]) -> Iterator[ast.Call]:
    """Calls of other functions of the file."""
    for statement in function.body:
        for root in walk.roots(statement):
            for expr in walk.expressions(root):
                if isinstance(expr, ast.Call) and expr.function in named:
                    yield expr


def _callees_first(
    file: ast.File, named: Mapping[str, ast.Function], collector: Collector
) -> Iterator[ast.Function]:
    """The functions, each after those that it calls; those that call one another come last."""
    waiting = {
        id(function): (function, {call.function for call in _calls(function, named)})
        for function in file.functions
    }
    callers: dict[str, list[int]] = {}
    for key, (_, callees) in waiting.items():
        for callee in sorted(callees):
            callers.setdefault(callee, []).append(key)
    ready = [function for function, callees in waiting.values() if not callees]
    while ready:
        function = ready.pop(0)
        del waiting[id(function)]
        yield function
        if function.name is None or named[function.name] is not function:
            continue
        for key in callers.get(function.name, ()):
            caller, callees = waiting[key]
            callees.discard(function.name)
            if not callees:
                ready.append(caller)
    for function, callees in waiting.values():
        if function.name in _reachable(callees, waiting, named):
            call = next(call for call in _calls(function, named) if call.function in callees)
            collector.add(
                NameResolutionError,
                f"{function.name} calls itself"
                if call.function == function.name
                else f"{function.name} calls itself through {call.function}",
                call.span,
                help="functions are expanded where they are called, so they cannot recur",
            )
        yield function


def _reachable(
    callees: set[str],
    waiting: Mapping[int, tuple[ast.Function, set[str]]],
    named: Mapping[str, ast.Function],
) -> set[str]:
    """Functions that are called from here, directly or not, among those that wait in circles."""
    seen: set[str] = set()
    stack = sorted(callees)
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack.extend(sorted(waiting.get(id(named[name]), (None, set[str]()))[1]))
    return seen


def _check_function(
    function: ast.Function, done: Mapping[str, Checked | None], collector: Collector
) -> Checked | None:
    mistakes = len(collector.errors)
    later = {s.name: s.span for s in reversed(function.body)}
    scope = Scope(function, collector, done, later)
    dtypes = _header(function, scope)
    for statement in function.body:
        _statement(statement, scope)
    _outputs(function, scope)
    bind_scalars = _bind_scalars(scope)
    depth = 1 + max((callee.depth for callee in scope.called.values()), default=0)
    if depth > MAX_CALL_DEPTH:
        scope.error(
            LimitError,
            f"functions call one another {depth} levels deep",
            function.span,
            f"the limit is {MAX_CALL_DEPTH} levels",
        )
    if len(collector.errors) > mistakes:
        return None
    return Checked(
        function=function,
        inputs=tuple(_fact(decl, scope, dtypes, bind_scalars) for decl in function.inputs),
        size_names=tuple(scope.sizes),
        bind_scalars=bind_scalars,
        output_kinds=tuple(scope.kinds[output.name] for output in function.outputs),
        folded_from=tuple(_folded_from(output, scope) for output in function.outputs),
        callees=scope.called,
        depth=depth,
    )


def _header(function: ast.Function, scope: Scope) -> dict[str, DType]:
    """Define inputs and sizes; the dtypes that the header demands."""
    dtypes: dict[str, DType] = {}
    for decl in function.inputs:
        rank = None if decl.dims is None else len(decl.dims)
        scope.define(decl.name, TensorKind(rank), decl.span, "an input")
        if decl.dtype is None:
            continue
        if decl.dtype in BY_NAME:
            dtypes[decl.name] = BY_NAME[decl.dtype]
            continue
        scope.type_error(
            f"unknown dtype {decl.dtype}",
            decl.span,
            did_you_mean(decl.dtype, BY_NAME) or f"the dtypes are {', '.join(BY_NAME)}",
        )
    for decl in function.inputs:
        for dim in decl.dims or ():
            _dim(dim, scope)
    return dtypes


def _dim(dim: ast.Name | ast.IntLiteral, scope: Scope) -> None:
    if isinstance(dim, ast.IntLiteral):
        if integer_literal_dtype(dim.value) is None:
            scope.type_error(f"the size {dim.value} does not fit 64 bits", dim.span)
        return
    # A repeated size name asks for equal sizes.
    if dim.name not in scope.sizes:
        scope.define(dim.name, SCALAR, dim.span, "a size")
        scope.sizes.append(dim.name)


def _statement(statement: ast.Statement, scope: Scope) -> None:
    deepest = max(walk.roots(statement), key=walk.depth)
    levels = walk.depth(deepest)
    if levels > MAX_NESTING:
        scope.error(
            LimitError,
            f"an expression is nested {levels} levels deep",
            deepest.span,
            f"the limit is {MAX_NESTING} levels; split it into several statements",
        )
        scope.define(statement.name, UNKNOWN, statement.span, "a value")
    elif isinstance(statement, ast.Assignment):
        kind = check_value(statement.value, scope)
        fresh = statement.name not in scope.defined
        scope.define(statement.name, kind, statement.span, "a value")
        if fresh:
            scope.values[statement.name] = statement.value
    else:
        kind = check_contraction(statement, scope)
        scope.define(statement.name, kind, statement.output_span, "a value")


def _outputs(function: ast.Function, scope: Scope) -> None:
    if not function.outputs:
        scope.error(
            NameResolutionError,
            "the function has no output",
            function.span,
            "name what it returns after the arrow: -> (R)",
        )
    seen: set[str] = set()
    for output in function.outputs:
        if output.name in seen:
            scope.error(
                NameResolutionError,
                f"output {output.name} is named twice",
                output.span,
                f"assign it to a second name to return it twice: R2 = {output.name}",
            )
        seen.add(output.name)
        if output.name not in scope.defined:
            scope.error(
                NameResolutionError,
                f"output {output.name} is never defined",
                output.span,
                did_you_mean(output.name, scope.kinds) or f"add a statement {output.name} = ...",
            )
            scope.kinds[output.name] = UNKNOWN
        kind = scope.kinds[output.name]
        if isinstance(kind, TupleKind | RandomKind):
            scope.error(
                TileTypeError,
                f"output {output.name} is {describe(kind)}",
                output.span,
                "return its elements one by one"
                if isinstance(kind, TupleKind)
                else "return prng_value(...) or prng_state(...) of it",
            )


def _bind_scalars(scope: Scope) -> frozenset[str]:
    found: set[str] = set()
    told: set[str] = set()
    for use in scope.size_uses:
        inputs, failures = bind.sources(use.expr, scope)
        found |= inputs
        for failure in failures[:1]:
            if failure.reason in told:
                continue
            told.add(failure.reason)
            scope.type_error(
                f"{use.place} must be known when sizes are bound, but {failure.reason}",
                failure.expr.span,
                "use sizes, number inputs and arithmetic on them",
            )
    return frozenset(found)


def _folded_from(output: ast.Name, scope: Scope) -> frozenset[str] | None:
    inputs, failures = bind.sources(output, scope)
    return None if failures else inputs


def _fact(
    decl: ast.InputDecl, scope: Scope, dtypes: Mapping[str, DType], bind_scalars: frozenset[str]
) -> InputFact:
    kind = scope.kinds[decl.name]
    rank = kind.rank if isinstance(kind, TensorKind) else None
    is_bind_scalar = decl.name in bind_scalars
    return InputFact(
        name=decl.name,
        rank=0 if is_bind_scalar else rank,
        dims=decl.dims,
        dtype=dtypes.get(decl.name),
        is_bind_scalar=is_bind_scalar,
        span=decl.span,
    )
