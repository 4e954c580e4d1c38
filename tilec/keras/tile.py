"""``op`` and ``TileLayer``: Tile functions as operations and layers of Keras, with gradients.

On Keras's own backends torch and jax they go through ``tilec.interop``; on tilec they become a part
of the program of a step. Equal extremes share the gradient on all of them, as everywhere in Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import tilec
from tilec.errors import ArgumentError
from tilec.interop.library import numpy_name, tensors
from tilec.keras.versions import BACKEND

keras: Final[Any] = import_module("keras")

if TYPE_CHECKING:

    class Operation:
        """``keras.Operation``."""

        name: str

        def __init__(self, **options: object) -> None: ...

        def __call__(self, *operands: object) -> Any:
            """The results, or a node of a symbolic graph."""
            ...

    class Layer(Operation):
        """``keras.Layer``."""

        compute_dtype: str

        def add_weight(self, **options: object) -> Any:
            """A variable of the layer."""
            ...

        def get_config(self) -> dict[str, Any]:
            """What makes an equal layer."""
            ...

else:
    Operation, Layer = keras.Operation, keras.Layer

_OPEN_SIZES: Final = (83, 89)
"""What stands for open sizes: those of a result that differ between the two are open as well."""


def op(function: str | PathLike[str] | tilec.Function, *, name: str | None = None) -> TileOperation:
    """A Tile function as an operation of Keras.

    Args:
        function: What ``tilec.function`` makes, or takes.
        name: What Keras calls the operation; by default the name of the function.

    Returns:
        A function of tensors of Keras, symbolic ones included, and of numbers. It returns a
        tensor, or a tuple of tensors. Keras differentiates it, by the derived gradient or by that
        of ``Function.with_grad``.

    Raises:
        UserError: the function is wrong.
        ArgumentError: Keras runs on a backend that calls no Tile functions.
    """
    f = function if isinstance(function, tilec.Function) else tilec.function(function)
    return TileOperation(f, _caller(f), name or f.name)


def _caller(f: tilec.Function) -> Callable[..., Any]:
    """The function for the tensors of the backend."""
    backend = keras.config.backend()
    if backend == BACKEND:
        apply = import_module("keras_tilec.src.tile").apply
        return lambda *operands: apply(f, *operands)
    if backend in ("torch", "jax"):
        return import_module(f"tilec.interop.{backend}").wrap(f, ties="share")
    raise ArgumentError(
        f"Tile functions are no operations of Keras on {backend}",
        help=f"KERAS_BACKEND may be {BACKEND}, torch or jax",
    )


class TileOperation(Operation):
    """A Tile function as an operation of Keras. Made by ``op``."""

    def __init__(self, f: tilec.Function, call: Callable[..., Any], name: str | None) -> None:
        super().__init__(name=name)
        self.function = f
        self._call = call

    def call(self, *operands: object) -> Any:
        """The results for tensors that have elements."""
        wanted = [each.name for each in self.function.inputs]
        if len(operands) != len(wanted):
            raise ArgumentError(
                f"{self.name} takes {len(wanted)} operands and was given {len(operands)}",
                help=f"they are {', '.join(wanted)}",
            )
        return self._call(*(_operand(each) for each in operands))

    def compute_output_spec(self, *operands: object) -> Any:
        """The symbolic results for symbolic tensors."""
        shapes = [getattr(each, "shape", ()) for each in operands]
        is_open = any(size is None for shape in shapes for size in shape)
        tried = [self._placeholders(operands, size) for size in _OPEN_SIZES[: 2 if is_open else 1]]
        met = [_met(each) for each in zip(*tried, strict=True)]
        return met[0] if len(met) == 1 else tuple(met)

    def _placeholders(self, operands: Sequence[object], size: int) -> Sequence[tilec.Tensor]:
        given = [
            _placeholder(each, parameter.name, size)
            for parameter, each in zip(self.function.inputs, operands, strict=True)
        ]
        return tensors(tilec.apply(self.function, *given))


def _operand(value: object) -> object:
    is_number = isinstance(value, bool | int | float)
    return value if is_number else keras.ops.convert_to_tensor(value)


def _placeholder(operand: Any, name: str, size: int) -> Any:
    if isinstance(operand, bool | int | float):
        return operand
    shape = [size if each is None else each for each in operand.shape]
    dtype = keras.backend.standardize_dtype(operand.dtype)
    return tilec.placeholder(tilec.Spec(shape, dtype), name)


def _met(found: Sequence[tilec.Tensor]) -> Any:
    """A symbolic tensor: sizes that differ between results are open."""
    shapes = zip(*(each.shape for each in found), strict=True)
    shape = [sizes[0] if len({*sizes}) == 1 else None for sizes in shapes]
    return keras.KerasTensor(shape, dtype=numpy_name(found[0].dtype))


@keras.saving.register_keras_serializable(package="tilec")
class TileLayer(Layer):
    """A Tile function as a layer of Keras, some of whose inputs are weights.

    The header of the function says the shapes of the weights: their sizes are literal, or those of
    the data, or given in ``sizes``.

    Args:
        function: The text; one output or several.
        weights: The inputs that are weights, and how they are initialised: what Keras takes for an
            initializer.
        sizes: Sizes of weights that the data do not have, by the names of the header.
        **options: What ``keras.Layer`` takes.

    Raises:
        UserError: the text is wrong.
        ArgumentError: a weight is no input, or its shape is not known.

    Example:
        TileLayer(
            "function (X[N, K], W[K, M]) -> (Y) { Y[n, m : N, M] = +(abs(X[n, k] - W[k, m])); }",
            weights={"W": "glorot_uniform"},
            sizes={"M": 10},
        )
    """

    def __init__(
        self,
        function: str,
        weights: Mapping[str, object] | None = None,
        sizes: Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._text = function
        self._operation = op(function, name=f"{self.name}_function")
        self._sizes = dict(sizes or {})
        self._initializers = {
            name: keras.initializers.get(each) for name, each in (weights or {}).items()
        }
        self._tile_weights: dict[str, Any] = {}
        inputs = {each.name: each for each in self._operation.function.inputs}
        for name in self._initializers:
            if name not in inputs:
                raise ArgumentError(
                    f"the weight {name!r} is no input of the function of {self.name}",
                    help=f"the inputs are {', '.join(inputs)}",
                )
            if inputs[name].dims is None:
                raise ArgumentError(
                    f"the shape of the weight {name!r} is not known",
                    help=f"give its sizes in the header: {name}[K, M]",
                )
        self._data = [each for name, each in inputs.items() if name not in self._initializers]

    def build(self, shapes: Any) -> None:
        """Make the weights for the shapes of the data."""
        sizes = dict(self._sizes)
        for parameter, shape in zip(self._data, self._each_one(shapes, _is_shape), strict=True):
            if parameter.dims is not None and len(parameter.dims) != len(shape):
                raise ArgumentError(
                    f"{self.name} takes {parameter} and was given the shape {tuple(shape)}"
                )
            for dim, size in zip(parameter.dims or (), shape, strict=False):
                if isinstance(dim, str) and size is not None:
                    sizes.setdefault(dim, size)
        for parameter in self._operation.function.inputs:
            if parameter.name in self._initializers:
                self._tile_weights[parameter.name] = self.add_weight(
                    name=parameter.name,
                    shape=[self._size(parameter, dim, sizes) for dim in parameter.dims or ()],
                    initializer=self._initializers[parameter.name],
                )

    def _size(self, parameter: Any, dim: str | int, sizes: Mapping[str, int]) -> int:
        if isinstance(dim, int):
            return dim
        if dim in sizes:
            return sizes[dim]
        raise ArgumentError(
            f"the size {dim} of the weight {parameter} of {self.name} is not known",
            help=f"give it: sizes={{{dim!r}: ...}}",
        )

    def _each_one(self, inputs: Any, is_one: Callable[[Any], bool]) -> Sequence[Any]:
        found: Sequence[Any] = [inputs] if is_one(inputs) else [*inputs]
        if len(found) != len(self._data):
            raise ArgumentError(
                f"{self.name} takes {len(self._data)} inputs and was given {len(found)}",
                help=f"they are {', '.join(each.name for each in self._data)}",
            )
        return found

    def _operands(self, inputs: Any) -> list[Any]:
        data = iter(self._each_one(inputs, _is_tensor))
        return [
            self._tile_weights[each.name] if each.name in self._tile_weights else next(data)
            for each in self._operation.function.inputs
        ]

    def call(self, inputs: Any) -> Any:
        """The results for a tensor, or for several in a list."""
        return self._operation.call(*self._operands(inputs))

    def compute_output_spec(self, inputs: Any) -> Any:
        """The symbolic results for symbolic inputs."""
        operands = [
            keras.KerasTensor(each.shape, dtype=self.compute_dtype)
            if isinstance(each, keras.Variable)
            else each
            for each in self._operands(inputs)
        ]
        return self._operation.compute_output_spec(*operands)

    def get_config(self) -> dict[str, Any]:
        """What makes an equal layer."""
        weights = {
            name: keras.initializers.serialize(each) for name, each in self._initializers.items()
        }
        own = {"function": self._text, "weights": weights, "sizes": self._sizes}
        return {**super().get_config(), **own}


def _is_tensor(inputs: object) -> bool:
    return not isinstance(inputs, list | tuple)


def _is_shape(shapes: Sequence[object]) -> bool:
    return all(each is None or isinstance(each, int) for each in shapes)
