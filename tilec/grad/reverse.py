"""Reverse mode: from a program to the program of its cotangents.

Assumes a verified program, whose sizes may be symbols. Guarantees a verified program of the same
operations, so that it can be differentiated again.

The nodes are walked from last to first. What a value receives from each of its uses are *terms*
(``grad/tape.py``); when its own node is reached they are added up, and the node passes the sum on
to its operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from tilec.errors import GradientError
from tilec.grad.contractions import Contracted, Ties
from tilec.grad.factors import factor_of
from tilec.grad.own import Own, insert, zeros
from tilec.grad.prepare import settle_extremes, varied
from tilec.grad.rules import ONE, choose
from tilec.grad.scalars import adjoints
from tilec.grad.tape import (
    UNNAMED,
    Tape,
    Term,
    axis_names,
    contraction,
    elementwise,
    known_rank,
)
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor import surface, uses
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Input,
    Map,
    Node,
    Output,
    Program,
    RandomState,
    RandomValue,
    Region,
    Reshape,
    Scatter,
    SumTo,
    operands,
)
from tilec.tensor.scalar import Apply, Read, Scalar, reads, rename_indices

PREFIX = "D"
"""What the name of a cotangent begins with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        inputs: The inputs whose gradients are outputs, in order.
        ties: What equal extremes of ``>`` and ``<`` receive.
        value: Whether the (scalar) output comes first among the outputs, and its cotangent is 1.
        explicit: Whether the caller named the inputs; one that nothing ties to an output is an
            error then, and has the gradient 0 otherwise.
    """

    inputs: tuple[str, ...]
    ties: Ties = Ties.ALL
    value: bool = False
    explicit: bool = False


def float_outputs(program: Program) -> tuple[Output, ...]:
    """The outputs that have cotangents.

    Raises:
        GradientError: there is none.
    """
    types = program.types()
    found = tuple(o for o in program.outputs if types[o.value].dtype.is_float)
    if found:
        return found
    first = program.outputs[0]
    raise GradientError(
        f"the output {first.name} is {types[first.value].dtype}, which has no gradient",
        _origin(program, first) or first.span,
        help="only floats can be differentiated; as_float(X, 32) converts, and cuts the gradient",
    )


def _origin(program: Program, output: Output) -> Span | None:
    """The statement that computes an output."""
    return next((n.span for n in program.nodes if n.name == output.value), None)


def gradient(
    program: Program, wanted: Wanted, reserved: Sequence[str], own: Own | None = None
) -> Program:
    """The program of the gradients.

    Args:
        program: The function.
        wanted: What is asked for.
        reserved: Names that the text uses besides those of values.
        own: Gradients that were given for parts of the program.

    Returns:
        A program whose inputs are those of ``program`` and a cotangent for each float output,
        and whose outputs are the gradients. Statements that no output needs are gone.

    Raises:
        GradientError: something cannot be differentiated.
    """
    outputs = float_outputs(program)
    program = settle_extremes(program, wanted.inputs, set(reserved))
    tape = Tape.of(program, reserved)
    work = _Reverse(tape, varied(program, wanted.inputs), wanted.ties, own or Own())
    names = {name: tape.fresh(f"{PREFIX}{name}") for name in wanted.inputs}
    seeds: list[Input] = []
    for output in outputs:
        kind = tape.types[output.value]
        if wanted.value:
            seed = tape.define(f"{PREFIX}{output.name}", _one_like(tape, output))
        else:
            name = tape.fresh(f"{PREFIX}{output.name}")
            seeds.append(Input(name, kind, output.span))
            tape.types[name] = kind
            seed = tape.read(name)
        work.receive(output.value, elementwise(seed, kind.shape, output.span))
    for node in reversed(program.nodes):
        work.visit(node)
    inputs = {item.name: item for item in program.inputs}
    found = [work.result(inputs[name], own, wanted.explicit) for name, own in names.items()]
    kept = outputs if wanted.value else ()
    whole = Program(
        f"{program.name}_grad",
        (*program.inputs, *seeds),
        tuple(tape.nodes),
        (*kept, *(Output(name, name) for name in found)),
    )
    return without_dead(whole)


def without_dead(program: Program) -> Program:
    """The program with only those statements that an output needs."""
    needed = uses.needed(program)
    return replace(program, nodes=tuple(n for n in program.nodes if n.name in needed))


def _one_like(tape: Tape, output: Output) -> Term:
    if tape.types[output.value].shape:
        raise GradientError(
            f"the output {output.name} is no scalar",
            output.span,
            help="aggregate it to one number, L[] = +(...), or use grad, which takes cotangents",
        )
    return elementwise(choose(ONE, ONE, tape.read(output.value)), (), output.span)


@dataclass(slots=True)
class _Reverse:
    """The walk.

    Attributes:
        tape: The program that grows.
        varied: The values that have a cotangent.
        ties: What equal extremes receive.
        own: Gradients that were given.
        terms: What each value has received so far.
        passed: The calls whose own gradients were used.
        cuts: Where the way from a value ends without a derivative.
    """

    tape: Tape
    varied: frozenset[str]
    ties: Ties
    own: Own
    terms: dict[str, list[Term]] = field(default_factory=dict[str, "list[Term]"])
    passed: list[Region] = field(default_factory=list[Region])
    cuts: dict[str, Node] = field(default_factory=dict[str, Node])

    def receive(self, name: str, term: Term) -> None:
        """Add to the cotangent of a value."""
        if name in self.varied:
            self.terms.setdefault(name, []).append(term)

    def visit(self, node: Node) -> None:
        """Pass the cotangent of a node on to its operands."""
        region = self.own.of(node.name)
        if region is not None:
            if region not in self.passed:
                self.passed.append(region)
                self._through(region)
            return
        if node.name not in self.terms:
            if node.name not in self.varied:
                self._note_cuts(node)
            return
        seed = self.finish(node.name, node.span)
        before = {name: len(terms) for name, terms in self.terms.items()}
        for name, term in self._terms(node, seed):
            self.receive(name, term)
        if before == {name: len(terms) for name, terms in self.terms.items()}:
            self._note_cuts(node)

    def _through(self, region: Region) -> None:
        """Pass the cotangents of a call on by the gradient that was given for it."""
        tape = self.tape
        results = [name for name in region.results if name is not None]
        floats = [name for name in results if tape.types[name].dtype.is_float]
        if not any(name in self.terms for name in floats):
            return
        seeds = [
            self.finish(name, None) if name in self.terms else zeros(tape, name) for name in floats
        ]
        for name, value in insert(self.own, region, seeds, tape).items():
            shape = tape.types[name].shape
            self.receive(name, elementwise(tape.read(value), shape, None))

    def finish(self, name: str, span: Span | None) -> str:
        """The cotangent of a value that receives nothing more."""
        terms = self.terms.pop(name, [])
        return self.tape.total(name, f"{PREFIX}{name}", terms, span).tensor

    def result(self, item: Input, name: str, explicit: bool) -> str:
        """The gradient of an input, under the name that was taken for it."""
        if item.name not in self.terms and explicit:
            cut = self.cuts.get(item.name)
            raise GradientError(
                f"no output changes smoothly with {item.name}"
                + ("" if cut is None else f": its gradient ends at {cut.name}"),
                item.span if cut is None else cut.span,
                help="leave it out of wrt, or give a gradient of your own with Function.with_grad",
            )
        begin = len(self.tape.nodes)
        found = self.tape.read(self.finish(item.name, item.span))
        return self.tape.own(found, name, begin, item.span)

    def _note_cuts(self, node: Node) -> None:
        # The walk goes backward, so that the first use of a value is noted last.
        self.cuts.update(dict.fromkeys(operands(node), node))

    def _terms(self, node: Node, seed: str) -> Sequence[tuple[str, Term]]:
        tape, types = self.tape, self.tape.types
        match node:
            case Contraction():
                work = Contracted.of(node, self.ties, tape)
                return tuple(work.backward(seed, self.varied))
            case Map():
                return tuple(self._map(node, seed))
            case Reshape():
                return (
                    (node.operand, Reshape(UNNAMED, types[node.operand], seed, span=node.span)),
                )
            case Gather():
                kind = replace(types[node.data], dtype=types[seed].dtype)
                return ((node.data, Scatter(UNNAMED, kind, seed, node.rows, span=node.span)),)
            case Scatter():
                kind = types[node.updates]
                return ((node.updates, Gather(UNNAMED, kind, seed, node.rows, span=node.span)),)
            case SumTo():
                kind = types[node.operand]
                spread = choose(ONE, tape.element(seed, kind.shape), tape.read(node.operand))
                return ((node.operand, elementwise(spread, kind.shape, node.span)),)
            case Constant() | RandomValue() | RandomState() | ArgSort():
                return ()

    def _map(self, node: Map, seed: str) -> Sequence[tuple[str, Term]]:
        names = axis_names(len(node.indices))
        body = rename_indices(node.body, dict(zip(node.indices, names, strict=True)))
        value = surface.surface(body)
        cotangent = factor_of(node, self.tape).backward(self.tape.read(seed))
        if cotangent is None:
            return ()
        known = self.tape.read(node.name) if self._is_kept(value) else None
        received: dict[str, Scalar] = {}
        for read, part in adjoints(value, cotangent, self.varied, known).items():
            received[read.tensor] = part  # a map reads each tensor at one place
        return tuple((name, self._back(name, part, node)) for name, part in received.items())

    def _is_kept(self, value: Scalar) -> bool:
        """Whether a result is worth reading instead of computing it again.

        The sign of ``relu(C + B)`` is that of its operand. Where C is computed, nothing needs it
        but the result then, so that it is not stored.
        """
        if not isinstance(value, Apply):
            return False
        if value.op == "relu":
            computed = {node.name for node in self.tape.nodes}
            return any(read.tensor in computed for read in reads(value))
        return OPERATIONS[value.op].rule is Rule.MATH or value.op == "div"

    def _back(self, name: str, value: Scalar, node: Map) -> Term:
        """What a value receives through an elementwise statement that may have broadcast it."""
        kind, span = self.tape.types[name], node.span
        full = node.type.shape
        if kind.shape == full:
            return elementwise(value, full, span)
        if known_rank(full, kind.shape) and _fits(kind.shape, full):
            access = self.tape.element(name, full).access
            if all(self._is_plain(read, node) for read in reads(value)):
                return contraction(Aggregation.SUM, access, kind.shape, value, span=span)
            inner = self.tape.place(f"{PREFIX}{name}_full", elementwise(value, full, span))
            return contraction(Aggregation.SUM, access, kind.shape, inner, span=span)
        inner = self.tape.place(f"{PREFIX}{name}_full", elementwise(value, full, span))
        return SumTo(UNNAMED, kind, inner.tensor, name, span=span)

    def _is_plain(self, read: Read, node: Map) -> bool:
        """Whether a read is certain to be valid as an access."""
        own, full = self.tape.types[read.tensor].shape, node.type.shape
        return known_rank(own) and _fits(own, full)


def _fits(own: Sequence[object], full: Sequence[object]) -> bool:
    """Whether it is certain along which axes a shape is broadcast to another."""
    extra = len(full) - len(own)
    return all(a in (1, b) for a, b in zip(own, full[extra:], strict=True))
