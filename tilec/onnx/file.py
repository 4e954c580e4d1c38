"""ONNX files: read, and checked before anything believes them.

ONNX's own checker finds cycles, names that nobody defines and attributes of wrong types. What it
leaves open is checked here: sizes against the bytes that are there, and where external data lies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from tilec import Spec, Stored, StoredFile
from tilec.errors import ArgumentError, LimitError, UserError
from tilec.onnx.library import library
from tilec.onnx.outline import OWN_FILE, outline
from tilec.onnx.types import plain_types, tile_type

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[Any]]"

OLDEST_OPSET: Final = 7
_TITLE: Final = "the model"
_DEEPEST: Final = 32
_MOST_ELEMENTS: Final = 1 << 40
_PACKED_BITS: Final = 4  # the smallest ONNX type with a whole number of bits in a byte


class Files:
    """Where the elements of tensors are that are not in a model itself."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file of a model, if it has one."""
        self.folder = None if path is None else path.parent
        self.own = None if path is None else StoredFile(path)
        self._others: dict[Path, StoredFile] = {}

    def opened(self, path: Path) -> StoredFile:
        """Another file."""
        if path not in self._others:
            self._others[path] = StoredFile(path)
        return self._others[path]


def read_model(source: str | PathLike[str] | bytes | ModelProto) -> tuple[ModelProto, Files]:
    """A checked model, and the files with its elements.

    Raises:
        UserError: the file cannot be read, or is no valid model.
    """
    if not isinstance(source, str | PathLike):
        data = source if isinstance(source, bytes) else None
        model = _parsed(_TITLE, source) if isinstance(source, bytes) else source
        return _converted(_check(model, _TITLE, data), _TITLE), Files()
    title, files = str(source), Files(Path(source))
    assert files.own is not None
    with files.own.stream() as file:
        data = outline(file, files.own.bytes)
    if data is not None:
        model = _parsed(title, data)
        if opset(model.opset_import) >= OLDEST_OPSET:
            return _check(model, title, data), files
    data = files.own.read(0, files.own.bytes)
    return _converted(_check(_parsed(title, data), title, data), title), files


def _parsed(title: str, data: bytes) -> ModelProto:
    model: ModelProto = library().ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's class of this depends on how it was built
        raise ArgumentError(
            f"{title} is no ONNX file, or a part of one: {error}",
            help="a download may have stopped early",
        ) from error
    return model


def _converted(model: ModelProto, title: str) -> ModelProto:
    """A model of an opset with one meaning of broadcasting."""
    if opset(model.opset_import) >= OLDEST_OPSET:
        return model
    try:
        return library("onnx.version_converter").convert_version(model, OLDEST_OPSET)
    except Exception as error:  # an operator without a way to a later opset, or a bug there
        raise ArgumentError(
            f"{title} is of opset {opset(model.opset_import)}, and cannot be made one of "
            f"{OLDEST_OPSET}: {_first_line(error)}"
        ) from error


def _check(model: ModelProto, title: str, data: bytes | None) -> ModelProto:
    """The model, if it is valid; ``data`` are its bytes, where they are at hand."""
    from google.protobuf.message import DecodeError, EncodeError

    if not model.HasField("graph") or not model.opset_import:
        raise ArgumentError(f"{title} holds no graph", help="is it an ONNX file?")
    for each in graphs(model.graph):
        for tensor in each.initializer:
            _check_tensor(tensor)
    version = opset(model.opset_import)
    newest = library("onnx.defs").onnx_opset_version()
    if not 1 <= version <= newest:
        raise ArgumentError(
            f"{title} is of opset {version}; the installed onnx knows those up to {newest}",
            help="install a newer onnx",
        )
    checker = library("onnx.checker")
    try:
        looked_at = _without_files(model)
        # The checker would write the whole model, weights and all, as bytes again.
        checker.check_model(data if data is not None and looked_at is model else looked_at)
    except (checker.ValidationError, DecodeError, EncodeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"{title} is not valid: {_first_line(error)}") from error
    return model


def _without_files(model: ModelProto) -> ModelProto:
    """A model that the checker can look at without looking for files in the working folder."""
    outside = [
        each for graph in graphs(model.graph) for each in graph.initializer if uses_file(each)
    ]
    if not outside:
        return model
    onnx = library()
    copied: ModelProto = onnx.ModelProto()
    copied.CopyFrom(model)
    for graph in graphs(copied.graph):
        for each in graph.initializer:
            if uses_file(each):
                each.ClearField("external_data")
                each.data_location = onnx.TensorProto.DEFAULT
                each.dims[:] = [0]
                each.raw_data = b""
    return copied


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def opset(imports: Sequence[Any]) -> int:
    """The version of the operators without a domain."""
    versions = [each.version for each in imports if each.domain in ("", "ai.onnx")]
    return versions[0] if versions else OLDEST_OPSET


