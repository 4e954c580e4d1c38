"""Tensors in and out: conversion, shapes, and what results would look like."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, cast

import numpy as np

import tilec
from keras_tilec.src.convert import convert
from keras_tilec.src.dtypes import keras_name, tile_name
from keras_tilec.src.host import (
    SymbolicTensor,
    is_symbolic,
    stateless_scope,
    symbolic_scope,
    symbolic_tensor,
    tree,
)
from keras_tilec.src.tensor import Array, Tensor, tracing

SUPPORTS_SPARSE_TENSORS: Final = False
SUPPORTS_RAGGED_TENSORS: Final = False
SUPPORTS_COMPLEX_DTYPES: Final = False
SUPPORTS_GRADIENT: Final = True
IS_THREAD_SAFE: Final = False
"""Where this is True, Keras makes threads for the callbacks of each ``fit`` and ``predict``. That
takes a millisecond, and the step and they wait for each other's use of the interpreter.
"""

_OPEN_SIZES: Final = (83, 89)
"""What open sizes are taken for in turn: what differs between the results is open, too."""


def convert_to_tensor(
    x: object, dtype: object = None, sparse: bool | None = None, ragged: bool | None = None
) -> Tensor:
    if sparse:
        raise ValueError("`sparse=True` is not supported with the tilec backend")
    if ragged:
        raise ValueError("`ragged=True` is not supported with the tilec backend")
    return convert(x, dtype)


def convert_to_numpy(x: object) -> Array:
    if isinstance(x, Tensor):
        return x.numpy()
    if isinstance(x, list | tuple):
        return np.array([convert_to_numpy(each) for each in cast("list[object]", x)])
    return np.array(x)


def is_tensor(x: object) -> bool:
    return isinstance(x, Tensor)


def cast_(x: object, dtype: object) -> Tensor:
    return convert(x, dtype)


def shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape)


def random_seed_dtype() -> str:
    return "uint32"


@contextmanager
def device_scope(device_name: object) -> Generator[None]:
    """Accepts the names of Keras; ``TILEC_TARGET`` chooses what programs run on."""
    if not isinstance(device_name, str):
        raise ValueError(
            "Invalid value for argument `device_name`. Expected a string like 'gpu:0' or 'cpu'. "
            f"Received: device_name='{device_name}'"
        )
    yield


def compute_output_spec(fn: Callable[..., object], *args: object, **kwargs: object) -> Any:
    """Shapes and dtypes of what a function returns; nothing is computed."""
    sizes = [each for leaf in tree.flatten((args, kwargs)) for each in _shape_of(leaf)]
    with stateless_scope(), symbolic_scope(), tracing():
        outputs = [
            fn(*cast("tuple[object, ...]", filled[0]), **cast("dict[str, object]", filled[1]))
            for filled in (
                tree.map_structure(_filler(size), (args, kwargs))
                for size in _OPEN_SIZES[: 2 if None in sizes else 1]
            )
        ]
    specs = [tree.map_structure(_symbolic, each) for each in outputs]
    return specs[0] if len(specs) == 1 else _common(*specs)


def _shape_of(leaf: object) -> tuple[int | None, ...]:
    return leaf.shape if is_symbolic(leaf) else ()


def _filler(size: int) -> Callable[[object], object]:
    def fill(leaf: object) -> object:
        if not is_symbolic(leaf):
            return leaf
        sizes = [size if each is None else each for each in leaf.shape]
        return Tensor(tilec.placeholder(tilec.Spec(sizes, tile_name(leaf.dtype))))

    return fill


def _symbolic(leaf: object) -> object:
    if not isinstance(leaf, Tensor):
        return leaf
    return symbolic_tensor(leaf.shape, keras_name(leaf.node.dtype.name))


def _common(first: object, second: object) -> object:
    """The structure of both: a size is open where they differ."""

    def met(one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        pairs = zip(one.shape, other.shape, strict=True)
        return symbolic_tensor((a if a == b else None for a, b in pairs), one.dtype)

    ones, others = tree.flatten(first), tree.flatten(second)
    leaves = [
        met(one, other) if is_symbolic(one) else one
        for one, other in zip(ones, others, strict=True)
    ]
    return tree.pack_sequence_as(first, leaves)
