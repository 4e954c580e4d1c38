"""``load`` and ``Model``: from an ONNX file to a program."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

import tilec
from tilec import Executable, Function, Options, Spec, Stored, Tensor, compile
from tilec.errors import ArgumentError, ShapeError, TileTypeError
from tilec.onnx.file import Array, Files, known_of, read_model
from tilec.onnx.node import Entry, NeedsValueError, Translator
from tilec.onnx.training import Training, in_training, trained
from tilec.onnx.types import numpy_type, tile_type
from tilec.onnx.walk import Walk
from tilec.records import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

Source: TypeAlias = "str | PathLike[str] | bytes | ModelProto"
Shapes: TypeAlias = "Mapping[str, Sequence[int]]"
Known: TypeAlias = "Array | Stored"
Operand: TypeAlias = "Tensor | Known | ArrayLike"
Operators: TypeAlias = "Mapping[str, Function | Translator]"

_KEPT: Final = 16
_MOST_KNOWN: Final = 4096
_MOST_KNOWN_FLOATS: Final = 64


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a model.

    Attributes:
        name: Its name in the file.
        dtype: Its dtype in Tile, e.g. ``"f32"``.
        dims: Its sizes: numbers, names of sizes that calls decide, or None for one without a name;
            None in place of all when even the number of axes is open.
    """

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        if self.dims is None:
            return f"{self.name}: {self.dtype}"
        sizes = ", ".join("?" if each is None else str(each) for each in self.dims)
        return f"{self.name}: {self.dtype}[{sizes}]"


