"""How operations are written: what comes in becomes operands of ``tilec.ops``, and back.

Keras decides dtypes (``result_type``: an int tensor and a float one meet in the float's type, and
Python's numbers take the type of the tensor beside them); ``tilec.ops`` computes. Every operation
of Keras is a function of its own name, of these four kinds.

Elementwise: operands are promoted to one dtype, then an operation of ``tilec.ops`` is called.

    def add(x1: object, x2: object) -> Tensor:
        return wrap(ops.add(*promote(x1, x2)))

    def exp(x: object) -> Tensor:  # integers become floats first
        return wrap(ops.exp(as_float(x)))

Reduction: one tensor; the result's dtype is decided before or after.

    def max(x: object, axis: Axis = None, keepdims: bool = False, initial: object = None) -> Tensor:
        found = node(x)
        return wrap(ops.max(found, axis, keepdims))

Contraction: operands are promoted, the result has the dtype in which they meet.

    def matmul(x1: object, x2: object) -> Tensor:
        a, b = promote(x1, x2)
        return wrap(ops.matmul(a, b))

On the host: what NumPy does and no Tile program can, such as results whose shapes depend on
elements. A traced call raises an error that names the function and says what to do.

    def unique(x: object, ...) -> Tensor:
        (array,) = on_host("unique", x)
        return convert(np.unique(array))

What is missing in ``tilec.ops`` is added there, in Tile. ``node`` gives the ``tilec.Tensor`` of
anything; ``wrap`` takes one and computes it at once, unless a program is being traced; use
``wrap_all`` for several results of one computation. No operation looks at ``is_tracing`` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, TypeAlias, cast

import ml_dtypes
import numpy as np

import tilec
from keras_tilec.src.dtypes import (
    float_of,
    is_float,
    keras_name,
    numpy_dtype,
    promoted,
    tile_name,
)
from keras_tilec.src.host import KerasVariable, tree
from keras_tilec.src.tensor import Array, Tensor, is_tracing
from tilec import ops
from tilec.options import read_environment

Axis: TypeAlias = "int | Sequence[int] | None"
Operand: TypeAlias = "tilec.Tensor | bool | int | float"

_SMALL: Final = 1024
"""Elements of all arrays of an operation, up to which it is evaluated and not compiled."""


@cache
def _reference_up_to() -> int:
    return _SMALL if read_environment().keras_eager == "evaluate" else 0


def wrap(found: tilec.Tensor) -> Tensor:
    """The result of an operation; computed now, unless a program is being traced."""
    if not found.is_known and not is_tracing():
        tilec.evaluate(found, reference_up_to=_reference_up_to())
    return Tensor(found)


def wrap_all(found: Iterable[tilec.Tensor]) -> list[Tensor]:
    """The same for several results, in one program."""
    results = list(found)
    if not is_tracing():
        tilec.evaluate(*results, reference_up_to=_reference_up_to())
    return [Tensor(each) for each in results]


def convert(x: object, dtype: object = None) -> Tensor:
    """``keras.ops.convert_to_tensor``: a tensor of anything that has elements.

    Args:
        x: A tensor, a variable, an array, a number, or nested lists of these.
        dtype: What it shall have; by default that of the elements, in at most 32 bits unless it
            is a tensor.
    """
    wanted = None if dtype is None else tile_name(dtype)
    if isinstance(x, KerasVariable):
        x = x.value
    if isinstance(x, tilec.Tensor):
        x = Tensor(x)
    if isinstance(x, Tensor):
        if wanted is None or x.node.dtype.name == wanted:
            return x
        return wrap(ops.cast(x.node, wanted))
    if isinstance(x, list | tuple) and _has_tensors(cast("Sequence[object]", x)):
        return _stacked(cast("Sequence[object]", x), wanted)
    return Tensor(_given(cast("object", x), wanted))


def _given(x: object, wanted: str | None) -> tilec.Tensor:
    if isinstance(x, bool | int | float):
        return _number(x, wanted or tile_name(promoted(type(x))))
    if wanted is None:
        leaves = tree.flatten(cast("object", x)) if isinstance(x, list | tuple) else [x]
        wanted = tile_name(promoted(*map(_own_dtype, leaves)))
    kind = numpy_dtype(wanted)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite
        array = np.array(x) if kind == ml_dtypes.bfloat16 else np.array(x, dtype=kind)
        return tilec.tensor(array.astype(kind, copy=False))


def _own_dtype(leaf: object) -> object:
    return getattr(leaf, "dtype", cast("object", type(leaf)))


@cache
def _number_of(kind: type, x: float, text: str, tile: str) -> tilec.Tensor:
    # The same tensor each time: a program takes an array once, and finds equal calls by it.
    with np.errstate(over="ignore", invalid="ignore"):
        return tilec.tensor(np.asarray(x).astype(numpy_dtype(tile)))


def _number(x: bool | float, tile: str) -> tilec.Tensor:
    return _number_of(type(x), x, repr(x), tile)


def _has_tensors(x: Sequence[object]) -> bool:
    return any(isinstance(each, Tensor | KerasVariable) for each in tree.flatten(x))


def _stacked(x: Sequence[object], wanted: str | None) -> Tensor:
    """Nested lists in which tensors stand."""
    kind = wanted or tile_name(promoted(*map(dtype_of, tree.flatten(x))))
    parts = [convert(each, keras_name(kind)) for each in x]
    if all(each.node.is_known for each in parts):
        return Tensor(_given([np.asarray(each) for each in parts], kind))
    return wrap(ops.stack([each.node for each in parts], 0))


def node(x: object, dtype: object = None) -> tilec.Tensor:
    """The ``tilec.Tensor`` of anything, of a dtype if one is given."""
    return convert(x, dtype).node


def dtype_of(x: object) -> object:
    """What ``promoted`` takes for an operand: its dtype's name, or the type of a Python number."""
    if isinstance(x, bool | int | float):
        return type(x)
    if isinstance(x, Tensor):
        return keras_name(x.node.dtype.name)
    if isinstance(x, KerasVariable):
        return x.dtype
    return keras_name(node(x).dtype.name)


