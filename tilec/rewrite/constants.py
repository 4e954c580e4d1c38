"""Takes what depends on bound inputs alone out of a program, to be computed once."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from tilec.records import dataclass
from tilec.tensor.ir import Input, Node, Output, Program, operands


@dataclass(frozen=True, slots=True)
class Split:
    """A program in two parts.

    Attributes:
        once: Computes the constants; its inputs are bound inputs, its outputs are called as the
            values they are. None when the rest needs bound inputs only as they are.
        main: The rest. Its inputs are those that callers pass, in order, then the constants.
        constants: Names of the constants, in the order of ``main``'s inputs.
    """

    once: Program | None
    main: Program
    constants: tuple[str, ...]


def split_constants(program: Program, bound: AbstractSet[str]) -> Split:
    """Split a program whose inputs ``bound`` are known.

    A value is constant when it depends on a bound input and on no other. Values that depend on no
    input at all stay where they are used.
    """
    constant = constant_values(program, bound)
    main_nodes = tuple(node for node in program.nodes if node.name not in constant)
    frontier = _frontier(program, main_nodes, constant)
    types = program.types()
    main = replace(
        program,
        inputs=(
            *(value for value in program.inputs if value.name not in bound),
            *(Input(name, types[name]) for name in frontier),
        ),
        nodes=main_nodes,
    )
    computed = tuple(name for name in frontier if name not in bound)
    if not computed:
        return Split(None, main, frontier)
    once = replace(
        program,
        name=f"{program.name}_once",
        inputs=tuple(value for value in program.inputs if value.name in bound),
        nodes=_needed(program, computed),
        outputs=tuple(Output(name, name) for name in computed),
    )
    return Split(once, main, frontier)


def constant_values(program: Program, bound: AbstractSet[str]) -> set[str]:
    """Names of the values that depend on ``bound`` inputs, and on no others."""
    constant = set(bound)
    varying = {value.name for value in program.inputs} - constant
    for node in program.nodes:
        reads = set(operands(node))
        if reads & varying:
            varying.add(node.name)
        elif reads & constant:
            constant.add(node.name)
    return constant


def _frontier(
    program: Program, main: tuple[Node, ...], constant: AbstractSet[str]
) -> tuple[str, ...]:
    used = [name for node in main for name in operands(node)]
    used += [output.value for output in program.outputs]
    return tuple(dict.fromkeys(name for name in used if name in constant))


def _needed(program: Program, wanted: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes from which ``wanted`` follow, in order."""
    needed = set(wanted)
    for node in reversed(program.nodes):
        if node.name in needed:
            needed.update(operands(node))
    return tuple(node for node in program.nodes if node.name in needed)


def add_once(split: Split, bound: tuple[Input, ...], nodes: tuple[Node, ...]) -> Program:
    """The program that computes the constants, with ``nodes`` made from them as well."""
    before = split.once
    outputs = () if before is None else before.outputs
    earlier = () if before is None else before.nodes
    name = f"{split.main.name}_once" if before is None else before.name
    return Program(
        name=name,
        inputs=bound,
        nodes=(*earlier, *nodes),
        outputs=(*outputs, *(Output(node.name, node.name) for node in nodes)),
    )
