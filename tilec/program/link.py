"""From a graph of calls to one Tile text, and to the function that it is.

The text holds the functions that are called, each once, and a function that calls them in order.
So a whole network is a Tile program like any other: it can be printed, differentiated, tuned,
cached and saved by what does that for a kernel.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from math import isfinite
from typing import Final

import numpy as np

from tilec.errors import ArgumentError
from tilec.program.frontend import frontend
from tilec.program.function import Function
from tilec.program.graph import Applied, Given, Placeholder, Source, Value, in_order
from tilec.records import dataclass
from tilec.runtime.dispatch import Recent
from tilec.runtime.spec import Number, Spec
from tilec.runtime.stored import Known, Stored
from tilec.source import Source as Text

MAIN: Final = "network"
"""Name of the function that calls the others, if nobody gives one."""

_HEADS: Final = re.compile(r"^function (\w+'?)\(", re.MULTILINE)
_UNNAMED: Final = re.compile(r"^function \(", re.MULTILINE)
_CALLED: Final = re.compile(r"\b(\w+'?)(?=\()")
_OTHER: Final = re.compile(r"[^A-Za-z0-9_]")
_TITLE: Final = "<graph>"
_DERIVED: Final = "derived"


@dataclass(frozen=True, slots=True)
class Linked:
    """A graph as a function.

    Attributes:
        function: The function. Its inputs are the placeholders, then what is given.
        inputs: The placeholders.
        given: The arrays that it takes behind the placeholders, by name.
    """

    function: Function
    inputs: tuple[Placeholder, ...]
    given: Mapping[str, Known]

    def bound(self) -> Function:
        """The function of the placeholders alone."""
        parts = self.function.parts
        # Bound arrays are read in row-major order.
        given: dict[str, Known] = {
            name: array if isinstance(array, Stored) else np.asarray(array, order="C")
            for name, array in self.given.items()
        }
        return Function(parts.text, given, parts.origin, parts.gradient, parts.inner)


def link(
    results: Mapping[str, Value], inputs: Sequence[Placeholder] = (), name: str = MAIN
) -> Linked:
    """The function that computes some values.

    Args:
        results: The values, by the names of the outputs.
        inputs: The placeholders in the order in which callers will pass them.
        name: Name of the function.

    Raises:
        ArgumentError: a value depends on a placeholder that is not among the inputs.
    """
    writer = _Writer()
    for given in inputs:
        writer.declare(given, given.name, given.spec)
    sources = in_order(tuple(results.values()))
    for source in sources:
        match source:
            case Placeholder():
                if id(source) not in writer.names:
                    raise ArgumentError(
                        f"a result depends on the input {source.name}, which is not one of this "
                        "program",
                        help="results of a traced function cannot be used outside of it",
                    )
            case Given():
                writer.give(source)
            case Applied():
                writer.call(source)
    outputs: list[str] = []
    for wanted, value in results.items():
        output = writer.fresh(tensor_name(wanted))
        writer.lines.append(f"{output} = {writer.names[id(value.source)][value.at]};")
        outputs.append(output)
    main = writer.functions.free(callable_name(name))
    body = "".join(f"  {line}\n" for line in writer.lines)
    head = f"function {main}({', '.join(writer.inputs)}) -> ({', '.join(outputs)})"
    text = "\n".join([*writer.functions.texts, f"{head} {{\n{body}}}"])
    function = _function(text, main, writer.functions.gradients)
    return Linked(function, tuple(inputs), writer.arrays)


def call_of(function: Function, operands: Sequence[Value | Number]) -> Function:
    """A function that consists of one call, for operands of the types of these."""
    inputs: list[Placeholder] = []
    inner: list[Value | Number] = []
    for at, each in enumerate(operands):
        if isinstance(each, Value):
            inputs.append(Placeholder(f"X{at}", each.spec))
            inner.append(Value(inputs[-1]))
        else:
            inner.append(each)
    call = Applied(function, tuple(inner), ())
    return link({f"Y{at}": Value(call, at) for at in range(len(function.outputs))}, inputs).function


class _Functions:
    """The texts of the functions that are called, and their names in the common text."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.gradients: dict[str, Function | None] = {}
        self._names: dict[Hashable, str] = {}
        self._owners: dict[str, str] = {}

    def name(self, function: Function, *, ruled: bool = False) -> str:
        """What to call a function by; its text is added when it is new.

        Args:
            function: The function.
            ruled: Whether this call has a gradient in Python.
        """
        parts = function.parts
        text, name = parts.text.header.text, parts.text.header.name
        if name is None:
            name = self.free("unnamed")
            text = _UNNAMED.sub(f"function {name}(", text)
        given: dict[str, Function | None] = dict(parts.inner)
        if ruled or parts.gradient is not None:
            given[name] = None if ruled else parts.gradient
        key = (parts.text.header.text, parts.text.header.name, *given.items())
        found = self._names.get(key)
        if found is None:
            found = self._names[key] = self._add(text, name, given)
        return found

    def free(self, name: str) -> str:
        """A name like this one that no function has."""
        from tilec.lang.builtins import BUILTINS  # who only imports tilec needs no language

        found, number = name, 1
        while found in self._owners or found in BUILTINS:
            number += 1
            found = f"{name}_{number}"
        return found

    def _add(self, text: str, name: str, given: Mapping[str, Function | None]) -> str:
        """Put the functions of a canonical text, and their gradients, beside the others."""
        heads = [*_HEADS.finditer(text)]
        ends = [*(head.start() for head in heads[1:]), len(text)]
        chunks = {
            head[1]: text[head.start() : end].rstrip()
            for head, end in zip(heads, ends, strict=True)
        }
        renamed: dict[str, str] = {}
        if any(self._differs(each, chunk, given) for each, chunk in chunks.items()):
            # Functions of this text call each other: either all keep their names or none does.
            renamed = {each: self.free(each) for each in chunks}
        for each, chunk in chunks.items():
            if renamed:
                chunk = _CALLED.sub(lambda found: renamed.get(found[1], found[1]), chunk)
            called = renamed.get(each, each)
            if called not in self._owners:
                self._owners[called] = chunk
                self.texts.append(chunk)
            if each in given:
                self.gradients[called] = given[each]
        return renamed.get(name, name)

    def _differs(self, name: str, chunk: str, given: Mapping[str, Function | None]) -> bool:
        """True if a name belongs to another function, or to one with another gradient."""
        known = self._owners.get(name)
        if known is None:
            return False
        gradients = (each.get(name, _DERIVED) for each in (self.gradients, given))
        return known != chunk or len(set(gradients)) > 1