def graphs(graph: GraphProto, depth: int = 0) -> Iterator[GraphProto]:
    """A graph and all inside of its nodes.

    Raises:
        LimitError: they are nested too deeply.
    """
    if depth > _DEEPEST:
        raise LimitError(f"the model nests graphs more than {_DEEPEST} deep")
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from graphs(inner, depth + 1)


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs among the attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def uses_file(tensor: TensorProto) -> bool:
    """True if the elements lie in a file of their own."""
    return tensor.data_location == library().TensorProto.EXTERNAL


def _check_tensor(tensor: TensorProto) -> None:
    if any(size < 0 for size in tensor.dims) or prod(tensor.dims) > _MOST_ELEMENTS:
        raise LimitError(f"the tensor {tensor.name!r} has the sizes {list(tensor.dims)}")


def known_of(tensor: TensorProto, files: Files) -> Array | Stored:
    """A tensor; its elements are not read where they lie as they are in a file.

    Raises:
        UserError: it says what is not so, or its file lies outside of the model's folder.
    """
    _check_tensor(tensor)
    if not uses_file(tensor):
        return array_of(tensor, files)
    where = {each.key: each.value for each in tensor.external_data}
    try:
        offset = int(where.get("offset", "0"))
        length = int(where["length"]) if "length" in where else None
    except ValueError as error:
        raise ArgumentError(f"the tensor {tensor.name!r} lies at no number of bytes") from error
    file = _file_of(tensor, where.get("location", ""), files)
    if tensor.data_type in plain_types() and sys.byteorder == "little":
        spec = Spec(tuple(tensor.dims), tile_type(tensor.data_type))
        if length is not None and length != spec.bytes:
            raise ArgumentError(
                f"the tensor {tensor.name!r} of sizes {list(tensor.dims)} has {length} bytes"
            )
        return file.array(offset, spec)
    plain: TensorProto = library().TensorProto()
    plain.CopyFrom(tensor)
    plain.ClearField("external_data")
    plain.data_location = library().TensorProto.DEFAULT
    plain.raw_data = file.read(offset, file.bytes - offset if length is None else length)
    return array_of(plain, files)


def array_of(tensor: TensorProto, files: Files) -> Array:
    """The elements of a tensor.

    Raises:
        UserError: it says what is not so, or its file lies outside of the model's folder.
    """
    _check_tensor(tensor)
    if uses_file(tensor):
        found = known_of(tensor, files)
        return found.read() if isinstance(found, Stored) else found
    if tensor.HasField("raw_data") and len(tensor.raw_data) * 8 < prod(tensor.dims):
        raise ArgumentError(
            f"the tensor {tensor.name!r} of sizes {list(tensor.dims)} has "
            f"{len(tensor.raw_data)} bytes"
        )
    try:
        return np.ascontiguousarray(library("onnx.numpy_helper").to_array(tensor)).reshape(
            tuple(tensor.dims)
        )
    except UserError:
        raise
    except Exception as error:  # whatever a wrong file makes the decoder meet
        raise ArgumentError(
            f"the tensor {tensor.name!r} cannot be read: {_first_line(error)}"
        ) from error


def _file_of(tensor: TensorProto, location: str, files: Files) -> StoredFile:
    """The file with a tensor's elements."""
    folder = files.folder
    if files.own is not None and location == OWN_FILE:
        return files.own
    if folder is None:
        raise ArgumentError(
            f"the tensor {tensor.name!r} is in a file beside the model's, but the model came as "
            "bytes",
            help="load it by its path",
        )
    path = (folder / location).resolve()
    if not location or not path.is_relative_to(folder.resolve()):
        raise ArgumentError(
            f"the tensor {tensor.name!r} is in {location!r}, which is not in the model's folder"
        )
    if not path.is_file():
        raise ArgumentError(f"the tensor {tensor.name!r} is in {location!r}, which is missing")
    return files.opened(path)


def attribute_value(attribute: AttributeProto) -> object:
    """What an attribute holds.

    Raises:
        ArgumentError: it holds nothing, or refers to an attribute that nobody gave.
    """
    if attribute.ref_attr_name:
        raise ArgumentError(
            f"the attribute {attribute.name} refers to {attribute.ref_attr_name!r}, which is not "
            "given"
        )
    try:
        return library("onnx.helper").get_attribute_value(attribute)
    except ValueError as error:
        raise ArgumentError(f"the attribute {attribute.name} holds nothing") from error


def functions_of(model: ModelProto) -> dict[tuple[str, str], FunctionProto]:
    """The model's own functions, by domain and name."""
    return {(each.domain, each.name): each for each in model.functions}
