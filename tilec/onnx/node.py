"""``Node``: what a translator of an operator is given, with typed access to everything in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np

import tilec
from tilec import Stored, Tensor
from tilec.errors import ArgumentError, ShapeError
from tilec.onnx.file import Array, Files, array_of

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto

Operand: TypeAlias = "Tensor | int | float"
"""What a Tile function is called with."""

Item: TypeAlias = "Tensor | Array | Stored | list[Any] | None"
"""A value of a model: computed, known, a sequence of values, or an optional that is not there."""

Result: TypeAlias = "Item | tuple[Item, ...]"
"""What a translator returns: a value, or one for each output."""

Translator: TypeAlias = "Callable[[Node], Result]"


def as_tensor(item: Item) -> Tensor:
    """A value as a tensor.

    Raises:
        ArgumentError: it is a sequence, or not there.
    """
    if item is None or isinstance(item, list):
        raise ArgumentError("a tensor belongs where a sequence or nothing was given")
    return tilec.tensor(item)


class NeedsValueError(ShapeError):
    """An element decides about the shape of a result, and depends on inputs of the model.

    Attributes:
        inputs: Names of the inputs.
    """

    def __init__(self, inputs: frozenset[str], reason: str) -> None:
        super().__init__(reason, help="shapes may depend on sizes and on short inputs, not on data")
        self.inputs = inputs


class Entry:
    """A value of a graph.

    Attributes:
        item: The value.
        inputs: Names of the model's inputs on whose elements it depends.
    """

    __slots__ = ("_tensor", "inputs", "item", "name")

    def __init__(self, item: Item, inputs: frozenset[str] = frozenset(), name: str = "") -> None:
        self.item = item
        self.inputs = inputs
        self.name = name
        self._tensor: Tensor | None = None

    @property
    def array(self) -> Array | None:
        """The elements, if they are known."""
        if isinstance(self.item, Stored):
            return self.item.read()
        return self.item if isinstance(self.item, np.ndarray) else None

    @property
    def size(self) -> int:
        """How many elements there are, if they are known; else 0."""
        if isinstance(self.item, Stored):
            return prod(self.item.spec.shape)
        return self.item.size if isinstance(self.item, np.ndarray) else 0

    @property
    def is_known(self) -> bool:
        """Whether the elements are known."""
        return isinstance(self.item, np.ndarray | Stored)

    def tensor(self) -> Tensor:
        """The value as a tensor; the same one each time."""
        if isinstance(self.item, Tensor):
            return self.item
        if self._tensor is None:
            self._tensor = tilec.tensor(cast("Any", self.item), name=self.name)
        return self._tensor


class Body(Protocol):
    """A graph among the attributes of a node, as something to call."""

    def __call__(self, *items: Item) -> list[Item]:
        """The values of its outputs."""
        ...


class Node:
    """One node of a model.

    Attributes:
        kind: Name of the operator.
        domain: Domain of the operator; empty for ONNX's own.
        name: Name of the node; may be empty.
        version: Version of the operator's domain that the model uses.
        outputs: Names of the outputs; empty where nobody wants one.
        entries: The inputs.
    """

    def __init__(
        self,
        kind: str,
        domain: str,
        name: str,
        version: int,
        entries: Sequence[Entry],
        outputs: Sequence[str],
        attributes: Mapping[str, object],
        files: Files,
        body: Callable[[GraphProto, Sequence[Item]], list[Item]],
    ) -> None:
        self.kind = kind
        self.domain = domain
        self.name = name
        self.version = version
        self.entries = tuple(entries)
        self.outputs = tuple(outputs)
        self._attributes = attributes
        self._files = files
        self._body = body

    # Inputs

    @property
    def count(self) -> int:
        """How many inputs there are, those left out included."""
        return len(self.entries)

    def has(self, at: int) -> bool:
        """Whether input ``at`` is there."""
        return at < len(self.entries) and self.entries[at].item is not None

    def tensor(self, at: int) -> Tensor:
        """Input ``at``.

        Raises:
            ArgumentError: it is left out, or a sequence.
        """
        if not self.has(at):
            raise ArgumentError(f"input {at} is missing")
        if isinstance(self.entries[at].item, list):
            raise ArgumentError(f"input {at} is a sequence, where a tensor belongs")
        return self.entries[at].tensor()

    def optional(self, at: int) -> Tensor | None:
        """Input ``at``, or None where it is left out."""
        return self.tensor(at) if self.has(at) else None

    @property
    def tensors(self) -> list[Tensor]:
        """All inputs, none of which may be left out."""
        return [self.tensor(at) for at in range(self.count)]

    def sequence(self, at: int) -> list[Item]:
        """Input ``at``, which is a sequence."""
        item = self.entries[at].item if self.has(at) else None
        if not isinstance(item, list):
            raise ArgumentError(f"input {at} is no sequence")
        return cast("list[Item]", item)

    def array(self, at: int, what: str) -> Array:
        """The elements of input ``at``, which decide about shapes.

        Args:
            at: Which input.
            what: What they are, for the message.

        Raises:
            NeedsValueError: they depend on inputs of the model that are not known.
        """
        value = self.tensor(at)
        entry = self.entries[at]
        known = entry.array
        if known is not None:
            return known
        if entry.inputs:
            raise NeedsValueError(entry.inputs, f"{what} must be known")
        return value.numpy()

    # Attributes

    def given(self, name: str) -> bool:
        """Whether the attribute is there."""
        return name in self._attributes

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        return self._one(name, default, int, "an integer")

    def flag(self, name: str, default: bool = False) -> bool:
        """An integer attribute that is 0 or 1."""
        return bool(self.integer(name, int(default)))

    def number(self, name: str, default: float | None = None) -> float:
        """A float attribute."""
        return self._one(name, default, float, "a float")

    def text(self, name: str, default: str | None = None) -> str:
        """A string attribute."""
        found = self._attributes.get(name)
        if isinstance(found, bytes):
            return found.decode(errors="replace")
        return self._one(name, default, str, "a string")

    def texts(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """An attribute of several strings."""
        found = self._several(name, bytes, "strings")
        return [*default] if found is None else [each.decode(errors="replace") for each in found]

    def numbers(self, name: str, default: Sequence[float] = ()) -> list[float]:
        """An attribute of several floats."""
        found = self._several(name, float, "floats")
        return [*default] if found is None else found

    def integers(self, name: str, *, at: int | None = None) -> list[int] | None:
        """An attribute of several integers; None where it is left out.

        Args:
            name: Name of the attribute.
            at: The input that has taken the attribute's place in later versions.
        """
        if at is not None and self.has(at):
            return [int(each) for each in self.array(at, name).reshape(-1)]
        return self._several(name, int, "integers")

    def constant(self, name: str) -> Array:
        """A tensor attribute."""
        proto = self._attributes.get(name)
        if not hasattr(proto, "data_type"):
            raise ArgumentError(f"the attribute {name} is no tensor")
        return array_of(cast("TensorProto", proto), self._files)

    def body(self, name: str) -> Body:
        """A graph attribute."""
        proto = self._attributes.get(name)
        if not hasattr(proto, "initializer"):
            raise ArgumentError(f"the attribute {name} is no graph")
        return lambda *items: self._body(cast("GraphProto", proto), items)

    def attributes(self) -> Mapping[str, object]:
        """All attributes as they are."""
        return self._attributes

    def _one(self, name: str, default: Any, kind: type, what: str) -> Any:
        found = self._attributes.get(name, default)
        if found is None:
            raise ArgumentError(f"the attribute {name} is missing")
        if kind is float and isinstance(found, int):
            found = float(found)
        if not isinstance(found, kind):
            raise ArgumentError(f"the attribute {name} is not {what}: {found!r:.40}")
        return found

    def _several(self, name: str, kind: type, what: str) -> list[Any] | None:
        found = self._attributes.get(name)
        if found is None:
            return None
        if not isinstance(found, Iterable) or isinstance(found, str | bytes):
            raise ArgumentError(f"the attribute {name} does not hold several {what}")
        listed = [*cast("Iterable[object]", found)]
        if not all(isinstance(each, kind) for each in listed):
            raise ArgumentError(f"the attribute {name} holds something else than {what}")
        return listed
