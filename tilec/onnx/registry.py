"""Which operators can be translated, and by what."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tilec import Function, apply
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Operand, Result, Translator

_TRANSLATORS: Final[dict[tuple[str, str], Translator]] = {}


def operator(*names: str, domain: str = "") -> Callable[[Translator], Translator]:
    """Marks a function as the translator of some operators, in all their versions."""

    def mark(translator: Translator) -> Translator:
        for name in names:
            _TRANSLATORS[domain, name] = translator
        return translator

    return mark


def translators() -> Mapping[tuple[str, str], Translator]:
    """All translators, by domain and name of the operator."""
    folder = str(Path(__file__).parent / "operators")
    for area in sorted(each.name for each in pkgutil.iter_modules([folder])):
        importlib.import_module(f"tilec.onnx.operators.{area}")
    return _TRANSLATORS


def supplied(name: str, given: Function | Translator) -> Translator:
    """What a caller supplied for an operator, as a translator.

    A Tile function takes the inputs of the node and then, by their names, its attributes.
    """
    if not isinstance(given, Function):
        return given

    def called(node: Node) -> Result:
        operands: list[Operand] = [*node.tensors]
        for parameter in given.inputs[len(operands) :]:
            value = next(
                (
                    value
                    for key, value in node.attributes().items()
                    if key.lower() == parameter.name.lower()
                ),
                None,
            )
            if not isinstance(value, int | float):
                raise ArgumentError(
                    f"the function for {name} takes {parameter.name}, which is neither an input "
                    "nor a number among the attributes of the node"
                )
            operands.append(value)
        return apply(given, *operands)

    return called
