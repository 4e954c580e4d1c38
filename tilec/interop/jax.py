"""Tile functions as differentiable operations of JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

import tilec
from tilec.interop.library import library, numpy_name, tensors


def wrap(f: tilec.Function, *, ties: tilec.TieRule = "all") -> Callable[..., Any]:
    """A function of JAX arrays, which ``jax.grad`` differentiates by the derived gradient.

    Outside of transformations arrays are passed through DLPack without copies. Inside ``jax.jit``
    and ``jax.vmap`` the function is called back from the compiled program.

    Args:
        f: The function.
        ties: As for ``tilec.grad``.

    Returns:
        A function of the inputs of ``f``, which returns an array or a tuple of arrays.

    Raises:
        ArgumentError: JAX is not installed.
    """
    jax = library("jax", "JAX")
    derived: list[tilec.Function] = []

    def gradient() -> tilec.Function:
        if not derived:
            derived.append(tilec.grad(f, ties=ties))
        return derived[0]

    def call(*values: Any) -> Any:
        first, *others = _run(jax, f, values)
        return (first, *others) if others else first

    def forward(*values: Any) -> Any:
        return call(*values), values

    def backward(values: Any, cotangents: Any) -> Any:
        several = isinstance(cotangents, tuple)
        given = cast("tuple[Any, ...]", cotangents) if several else (cotangents,)
        floats = [each for each in given if _is_float(jax, each)]
        g = gradient()
        found = iter(_run(jax, g, (*values, *floats)))
        wanted = {name[1:] for name in g.outputs}
        return tuple(
            next(found).astype(jax.numpy.asarray(value).dtype)
            if each.name in wanted and _is_float(jax, value)
            else np.zeros(np.shape(value), jax.dtypes.float0)
            for each, value in zip(f.inputs, values, strict=True)
        )

    operation = jax.custom_vjp(call)
    operation.defvjp(forward, backward)
    return cast("Callable[..., Any]", operation)


def _is_float(jax: Any, value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return isinstance(value, float)
    return dtype != jax.dtypes.float0 and bool(jax.numpy.issubdtype(dtype, jax.numpy.floating))


def _run(jax: Any, f: tilec.Function, values: Sequence[Any]) -> tuple[Any, ...]:
    if any(isinstance(value, jax.core.Tracer) for value in values):
        return _called_back(jax, f, values)
    return tuple(_array(jax, array) for array in _several(f(*values)))


def _called_back(jax: Any, f: tilec.Function, values: Sequence[Any]) -> tuple[Any, ...]:
    given = [_placeholder(value) for value in values]
    # Types alone: nothing is compiled for sizes that jax only asks about.
    shapes = tuple(
        jax.ShapeDtypeStruct(each.shape, numpy_name(each.dtype))
        for each in tensors(tilec.apply(f, *given))
    )

    def host(*arrays: Any) -> Any:
        return tuple(_several(f(*(np.asarray(array) for array in arrays))))

    return tuple(jax.pure_callback(host, shapes, *values, vmap_method="sequential"))


def _placeholder(value: Any) -> tilec.Tensor:
    shape: tuple[int, ...] = value.shape
    return tilec.placeholder(tilec.Spec(shape, str(value.dtype)))


def _array(jax: Any, array: Any) -> Any:
    try:
        return jax.dlpack.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError):  # bf16, which NumPy cannot export
        return jax.numpy.asarray(array)


def _several(found: Any) -> list[Any]:
    arrays = cast("tuple[Any, ...]", found) if isinstance(found, tuple) else (found,)
    return [np.asarray(array) for array in arrays]