class Model:
    """An ONNX model. It compiles when it is called, for the sizes that it is called with.

    A short input that decides about shapes, such as the ``axes`` of a reduction, is known when
    the program is compiled; there is one program for each of its values.
    """

    def __init__(
        self,
        model: ModelProto,
        files: Files,
        operators: Operators,
        target: str | None,
        options: Options | None,
    ) -> None:
        self._model = model
        self._files = files
        self._operators = operators
        self._target = target
        self._options = options
        self._constants: dict[str, Entry] = {}
        self._specialised: set[str] = set()
        self._programs: OrderedDict[object, Executable] = OrderedDict()
        self._lock = threading.Lock()  # calls of several threads compile one after the other
        known = {each.name for each in model.graph.initializer}
        self._inputs = tuple(_input(each) for each in model.graph.input if each.name not in known)
        self._outputs = tuple(each.name for each in model.graph.output)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs that callers pass, in order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self._outputs

    @property
    def shapes(self) -> dict[str, tuple[int, ...]] | None:
        """The sizes of all inputs, if the file gives them."""
        found = {
            each.name: tuple(size for size in each.dims if isinstance(size, int))
            for each in self._inputs
            if each.dims is not None and all(isinstance(size, int) for size in each.dims)
        }
        return found if len(found) == len(self._inputs) else None

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike) -> Any:
        """Compile for arrays of these sizes, unless that has been done before, and run.

        Args:
            *arrays: The inputs in the order of the file.
            **named: Inputs by name.

        Returns:
            An array, or a named tuple of arrays when there are several outputs.

        Raises:
            UserError: an argument does not fit, or a node cannot be translated.
        """
        given = self._given(arrays, named)
        with self._lock:
            program, known = self._program(given)
        return program(*(each for name, each in given.items() if name not in known))

    def _program(self, given: Mapping[str, Array]) -> tuple[Executable, set[str]]:
        """The program for inputs like these, and the inputs that are part of it."""
        while True:
            known = {name: given[name] for name in given if name in self._specialised}
            specs = tuple((each.shape, each.dtype.str) for each in given.values())
            key = (specs, tuple((name, each.tobytes()) for name, each in known.items()))
            program = self._programs.get(key)
            if program is None:
                try:
                    shapes = {name: each.shape for name, each in given.items()}
                    program = self.compile(shapes, known)
                except NeedsValueError as needed:
                    self._specialise(needed, given)
                    continue
                self._programs[key] = program
                if len(self._programs) > _KEPT:
                    self._programs.popitem(last=False)
            self._programs.move_to_end(key)
            return program, {*known}

    def compile(self, shapes: Shapes, values: Mapping[str, Array] | None = None) -> Executable:
        """The program for inputs of these sizes.

        Args:
            shapes: Sizes of the inputs; those that the file gives may be left out.
            values: Inputs that are known. The program does not take them.

        Raises:
            UserError: sizes are missing or do not fit, or a node cannot be translated.
            NeedsValueError: an input that is not known decides about a shape.
        """
        values = values or {}
        asked = [each for each in self._inputs if each.name not in values]
        _check_names(asked, shapes)
        specs = [Spec(_sizes(each, shapes), each.dtype) for each in asked]
        walk = Walk(self._model, self._files, self._operators, self._constants)

        def network(*tensors: Tensor) -> dict[str, Tensor]:
            given = {name: Entry(np.asarray(each)) for name, each in values.items()}
            given |= _entries({each.name: one for each, one in zip(asked, tensors, strict=True)})
            return _tensors(walk.run(given))

        names = _identifiers([each.name for each in asked])
        kind = inspect.Parameter.POSITIONAL_ONLY
        signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
        # The names that the text gets; what inspect reads here, type checkers do not know.
        network.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
        return compile(network, *specs, target=self._target, options=self._options)

    @property
    def weights(self) -> dict[str, Known]:
        """The arrays that training changes, by name: floats with axes that the file holds."""
        return {each.name: known_of(each, self._files) for each in trained(self._model)}

    def apply(
        self,
        *inputs: Operand,
        weights: Mapping[str, Operand] | None = None,
        training: bool = False,
    ) -> dict[str, Tensor]:
        """The model as a part of a graph, such as a traced function.

        Args:
            *inputs: The inputs in the order of the file.
            weights: What takes the place of arrays of the file, by their names.
            training: Whether batch norms take the statistics of the batch. Then the new moving
                statistics are among the results, under the names that the old ones have.

        Returns:
            The outputs by name.

        Raises:
            UserError: an argument does not fit, or a node cannot be translated.
        """
        if len(inputs) != len(self._inputs):
            raise self._miscounted(len(inputs))
        given = {
            each.name: tilec.tensor(one) for each, one in zip(self._inputs, inputs, strict=True)
        }
        for each in self._inputs:
            _check_type(each, given[each.name].spec)
        known = {each.name: each for each in self._model.graph.initializer}
        for name, one in (weights or {}).items():
            if name not in known:
                raise ArgumentError(f"the model holds no array {name!r}")
            given[name] = tilec.tensor(one)
            held = known[name]
            _check_type(Input(name, tile_type(held.data_type), (*held.dims,)), given[name].spec)
        used = in_training(self._model) if training else Training(self._model, {})
        walk = Walk(used.model, self._files, self._operators, self._constants)
        found = _tensors(walk.run(_entries(given)))
        moved = {name: found.pop(output) for name, output in used.moved.items()}
        return {**found, **moved}

    def _given(
        self, arrays: Sequence[ArrayLike], named: Mapping[str, ArrayLike]
    ) -> dict[str, Array]:
        names = [each.name for each in self._inputs]
        for name in named:
            if name not in names:
                raise ArgumentError(
                    f"the model has no input {name!r}", help=f"the inputs are {', '.join(names)}"
                )
        found: dict[str, ArrayLike] = dict(zip(names, arrays, strict=False))
        twice = [name for name in named if name in found]
        if len(arrays) > len(names) or twice or len(found) + len(named) < len(names):
            raise self._miscounted(len(arrays) + len(named))
        found.update(named)
        checked = {each.name: _checked(each, found[each.name]) for each in self._inputs}
        _check_names(self._inputs, {name: each.shape for name, each in checked.items()})
        return checked

    def _miscounted(self, count: int) -> ArgumentError:
        return ArgumentError(
            f"the model takes {len(self._inputs)} inputs, but {count} were given",
            help=f"the inputs are {', '.join(map(str, self._inputs))}",
        )

    def _specialise(self, needed: NeedsValueError, given: Mapping[str, Array]) -> None:
        """Take inputs as known from now on."""
        for name in sorted(needed.inputs):
            array = given[name]
            if name in self._specialised or not _may_be_known(array):
                raise ShapeError(
                    f"{needed.message}, but the elements of the input {name} decide about it",
                    help=needed.help,
                )
        self._specialised |= needed.inputs


def _entries(tensors: Mapping[str, Tensor]) -> dict[str, Entry]:
    return {name: Entry(each, frozenset([name])) for name, each in tensors.items()}


def _tensors(entries: Mapping[str, Entry]) -> dict[str, Tensor]:
    return {name: each.tensor() for name, each in entries.items()}


