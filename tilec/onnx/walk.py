"""From the nodes of a model to calls of Tile functions, in the order of the file."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from tilec import Function, Stored, Tensor
from tilec.errors import ArgumentError, LimitError, UserError
from tilec.onnx.file import (
    Files,
    attribute_value,
    functions_of,
    inner_graphs,
    known_of,
    opset,
)
from tilec.onnx.fold import folded
from tilec.onnx.library import library
from tilec.onnx.node import Entry, Item, NeedsValueError, Node, Translator
from tilec.onnx.registry import supplied, translators
from tilec.onnx.types import element_type

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto

Scope: TypeAlias = "MutableMapping[str, Entry]"

_MOST_STEPS: Final = 200_000
_DEEPEST: Final = 64


class Walk:
    """One translation of a model, for inputs of certain types."""

    def __init__(
        self,
        model: ModelProto,
        files: Files,
        operators: Mapping[str, Function | Translator],
        constants: dict[str, Entry],
    ) -> None:
        """Prepare.

        Args:
            model: The model; checked.
            files: Where its elements are.
            operators: What the caller supplied, by names of operators.
            constants: Initializers that were read before; grows.
        """
        self._model = model
        self._files = files
        self._functions = functions_of(model)
        self._supplied = {name: supplied(name, each) for name, each in operators.items()}
        self._constants = constants
        self._steps = 0
        self._depth = 0

    def run(self, given: Mapping[str, Entry]) -> dict[str, Entry]:
        """The outputs of the model, by name.

        Raises:
            UserError: a node cannot be translated.
            NeedsValueError: a shape depends on elements of an input.
        """
        missing = self._missing(self._model.graph.node, set())
        if missing:
            listed = ", ".join(sorted(missing))
            one = sorted(missing)[0].rpartition(".")[2]
            raise ArgumentError(
                f"the model uses operators that tilec lacks: {listed}",
                help=f'supply them, e.g. operators={{"{one}": tilec.function("function f(X) -> (Y) '
                '{ ... }")}',
            )
        versions = {each.domain or "": each.version for each in self._model.opset_import}
        versions[""] = opset(self._model.opset_import)
        scope: Scope = ChainMap({}, dict(given))
        found = self._graph(self._model.graph, scope, versions)
        return {
            each.name: entry for each, entry in zip(self._model.graph.output, found, strict=True)
        }

    # Which operators are there

    def _missing(self, nodes: Sequence[NodeProto], seen: set[tuple[str, str]]) -> set[str]:
        found: set[str] = set()
        for node in nodes:
            key = (_domain(node), node.op_type)
            for graph in inner_graphs(node):
                found |= self._missing(graph.node, seen)
            if key in seen or node.op_type in self._supplied:
                continue
            seen.add(key)
            if key in self._functions:
                found |= self._missing(self._functions[key].node, seen)
            elif key not in translators():
                body = _definition(node, {})
                if body is None:
                    found.add(f"{key[0]}.{key[1]}".lstrip("."))
                else:
                    found |= self._missing(body.node, seen)
        return found

    # Graphs and nodes

    def _graph(self, graph: GraphProto, scope: Scope, versions: Mapping[str, int]) -> list[Entry]:
        for proto in graph.initializer:
            if proto.name not in scope or graph is not self._model.graph:
                known = self._constants.get(proto.name) if graph is self._model.graph else None
                if known is None:
                    known = Entry(known_of(proto, self._files), name=proto.name)
                    if graph is self._model.graph:
                        self._constants[proto.name] = known
                scope[proto.name] = known
        for node in graph.node:
            self._node(node, scope, versions)
        return [_known(scope, each.name) for each in graph.output]

    def _node(self, proto: NodeProto, scope: Scope, versions: Mapping[str, int]) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise LimitError(f"the model takes more than {_MOST_STEPS} nodes once it is unrolled")
        label = f"{proto.op_type} {proto.name!r}" if proto.name else proto.op_type
        try:
            self._translate(proto, scope, versions)
        except NeedsValueError as needed:
            raise NeedsValueError(needed.inputs, f"{label}: {needed.message}") from None
        except UserError as error:
            raise type(error)(f"{label}: {error.message}", help=error.help) from error
        except MemoryError:
            raise
        except Exception as error:  # the file may hold anything
            raise ArgumentError(
                f"{label}: cannot be translated: {type(error).__name__}: {error}"
            ) from error

    def _translate(self, proto: NodeProto, scope: Scope, versions: Mapping[str, int]) -> None:
        entries = [_known(scope, name) if name else Entry(None) for name in proto.input]
        domain = _domain(proto)
        version = versions.get(domain, 1)
        if all(each.item is None or each.is_known for each in entries):
            known = folded(proto, entries, version)
            if known is not None:
                _assign(scope, proto, known, frozenset())
                return
        inputs = frozenset[str]().union(*(each.inputs for each in entries))

        def body(graph: GraphProto, items: Sequence[Item]) -> list[Item]:
            nonlocal inputs
            if len(items) != len(graph.input):
                raise ArgumentError(
                    f"a graph takes {len(graph.input)} values, but was given {len(items)}"
                )
            inner: Scope = ChainMap(
                {
                    each.name: Entry(item, inputs)
                    for each, item in zip(graph.input, items, strict=True)
                },
                scope,
            )
            results = self._graph(graph, inner, versions)
            inputs = inputs.union(*(each.inputs for each in results))
            return [each.item for each in results]

        key = (domain, proto.op_type)
        translator = self._supplied.get(proto.op_type)
        function = None
        if translator is None:
            function = self._functions.get(key)
            translator = None if function is not None else translators().get(key)
        attributes = {each.name: attribute_value(each) for each in proto.attribute}
        if translator is not None:
            node = Node(
                proto.op_type,
                domain,
                proto.name,
                version,
                entries,
                proto.output,
                attributes,
                self._files,
                body,
            )
            result = translator(node)
            results = result if isinstance(result, tuple) else (result,)
            _assign(scope, proto, results, inputs)
            return
        if function is None:
            function = _definition(proto, {"": version}, entries)
        if function is None:
            raise ArgumentError("tilec lacks this operator")
        found = self._call(function, proto, entries, versions)
        for name, entry in zip(proto.output, found, strict=False):
            if name:
                scope[name] = entry

    def _call(
        self,
        function: FunctionProto,
        call: NodeProto,
        entries: Sequence[Entry],
        versions: Mapping[str, int],
    ) -> list[Entry]:
        """The results of a function that consists of nodes."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise LimitError(f"functions call each other through more than {_DEEPEST} levels")
        defaults = (*_defaults(call, versions), *function.attribute_proto)
        given = {each.name: each for each in (*defaults, *call.attribute)}
        padded = [*entries, *(Entry(None) for _ in function.input)]
        scope: Scope = dict(zip(function.input, padded, strict=False))
        own = {each.domain: each.version for each in function.opset_import} or dict(versions)
        for node in function.node:
            concrete = _with_attributes(node, given)
            self._node(concrete, scope, own)
        self._depth -= 1
        # What nobody wants need not be there: the definition may depend on it.
        return [
            _known(scope, name) if wanted else Entry(None)
            for wanted, name in zip(call.output, function.output, strict=False)
        ]


