"""Tile text to syntax tree.

``parse`` assumes nothing about its text: whatever it holds, the result is a tree or an error of
the tree in ``tilec.errors``. It guarantees that every node has a span, that no expression is
nested so deeply that walking it recursively could fail, and that headers and output sizes which
the text leaves out stand in the tree as if they had been written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tilec.errors import LimitError
from tilec.lang import ast
from tilec.lang.actions import MAX_NESTING, Actions
from tilec.lang.automaton import Fault, automaton
from tilec.lang.infer import infer
from tilec.source import Source, Span

__all__ = ["MAX_CHARACTERS", "MAX_NESTING", "parse"]

MAX_CHARACTERS: Final = 1 << 20
"""Longest text that is looked at; a network of hundreds of layers is a tenth of this."""


def parse(source: Source) -> ast.File:
    """Parse a Tile text and infer what it leaves out.

    Raises:
        TileSyntaxError: the text is not Tile.
        LimitError: the text is too long, or an expression is nested too deeply.
        TileTypeError: a header names an unknown dtype.
        NameResolutionError: a header or an output size is left out and cannot be inferred.
        ShapeError: as before, because sizes contradict each other.
    """
    if len(source.text) > MAX_CHARACTERS:
        raise LimitError(
            f"the text has {len(source.text)} characters, the limit is {MAX_CHARACTERS}",
            Span(source, 0, 0),
            help="split the program into several functions and compile them on their own",
        )
    machine = automaton()
    result = machine.run(source.text, Actions(source).table(machine.tables.rules))
    if isinstance(result, Fault):
        # Only a faulty program pays for the examples behind the messages.
        from tilec.lang.faults import explain

        raise explain(source, result)
    file: ast.File = result
    return replace(file, functions=tuple(map(infer, file.functions)))
