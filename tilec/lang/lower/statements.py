"""Statements in order. A faulty one is recorded, and what rests on it is passed over."""

from __future__ import annotations

from tilec.errors import InternalError, TilecError
from tilec.lang import ast, walk
from tilec.lang.lower.builder import Frame, Poisoned
from tilec.lang.lower.contraction import lower_contraction
from tilec.lang.lower.expressions import evaluate
from tilec.lang.lower.values import Pointwise, TupleValue, Value
from tilec.source import Span


def run(frame: Frame) -> None:
    """Lower the body of a function."""
    for statement in frame.checked.function.body:
        if not frame.poisoned.isdisjoint(walk.names(statement)):
            frame.poisoned.add(statement.name)
            continue
        try:
            frame.builder.step(statement.span)
            _lower(statement, frame)
        except Poisoned:
            frame.poisoned.add(statement.name)
        except InternalError:
            raise
        except TilecError as error:
            if error.span is None:
                error.span = statement.span
            frame.builder.collector.errors.extend(error.all())
            frame.poisoned.add(statement.name)


def _lower(statement: ast.Statement, frame: Frame) -> None:
    name = frame.begin(statement)
    if isinstance(statement, ast.Contraction):
        frame.env[statement.name] = lower_contraction(statement, frame, name)
        return
    value = evaluate(statement.value, frame, name)
    if isinstance(value, Pointwise):
        value = frame.define(value, name, statement.span)
    frame.env[statement.name] = _computed_items(value, name, statement.span, frame)


def _computed_items(value: Value, name: str, span: Span, frame: Frame) -> Value:
    """A tuple with every elementwise expression in it computed once; others as they are."""
    if not isinstance(value, TupleValue):
        return value
    items: list[Value] = []
    for position, item in enumerate(value.items):
        own = f"{name}_{position}"
        if isinstance(item, Pointwise):
            items.append(frame.define(item, frame.builder.fresh(own), span))
        else:
            items.append(_computed_items(item, own, span, frame))
    return TupleValue(tuple(items))
