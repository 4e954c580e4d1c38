"""A faulty program with the place where its mistake is expected, and how it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tilec.dtypes import BY_NAME
from tilec.errors import TilecError, UserError
from tilec.lang.check import check_file
from tilec.lang.lower import lower
from tilec.lang.parse import parse
from tilec.source import Source
from tilec.tensor.ir import Program, TensorType

MARK = "§"
"""Stands in the text of a case where the error points to; it is taken out before parsing."""


@dataclass(frozen=True)
class Case:
    """One mistake.

    Attributes:
        name: What is wrong, for the report.
        text: The program, with ``MARK`` where the message must point.
        kind: Class of the error.
        words: What the message must say, in order.
        help: Words of the help line; empty where there is none.
        shapes: Arguments, as ``f32[4, 5]``; None when the mistake is found without them.
        values: Numbers of the bind scalars.
    """

    name: str
    text: str
    kind: type[UserError]
    words: tuple[str, ...]
    help: str
    shapes: Mapping[str, str] | None = None
    values: Mapping[str, int | float] = field(default_factory=dict[str, int | float])

    @property
    def source(self) -> Source:
        """The text without the mark."""
        return Source("case.tile", self.text.replace(MARK, ""))

    @property
    def place(self) -> tuple[int, int]:
        """Line and column of the mark."""
        before = self.text[: self.text.index(MARK)]
        return before.count("\n") + 1, len(before) - before.rfind("\n")


def tensor_type(text: str) -> TensorType:
    """``f32[4, 5]`` as a type."""
    dtype, _, dims = text.rstrip("]").partition("[")
    shape = tuple(int(size) for size in dims.split(",") if size.strip())
    return TensorType(BY_NAME[dtype], shape)


def bind(
    text: str | Source,
    shapes: Mapping[str, str],
    values: Mapping[str, int | float] | None = None,
) -> Program:
    """Parse, check and lower the last function of a text."""
    source = text if isinstance(text, Source) else Source("test.tile", text)
    types = {name: tensor_type(shape) for name, shape in shapes.items()}
    return lower(check_file(parse(source))[-1], types, values or {})


def _compile(case: Case) -> None:
    if case.shapes is None:
        check_file(parse(case.source))
    else:
        bind(case.source, case.shapes, case.values)


def fail(case: Case) -> TilecError:
    """The error of a case, which must be its only one."""
    with pytest.raises(TilecError) as caught:
        _compile(case)
    assert caught.value.also == (), "one mistake must be told once"
    return caught.value


def hold(case: Case) -> None:
    """Check class, place, words, caret and help of a case's error."""
    error = fail(case)
    assert type(error) is case.kind
    at = 0
    for words in case.words:
        assert words in error.message[at:], error.message
        at = error.message.index(words, at) + len(words)
    assert "\n" not in error.message
    assert error.span is not None
    assert error.span.source.location(error.span.start) == case.place, error.render()
    line, column = case.place
    rendered = error.render().split("\n")
    assert rendered[0] == f"case.tile:{line}:{column}: {error.message}"
    gutter = f"  {line} | "
    assert rendered[1] == gutter + case.source.line(line)
    assert rendered[2].index("^") == len(gutter) + column - 1
    if case.help:
        assert error.help is not None
        assert case.help in error.help
        assert rendered[3] == f"  help: {error.help}"
    assert len(rendered) <= 4
