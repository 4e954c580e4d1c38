"""What a program for a device consists of: its text, and what the host does to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from tilec.errors import InternalError
from tilec.kernel import build
from tilec.records import dataclass

Bound: TypeAlias = object
"""A number, the name of a variable of the host, or a list of an operation and its operands."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a function.

    Attributes:
        function: Its name.
        buffers: Buffers to pass: names of the kernel's parameters, or of scratch memory.
        variables: Loop variables of the host, which follow them.
        sizes: Work-items along each axis.
        local: Work-items of a group along each axis.
        index: Type of the variables.
    """

    function: str
    buffers: tuple[str, ...]
    variables: tuple[str, ...]
    sizes: tuple[int, ...]
    local: tuple[int, ...]
    index: str


@dataclass(frozen=True, slots=True)
class HostLoop:
    """A loop around launches."""

    var: str
    start: Bound
    stop: Bound
    step: int
    body: tuple[Launch | HostLoop, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a kernel; ``names`` are the module's buffers by those of the kernel."""

    steps: tuple[Launch | HostLoop, ...]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scratch:
    """Global memory of a kernel for the time of a call."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Program:
    """Text and launches of a module."""

    text: str
    runs: tuple[Run, ...]
    scratch: tuple[Scratch, ...]


def launches(steps: Sequence[Launch | HostLoop]) -> list[Launch]:
    """The launches of some steps, those in loops too."""
    found: list[Launch] = []
    for step in steps:
        found += launches(step.body) if isinstance(step, HostLoop) else [step]
    return found


def evaluate(bound: Bound, values: Mapping[str, int]) -> int:
    """A bound of a loop of the host."""
    if isinstance(bound, int):
        return bound
    if isinstance(bound, str):
        return values[bound]
    op, *rest = cast("list[object]", bound)
    if op not in build.FOLDS:
        raise InternalError(f"the host has no operation {op}")
    left, right = (evaluate(arg, values) for arg in rest)
    return build.FOLDS[str(op)](left, right)


def to_json(program: Program) -> str:
    """The launches as text."""
    return json.dumps(
        {
            "runs": [
                {"steps": [_step(s) for s in run.steps], "names": dict(run.names)}
                for run in program.runs
            ],
            "scratch": [[each.name, each.bytes] for each in program.scratch],
        }
    )


def from_json(text: str, source: str) -> Program:
    """Read what ``to_json`` wrote."""
    facts = json.loads(text)
    return Program(
        source,
        tuple(Run(tuple(map(_from_step, run["steps"])), run["names"]) for run in facts["runs"]),
        tuple(Scratch(name, size) for name, size in facts["scratch"]),
    )


def _step(step: Launch | HostLoop) -> dict[str, object]:
    if isinstance(step, HostLoop):
        body = [_step(each) for each in step.body]
        return {"for": [step.var, step.start, step.stop, step.step], "body": body}
    return {
        "launch": step.function,
        "buffers": step.buffers,
        "variables": step.variables,
        "sizes": step.sizes,
        "local": step.local,
        "index": step.index,
    }


def _from_step(facts: dict[str, object]) -> Launch | HostLoop:
    if "for" in facts:
        var, start, stop, step = cast("list[object]", facts["for"])
        body = tuple(map(_from_step, cast("list[dict[str, object]]", facts["body"])))
        return HostLoop(str(var), start, stop, cast("int", step), body)
    return Launch(
        str(facts["launch"]),
        tuple(cast("list[str]", facts["buffers"])),
        tuple(cast("list[str]", facts["variables"])),
        tuple(cast("list[int]", facts["sizes"])),
        tuple(cast("list[int]", facts["local"])),
        str(facts["index"]),
    )
