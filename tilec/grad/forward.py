"""Forward mode: from a program to the program of its tangents.

Assumes and guarantees what ``grad/reverse.py`` does. A value and its tangent are computed one after
the other; what does not change has no tangent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from tilec.grad.contractions import Contracted, Ties
from tilec.grad.factors import factor_of
from tilec.grad.prepare import settle_extremes, varied
from tilec.grad.reverse import Wanted, float_outputs, without_dead
from tilec.grad.scalars import tangent
from tilec.grad.tape import UNNAMED, Tape, Term, axis_names, elementwise, zero_like
from tilec.records import dataclass
from tilec.tensor import surface
from tilec.tensor.ir import (
    Contraction,
    Gather,
    Input,
    Map,
    Node,
    Output,
    Program,
    Reshape,
    Scatter,
    SumTo,
)
from tilec.tensor.scalar import Read, rename_indices

PREFIX = "T"
"""What the name of a tangent begins with."""


def tangents(program: Program, wanted: Wanted, reserved: Sequence[str]) -> Program:
    """The program of the tangents.

    Args:
        program: The function.
        wanted: The inputs that change.
        reserved: Names that the text uses besides those of values.

    Returns:
        A program whose inputs are those of ``program`` and a tangent for each wanted input, and
        whose outputs are the tangents of the float outputs.

    Raises:
        GradientError: something cannot be differentiated.
    """
    outputs = float_outputs(program)
    program = settle_extremes(program, wanted.inputs, set(reserved))
    tape = Tape.of(program, reserved)
    tape.nodes.clear()
    names = [tape.fresh(f"{PREFIX}{output.name}") for output in outputs]
    own = {output.value: name for output, name in zip(outputs, names, strict=True)}
    work = _Forward(tape, varied(program, wanted.inputs), wanted.ties, own)
    changes: list[Input] = []
    inputs = {item.name: item for item in program.inputs}
    for name in wanted.inputs:
        change = Input(tape.fresh(f"{PREFIX}{name}"), inputs[name].type, inputs[name].span)
        tape.types[change.name] = change.type
        work.known[name] = change.name
        changes.append(change)
    for node in program.nodes:
        work.visit(node)
    for output, name in zip(outputs, names, strict=True):
        work.result(output, name)
    whole = Program(
        f"{program.name}_jvp",
        (*program.inputs, *changes),
        tuple(tape.nodes),
        tuple(Output(name, name) for name in names),
    )
    return without_dead(whole)


@dataclass(slots=True)
class _Forward:
    """The walk.

    Attributes:
        tape: The program that grows.
        varied: The values that may have a tangent.
        ties: What equal extremes contribute.
        outputs: Name that the tangent of an output gets.
        known: Name of the tangent of each value that has one.
    """

    tape: Tape
    varied: frozenset[str]
    ties: Ties
    outputs: dict[str, str]
    known: dict[str, str] = field(default_factory=dict[str, str])

    def visit(self, node: Node) -> None:
        """Compute a value, then its tangent."""
        self.tape.nodes.append(node)
        if node.name not in self.varied:
            return
        terms = self._terms(node)
        if not terms:
            return
        begin = len(self.tape.nodes)
        found = self.tape.total(node.name, f"{PREFIX}{node.name}", terms, node.span)
        if node.name in self.outputs:
            own = self.outputs[node.name]
            self.known[node.name] = self.tape.own(found, own, begin, node.span)
        else:
            self.known[node.name] = found.tensor

    def result(self, output: Output, name: str) -> None:
        """The tangent of an output, under the name that was taken for it."""
        found = self.known.get(output.value)
        if found == name:
            return
        value = zero_like(self.tape, output.value)
        if found is not None:
            value = self.tape.read(found)
        shape = self.tape.types[output.value].shape
        self.tape.add(replace(elementwise(value, shape, output.span), name=name))

    def _terms(self, node: Node) -> list[Term]:
        if isinstance(node, Contraction):
            default = None if node.default is None else self.known.get(node.default)
            work = Contracted.of(node, self.ties, self.tape)
            return [*work.forward(self._of, default)]
        term = self._term(node)
        return [] if term is None else [term]

    def _term(self, node: Node) -> Term | None:
        known, types, span = self.known, self.tape.types, node.span
        match node:
            case Map():
                return self._map(node)
            case Reshape() if node.operand in known:
                return Reshape(UNNAMED, node.type, known[node.operand], span=span)
            case Gather() if node.data in known:
                return Gather(UNNAMED, node.type, known[node.data], node.rows, span=span)
            case Scatter() if node.updates in known:
                return Scatter(UNNAMED, node.type, known[node.updates], node.rows, span=span)
            case SumTo() if node.operand in known:
                return SumTo(UNNAMED, types[node.like], known[node.operand], node.like, span=span)
            case _:
                return None

    def _of(self, read: Read) -> Read | None:
        found = self.known.get(read.tensor)
        return None if found is None else self.tape.read(found, read.access)

    def _map(self, node: Map) -> Term | None:
        names = axis_names(len(node.indices))
        body = rename_indices(node.body, dict(zip(node.indices, names, strict=True)))
        change = tangent(surface.surface(body), self._of)
        if change is not None:
            change = factor_of(node, self.tape).backward(change)
        return None if change is None else elementwise(change, node.type.shape, node.span)
