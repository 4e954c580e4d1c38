"""The tensor IR as text: deterministic, and with the index domains that isl computed.

The text is for reading and comparing; it is not parsed back. Operations are written as in Tile,
each with its own parentheses, so that nothing depends on precedence; ``f32(x)`` is a conversion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilec.errors import LimitError, TilecError
from tilec.operations import OPERATIONS
from tilec.tensor import domain
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    ArgSort,
    Attribute,
    Constant,
    Contraction,
    Gather,
    Map,
    Node,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
)
from tilec.tensor.isl import Set
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar, reads

_SHOWN_ELEMENTS = 16
"""Elements of a constant that are printed."""


def print_program(program: Program) -> str:
    """The whole program, one value after the other, with a newline at the end."""
    types = program.types()
    lines = [f"program {program.name}"]
    lines += [f"  input {item.name}: {item.type}" for item in program.inputs]
    for node in program.nodes:
        lines += [f"  {line}" for line in print_node(node, types).splitlines()]
    lines += [f"  output {output.name} = {output.value}" for output in program.outputs]
    return "\n".join(lines) + "\n"


def print_node(node: Node, types: Mapping[str, TensorType]) -> str:
    """One value: its type and definition and, for a contraction, what isl says about it."""
    lines = [print_definition(node)]
    if isinstance(node, Contraction):
        lines += _facts(node, types)
    return "\n".join(lines)


def print_definition(node: Node) -> str:
    """One value on one line: its type and definition."""
    attributes = "" if isinstance(node, Constant) else _attributes(node.attributes)
    return f"{attributes}{node.name}: {node.type} = {_definition(node)}"


def _definition(node: Node) -> str:
    match node:
        case Constant():
            return _constant(node)
        case Contraction():
            return _contraction(node)
        case Map():
            return f"map [{', '.join(node.indices)}] {print_scalar(node.body)}"
        case Reshape():
            return f"reshape({node.operand})"
        case Gather():
            return f"gather({node.data}, {node.rows})"
        case Scatter():
            return f"scatter({node.updates}, {node.rows})"
        case RandomValue():
            return f"random_value({node.state})"
        case RandomState():
            return f"random_state({node.state}, {node.count})"
        case ArgSort():
            order = "descending" if node.descending else "ascending"
            return f"argsort({node.operand}, axis {node.axis}, {order})"
        case SumTo():
            return f"sum_to({node.operand}, {node.like})"


def print_scalar(value: Scalar) -> str:
    """A scalar expression on one line."""
    match value:
        case Literal():
            return f"{value.value}:{value.dtype}"
        case Read():
            return f"{value.tensor}{_access(value.access)}"
        case IndexValue():
            return f"{value.dtype}({value.form})"
        case Apply():
            return _apply(value)


def _apply(value: Apply) -> str:
    args = [print_scalar(arg) for arg in value.args]
    if value.op == "cast":
        return f"{value.dtype}({args[0]})"
    symbol = OPERATIONS[value.op].symbol if value.op in OPERATIONS else None
    if symbol is None or len(args) != 2:
        return f"{value.op}({', '.join(args)})"
    return f"({args[0]} {symbol} {args[1]})"


def _access(forms: tuple[Affine, ...]) -> str:
    return f"[{', '.join(map(str, forms))}]"


def _contraction(node: Contraction) -> str:
    text = f"{_access(node.output)} {node.agg.value}({print_scalar(node.body)})"
    for constraint in node.constraints:
        text += f", {constraint.form} < {constraint.bound}"
    if node.no_defract:
        text += " no_defract"
    if node.default is not None:
        text += f" default {node.default}"
    return text


def _facts(node: Contraction, types: Mapping[str, TensorType]) -> Iterator[str]:
    """What follows from a contraction: accumulator, points, ranges of the indices."""
    yield f"  combined in {node.body.dtype}"
    if not _is_bound(node, types):
        return
    try:
        points = domain.of(node, types)
        yield f"  points {points}"
        if not points.is_empty():
            yield f"  ranges {_ranges(points)}".rstrip()
    except LimitError as error:
        yield f"  points: {error.message}"


def _ranges(points: Set) -> str:
    def end(value: int | None) -> str:
        return "unbounded" if value is None else str(value)

    ranges = (
        f"{name} {end(points.lowest(at))}..{end(points.highest(at))}"
        for at, name in enumerate(points.names)
    )
    return ", ".join(ranges)


def _is_bound(node: Contraction, types: Mapping[str, TensorType]) -> bool:
    """Whether all sizes are numbers, so that the domain can be asked for."""
    tensors = [types[read.tensor] for read in reads(node.body) if read.tensor in types]
    sizes = [size for tensor in (node.type, *tensors) for size in tensor.shape]
    sizes += [constraint.bound for constraint in node.constraints]
    forms = [*node.output, *(form for read in reads(node.body) for form in read.access)]
    forms += [constraint.form for constraint in node.constraints]
    try:
        for form in forms:
            form.rational()
    except TilecError:
        return False
    return all(isinstance(size, int) for size in sizes)


def _constant(node: Constant) -> str:
    shown = ", ".join(map(str, node.data[:_SHOWN_ELEMENTS]))
    rest = len(node.data) - _SHOWN_ELEMENTS
    return f"constant ({shown}{f', and {rest} more' if rest > 0 else ''})"


def _attributes(attributes: tuple[Attribute, ...]) -> str:
    parts: list[str] = []
    for item in attributes:
        args = f"({', '.join(item.args)})" if item.args else ""
        parts.append(f"[[{item.name}{args}]] ")
    return "".join(parts)
