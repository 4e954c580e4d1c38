"""``Subject``: a model, what it is given, and what it costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from tilec import networks
from tilec.bench.flops import count
from tilec.errors import ArgumentError
from tilec.onnx.library import library
from tilec.records import dataclass

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[Any]]"

_LARGEST_FILE: Final = (1 << 31) - 1
"""Bytes of a model that protobuf can write."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What all engines run.

    Attributes:
        name: As the user wrote it.
        model: The model; all sizes of its inputs are known.
        inputs: An array for each input, by name.
        batch: Examples at once.
        dtype: The dtype of the first output, as NumPy calls it.
        flop: Operations of convolutions, products and recurrent layers, or None if their sizes do
            not follow from the file.
        training: Whether a step of training is measured, or what the model computes.
    """

    name: str
    model: ModelProto
    inputs: dict[str, Array]
    batch: int
    dtype: str
    flop: int | None
    training: bool = False

    def in_training(self) -> Subject:
        """A step of its training: backward, each product becomes two of its size."""
        flop = None if self.flop is None else 3 * self.flop
        return dataclasses.replace(self, flop=flop, training=True)

    def serialized(self) -> bytes:
        """The bytes of the file.

        Raises:
            ArgumentError: it is too large for one.
        """
        if self.model.ByteSize() > _LARGEST_FILE:
            raise ArgumentError(f"{self.name} is larger than 2 GiB, which no engine reads as bytes")
        return self.model.SerializeToString()


def network(name: str, batch: int | None, dtype: str = "f32") -> Subject:
    """A network that is built in code.

    Raises:
        ArgumentError: there is none of that name.
    """
    return _subject(name, networks.build(name, batch, dtype=dtype))


def file(path: str, batch: int | None) -> Subject:
    """A model in a file; ``batch`` takes the place of a first size that the file leaves open.

    Raises:
        ArgumentError: it cannot be read, or leaves other sizes open.
    """
    try:
        model: ModelProto = library().load(path)
    except Exception as error:  # protobuf's class of this depends on how it was built
        raise ArgumentError(f"cannot read {path}: {error}") from error
    for each in _passed(model.graph):
        for axis, dim in enumerate(each.type.tensor_type.shape.dim):
            if dim.HasField("dim_value"):
                continue
            if axis > 0:
                raise ArgumentError(
                    f"{path} leaves the sizes of its input {each.name} open",
                    help="onnx.tools.update_model_dims makes a file of fixed sizes",
                )
            dim.dim_value = 1 if batch is None else batch
    found = _subject(Path(path).name, model)
    if batch is not None and found.batch != batch:
        raise ArgumentError(f"{path} is a model for a batch of {found.batch}")
    return found


def _subject(name: str, model: ModelProto) -> Subject:
    inputs = {each.name: _example(each, model.graph) for each in _passed(model.graph)}
    first = next(iter(inputs.values()), None)
    output = model.graph.output[0].type.tensor_type.elem_type
    return Subject(
        name=name,
        model=model,
        inputs=inputs,
        batch=first.shape[0] if first is not None and first.ndim else 1,
        dtype=library("onnx.helper").tensor_dtype_to_np_dtype(output).name,
        flop=count(model),
    )


def _passed(graph: GraphProto) -> list[ValueInfoProto]:
    known = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in known]


def _example(given: ValueInfoProto, graph: GraphProto) -> Array:
    """Normals, or numbers of rows where the input picks rows of a table."""
    random = np.random.default_rng(len(given.name))
    kind = given.type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]
    dtype = library("onnx.helper").tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype.kind in "biu":
        return random.integers(0, _rows(given.name, graph), sizes).astype(dtype)
    return random.standard_normal(sizes).astype(dtype)


def _rows(name: str, graph: GraphProto) -> int:
    """Rows of the smallest table from which this input picks; 2 if there is none."""
    sizes = {each.name: each.dims for each in graph.initializer}
    tables = [
        sizes[node.input[0]][0]
        for node in graph.node
        if node.op_type == "Gather" and node.input[1] == name and node.input[0] in sizes
    ]
    return min(tables, default=2)