class _Writer:
    """The function that calls the others, line by line."""

    def __init__(self) -> None:
        self.functions = _Functions()
        self.inputs: list[str] = []
        self.lines: list[str] = []
        self.arrays: dict[str, Known] = {}
        self.names: dict[int, tuple[str, ...]] = {}
        self._calls: dict[str, tuple[str, ...]] = {}
        self._given: dict[int, tuple[str, ...]] = {}
        self._taken: set[str] = set()

    def fresh(self, wanted: str) -> str:
        """A name like this one that no value has."""
        found, number = wanted, 1
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken.add(found)
        return found

    def declare(self, source: Source, wanted: str, spec: Spec) -> None:
        """Add an input."""
        name = self.fresh(tensor_name(wanted))
        self.names[id(source)] = (name,)
        sizes = f"[{', '.join(map(str, spec.shape))}]"
        self.inputs.append(f"{name}{sizes}: {spec.dtype}")

    def give(self, source: Given) -> None:
        """Add an array, unless it is there already."""
        known = self._given.get(id(source.array))
        if known is not None:
            self.names[id(source)] = known
            return
        self.declare(source, source.name or f"C{len(self.arrays)}", Value(source).spec)
        known = self._given[id(source.array)] = self.names[id(source)]
        self.arrays[known[0]] = source.array

    def call(self, source: Applied) -> None:
        """Add a call; one like an earlier one is that one."""
        operands = [
            self.names[id(each.source)][each.at] if isinstance(each, Value) else literal(each)
            for each in source.operands
        ]
        name = self.functions.name(source.function, ruled=source.rule is not None)
        call = f"{name}({', '.join(operands)})"
        found = self._calls.get(call)
        if found is None:
            found = self._calls[call] = self._assign(call, len(source.function.outputs))
        self.names[id(source)] = found

    def _assign(self, call: str, count: int) -> tuple[str, ...]:
        name = self.fresh(f"T{len(self._calls) + 1}")
        self.lines.append(f"{name} = {call};")
        if count == 1:
            return (name,)
        parts = tuple(self.fresh(f"{name}_{at}") for at in range(count))
        self.lines += [f"{part} = element({name}, {at});" for at, part in enumerate(parts)]
        return parts


def literal(number: Number) -> str:
    """A number as the text has it.

    Raises:
        ArgumentError: it has no literal.
    """
    if isinstance(number, bool):
        return "1 == 1" if number else "1 == 0"
    if isinstance(number, float) and not isfinite(number):
        raise ArgumentError(f"{number} cannot stand in a program", help="pass it as an array")
    return repr(number)


def tensor_name(wanted: str) -> str:
    """A name for a tensor that is like a name from elsewhere."""
    found = _OTHER.sub("_", wanted)
    if not found[:1].isalpha():
        return f"V{found}"
    return found[0].upper() + found[1:]


def callable_name(wanted: str) -> str:
    """A name for a function that is like a name from elsewhere."""
    found = _OTHER.sub("_", wanted)
    return found if found[:1].isalpha() else f"f{found}"


_functions: Final[Recent[Function]] = Recent(256)


def _function(text: str, name: str, gradients: Mapping[str, Function | None]) -> Function:
    """The function of a text; the same object for the same text, since it holds compiled code."""
    if gradients:
        return Function(frontend(Text(_TITLE, text), name), {}, inner=gradients)
    found = _functions.get(text)
    if found is None:
        found = Function(frontend(Text(_TITLE, text), name), {})
        _functions.put(text, found)
    return found
