"""Puts the contractions that compute a convolution by a method in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tilec.rewrite import fourier, winograd
from tilec.rewrite.convolution import Convolution
from tilec.rewrite.lowering import lowered
from tilec.tensor.ir import Node, Program
from tilec.tensor.transformed import Transformed
from tilec.tensor.winograd import Winograd


def apply_methods(
    program: Program, methods: Mapping[str, tuple[Convolution, Transformed | str]]
) -> Program:
    """The program with some convolutions rewritten, by name; a text is a kind of lowering."""
    nodes: list[Node] = []
    for node in program.nodes:
        if node.name not in methods:
            nodes.append(node)
            continue
        conv, method = methods[node.name]
        if isinstance(method, str):
            nodes += lowered(conv, method)
        elif isinstance(method, Winograd):
            nodes += winograd.rewritten(conv, method)
        else:
            nodes += fourier.rewritten(conv, method)
    return replace(program, nodes=tuple(nodes))