def _may_be_known(array: Array) -> bool:
    return array.size <= (_MOST_KNOWN if array.dtype.kind in "biu" else _MOST_KNOWN_FLOATS)


def load(
    source: Source,
    *,
    shapes: Shapes | None = None,
    operators: Operators | None = None,
    target: str | None = None,
    options: Options | None = None,
) -> Executable | Model:
    """Compile an ONNX model.

    Args:
        source: A path, the bytes of a file, or a ``ModelProto``.
        shapes: Sizes of inputs, by name, where the file leaves them open.
        operators: What to do for operators that tilec lacks, by name: a Tile function of the
            node's inputs and then its numeric attributes, or a Python function of a ``Node``.
        target: What to compile for.
        options: The options; by default those of the environment.

    Returns:
        The program, if all sizes are known; otherwise a ``Model``, which compiles for the sizes
        that it is called with.

    Raises:
        UserError: the file is not valid, or holds what tilec lacks.
    """
    model = read(source, operators=operators, target=target, options=options)
    wanted = {each.name: each.dims for each in model.inputs}
    for name in shapes or {}:
        if name not in wanted:
            raise ArgumentError(
                f"the model has no input {name!r}", help=f"the inputs are {', '.join(wanted)}"
            )
    known = {**(model.shapes or {}), **(shapes or {})}
    if len(known) < len(model.inputs):
        return model
    try:
        return model.compile(known)
    except NeedsValueError:
        return model


def read(
    source: Source,
    *,
    operators: Operators | None = None,
    target: str | None = None,
    options: Options | None = None,
) -> Model:
    """Read and check an ONNX model without compiling it; see ``load``."""
    model, files = read_model(source)
    return Model(model, files, operators or {}, target, options)


def _input(info: ValueInfoProto) -> Input:
    if not info.type.HasField("tensor_type"):
        raise TileTypeError(f"the input {info.name} of the model is no tensor")
    kind = info.type.tensor_type
    if not kind.HasField("shape"):
        return Input(info.name, tile_type(kind.elem_type), None)
    dims = tuple(
        each.dim_value
        if each.HasField("dim_value") and each.dim_value >= 0
        else (each.dim_param or None)
        for each in kind.shape.dim
    )
    return Input(info.name, tile_type(kind.elem_type), dims)


def _sizes(given: Input, shapes: Shapes) -> Sequence[int]:
    sizes = shapes.get(given.name)
    if sizes is None:
        if given.dims is None or not all(isinstance(each, int) for each in given.dims):
            raise ArgumentError(
                f"the sizes of the input {given} are not known",
                help=f'give them: shapes={{"{given.name}": (...)}}',
            )
        return cast("tuple[int, ...]", given.dims)
    _check_sizes(given, sizes)
    return sizes


def _check_sizes(given: Input, sizes: Sequence[int]) -> None:
    if given.dims is None:
        return
    fits = len(sizes) == len(given.dims) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(given.dims, sizes, strict=True)
    )
    if not fits:
        raise ShapeError(f"the input {given} was given the sizes {list(sizes)}")


def _check_names(inputs: Sequence[Input], shapes: Shapes) -> None:
    """Sizes of one name are equal."""
    found: dict[str, tuple[int, str]] = {}
    for each in inputs:
        for dim, size in zip(each.dims or (), shapes.get(each.name, ()), strict=False):
            if isinstance(dim, str):
                first, where = found.setdefault(dim, (size, each.name))
                if first != size:
                    raise ShapeError(
                        f"the size {dim} is {size} for the input {each.name}, but {first} for "
                        f"{where}"
                    )


def _checked(given: Input, value: ArrayLike) -> Array:
    array = np.asarray(value, order="C")
    if isinstance(value, int | float | list | tuple):
        array = array.astype(numpy_type(given.dtype))
    _check_type(given, Spec(array.shape, array.dtype.name))
    return array


def _check_type(given: Input, found: Spec) -> None:
    if found.dtype.name != given.dtype:
        raise TileTypeError(f"the input {given} was given {found.dtype.name}")
    _check_sizes(given, found.shape)


def _identifiers(names: Sequence[str]) -> list[str]:
    """Names for parameters that are like these."""
    found: list[str] = []
    for name in names:
        wanted = "".join(each if each.isalnum() and each.isascii() else "_" for each in name)
        wanted = wanted if wanted.isidentifier() else f"x_{wanted}"
        while wanted in found:
            wanted += "_"
        found.append(wanted)
    return found
