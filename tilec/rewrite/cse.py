"""Computes once what a program computes twice: common subexpression elimination.

A network and its gradient, each written as a function of its own, share the way forward. Values
are equal when the same node computes them from equal values, whatever it calls its indices.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from math import copysign
from typing import ClassVar

from tilec.records import dataclass
from tilec.tensor.ir import Constant, Contraction, Map, Node, Program
from tilec.tensor.scalar import Literal, Scalar, rename_indices, walk
from tilec.tensor.uses import reading


@dataclass(frozen=True, slots=True)
class ShareEqual:
    """Reads the first of equal values instead of the others, which go.

    Assumes a verified program; nodes have no effects, so that equal ones have equal results, those
    of the random generator too. Guarantees the same values, bit by bit.
    """

    name: ClassVar[str] = "cse"

    def apply(self, program: Program) -> Program:
        """The program with each value once; the same object when there are no equal ones."""
        instead: dict[str, str] = {}
        first: dict[Hashable, str] = {}
        kept: list[Node] = []
        for node in program.nodes:
            node = reading(node, instead) if instead else node
            found = first.setdefault(_key(node), node.name)
            if found == node.name:
                kept.append(node)
            else:
                instead[node.name] = found
        if not instead:
            return program
        outputs = tuple(
            replace(each, value=instead.get(each.value, each.value)) for each in program.outputs
        )
        return replace(program, nodes=tuple(kept), outputs=outputs)


def _key(node: Node) -> Hashable:
    """What equal nodes have in common."""
    plain = replace(node, name="")
    match plain:
        case Constant():
            return plain, _kinds(plain.data)
        case Contraction():
            names = _numbered(plain.indices)
            plain = replace(
                plain,
                indices=tuple(names.values()),
                output=tuple(form.rename(names) for form in plain.output),
                body=rename_indices(plain.body, names),
                constraints=tuple(
                    replace(each, form=each.form.rename(names)) for each in plain.constraints
                ),
            )
            return plain, _literals(plain.body)
        case Map():
            names = _numbered(plain.indices)
            body = rename_indices(plain.body, names)
            return replace(plain, indices=tuple(names.values()), body=body), _literals(body)
        case _:
            return plain


def _numbered(indices: tuple[str, ...]) -> dict[str, str]:
    return {name: f"i{at}" for at, name in enumerate(indices)}


def _literals(body: Scalar) -> Hashable:
    return _kinds(tuple(each.value for each in walk(body) if isinstance(each, Literal)))


def _kinds(values: tuple[bool | int | float, ...]) -> Hashable:
    """What tells numbers apart that Python calls equal: 0.0 and -0.0."""
    return tuple(isinstance(each, float) and copysign(1, each) < 0 for each in values)
