"""Takes what depends on bound inputs alone out of a program, to be computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from math import prod
from typing import Final

from tilec.records import dataclass
from tilec.tensor.ir import Input, Node, Output, Program, TensorType, operands
from tilec.tensor.size import concrete


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


_PORTIONS: Final = 8
"""Into how many portions constants are divided: what they are made of is in memory an eighth at
a time, or the largest alone."""


def portions(once: Program, wanted: Sequence[str]) -> tuple[Program, ...]:
    """What is computed once, in programs that have nothing in common and run one by one.

    ``wanted`` are the constants that somebody reads. So the arrays that they are made of need not
    be in memory all at the same time. Values that are made alike come together, since kernels are
    shared within a program.
    """
    once = replace(once, outputs=tuple(each for each in once.outputs if each.name in wanted))
    sources = _sources(once)
    types = once.types()
    groups = sorted(_connected(once, sources), key=lambda names: repr([types[n] for n in names]))
    sizes = [sum(_bytes(types[n]) for n in _inputs_of(names, sources)) for names in groups]
    limit = sum(sizes) // _PORTIONS
    found: list[list[str]] = []
    filled = 0
    for names, size in zip(groups, sizes, strict=True):
        if found and filled + size <= limit:
            found[-1] += names
            filled += size
        else:
            found.append([*names])
            filled = size
    return tuple(_portion(once, at, frozenset(names)) for at, names in enumerate(found))


def _sources(once: Program) -> dict[str, frozenset[str]]:
    """The inputs on which each value depends."""
    found = {value.name: frozenset([value.name]) for value in once.inputs}
    for node in once.nodes:
        found[node.name] = frozenset[str]().union(*(found[name] for name in operands(node)))
    return found


def _inputs_of(names: Iterable[str], sources: Mapping[str, frozenset[str]]) -> list[str]:
    return sorted(frozenset[str]().union(*(sources[name] for name in names)))


def _connected(once: Program, sources: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The outputs in groups that share no input."""
    owner: dict[str, int] = {}
    groups: dict[int, list[str]] = {}
    for at, output in enumerate(once.outputs):
        met = sorted({owner[name] for name in sources[output.value] if name in owner})
        joined = [output.value]
        for each in met:
            joined = groups.pop(each) + joined
        groups[at] = joined
        owner.update((name, at) for one in joined for name in sources[one])
    return [*groups.values()]


def _portion(once: Program, at: int, names: frozenset[str]) -> Program:
    outputs = tuple(output for output in once.outputs if output.value in names)
    nodes = _needed(once, tuple(output.value for output in outputs))
    read = {name for node in nodes for name in operands(node)}
    return Program(
        name=f"{once.name}_{at}" if at else once.name,
        inputs=tuple(value for value in once.inputs if value.name in read),
        nodes=nodes,
        outputs=outputs,
    )


def _bytes(kind: TensorType) -> int:
    return prod(concrete(kind.shape)) * kind.dtype.bytes