def promote(*xs: object, to: str | None = None, like: Sequence[object] = ()) -> list[tilec.Tensor]:
    """Operands in the dtype in which they meet.

    Args:
        *xs: Tensors, numbers, or what ``convert`` takes.
        to: A Keras name of another dtype that they shall have.
        like: Further dtypes that count, such as ``float`` where the result is one.
    """
    found = [x if isinstance(x, bool | int | float | Tensor) else convert(x) for x in xs]
    wanted = to or promoted(*map(dtype_of, found), *like)
    return [node(each, wanted) for each in found]


def as_float(x: object) -> tilec.Tensor:
    """An operand as a float: what is one already stays what it is."""
    found = x if isinstance(x, Tensor) else convert(x)
    name = keras_name(found.node.dtype.name)
    return found.node if is_float(name) else node(found, float_of(name))


def on_host(
    function: str, *xs: object, instead: str = "call it on arrays that are known"
) -> list[Array]:
    """The elements of operands, for an operation that NumPy does.

    Raises:
        NotImplementedError: one is not known while a program is traced.
    """
    found = [convert(x) for x in xs]
    if any(each.node.is_abstract for each in found):
        raise NotImplementedError(
            f"keras.ops.{function} runs on the host and cannot be part of a compiled step; "
            f"{instead}, or compile the model with run_eagerly=True"
        )
    return [np.asarray(each) for each in found]


def without_gradient(function: str, found: Tensor, *xs: object) -> Tensor:
    """What NumPy made of operands: a gradient that would go through it is refused."""
    by = [convert(x).node for x in xs]
    if not is_tracing() or not found.node.dtype.is_float:
        return found

    def refuse(_: tilec.Tensor) -> list[tilec.Tensor | None]:
        raise NotImplementedError(
            f"keras.ops.{function} runs on the host and has no gradient; "
            "keras.ops.stop_gradient of its result leaves it out"
        )

    (ruled,) = tilec.with_pullback([found.node], by, refuse)
    return Tensor(ruled)