def _domain(node: NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else node.domain


def _known(scope: Mapping[str, Entry], name: str) -> Entry:
    found = scope.get(name)
    if found is None:
        raise ArgumentError(f"nothing defines the value {name!r}")
    return found


def _assign(
    scope: Scope, proto: NodeProto, results: Sequence[Item], inputs: frozenset[str]
) -> None:
    for at, name in enumerate(proto.output):
        if not name:
            continue
        if at >= len(results):
            raise ArgumentError(f"output {at} is not supported")
        item = results[at]
        # What is known is so for all elements that the inputs may have.
        depends = frozenset[str]() if isinstance(item, np.ndarray | Stored) else inputs
        scope[name] = Entry(item, depends)


def _with_attributes(node: NodeProto, given: Mapping[str, object]) -> NodeProto:
    """A node of a function with attributes of the call in place of references to them."""
    if not any(each.ref_attr_name for each in node.attribute):
        return node
    onnx = library()
    found = onnx.NodeProto()
    found.CopyFrom(node)
    del found.attribute[:]
    for each in node.attribute:
        if not each.ref_attr_name:
            found.attribute.append(each)
        elif each.ref_attr_name in given:
            copied = onnx.AttributeProto()
            copied.CopyFrom(given[each.ref_attr_name])
            copied.name = each.name
            found.attribute.append(copied)
    return found


def _defaults(node: NodeProto, versions: Mapping[str, int]) -> list[AttributeProto]:
    """The attributes that an operator of ONNX has where a node does not give them."""
    defs = library("onnx.defs")
    version = versions.get("", defs.onnx_opset_version())
    try:
        schema = defs.get_schema(node.op_type, version, node.domain)
    except defs.SchemaError:
        return []
    defaults = [each.default_value for each in schema.attributes.values()]
    return [each for each in defaults if each.name and each.type]


def _definition(
    node: NodeProto, versions: Mapping[str, int], entries: Sequence[Entry] = ()
) -> FunctionProto | None:
    """How ONNX itself defines an operator by others; None where it does not."""
    onnx, defs = library(), library("onnx.defs")
    newest = defs.onnx_opset_version()
    version = versions.get("", newest)
    try:
        schema = defs.get_schema(node.op_type, version, node.domain)
    except defs.SchemaError:
        return None
    body: FunctionProto = onnx.FunctionProto()
    if schema.has_function:
        body.CopyFrom(schema.function_body)
    elif not schema.has_context_dependent_function:
        return None
    elif entries:
        types = [_type_of(each).SerializeToString() for each in entries]
        found = schema.get_context_dependent_function(node.SerializeToString(), types)
        body.ParseFromString(found)
    known = {each.name for each in body.attribute_proto}
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type and name not in known:
            body.attribute_proto.append(attribute.default_value)
    return body


def _type_of(entry: Entry) -> TypeProto:
    helper = library("onnx.helper")
    if entry.item is None or isinstance(entry.item, list):
        return library().TypeProto()
    if isinstance(entry.item, Tensor):
        return helper.make_tensor_type_proto(element_type(entry.item.dtype.name), entry.item.shape)
    if isinstance(entry.item, Stored):
        spec = entry.item.spec
        return helper.make_tensor_type_proto(element_type(spec.dtype.name), spec.shape)
    return helper.make_tensor_type_proto(
        helper.np_dtype_to_tensor_dtype(entry.item.dtype), entry.item.shape
    )
