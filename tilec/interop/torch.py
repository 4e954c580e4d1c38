"""Tile functions as differentiable operations of PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np

import tilec
from tilec.interop.library import library


def wrap(f: tilec.Function, *, ties: tilec.TieRule = "all") -> Callable[..., Any]:
    """A function of tensors, which autograd differentiates by the derived gradient.

    Tensors on the CPU are passed without copies, whatever their strides. The gradient can be
    differentiated again. Only what autograd asks for is computed.

    Args:
        f: The function.
        ties: As for ``tilec.grad``.

    Returns:
        A function of the inputs of ``f``: tensors, and numbers where ``f`` takes numbers. It
        returns a tensor, or a tuple of tensors.

    Raises:
        ArgumentError: PyTorch is not installed.
    """
    torch = library("torch", "PyTorch")

    @cache
    def gradient(names: tuple[str, ...]) -> Callable[..., Any]:
        return wrap(tilec.grad(f, names, ties=ties), ties=ties)

    class Operation(torch.autograd.Function):
        """One call of the function."""

        @staticmethod
        def forward(ctx: Any, *values: Any) -> Any:
            first, *others = _tensors(torch, f(*(_array(torch, value) for value in values)))
            results = (first, *others)
            ctx.values = [None if torch.is_tensor(value) else value for value in values]
            ctx.save_for_backward(*(value for value in values if torch.is_tensor(value)))
            fixed = [tensor for tensor in results if not tensor.is_floating_point()]
            ctx.mark_non_differentiable(*fixed)
            ctx.floats = [tensor.is_floating_point() for tensor in results]
            return results if others else first

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            saved = iter(ctx.saved_tensors)
            values = [next(saved) if value is None else value for value in ctx.values]
            names = tuple(
                each.name
                for each, is_needed in zip(f.inputs, ctx.needs_input_grad, strict=True)
                if is_needed
            )
            given = [c for c, is_float in zip(cotangents, ctx.floats, strict=True) if is_float]
            found: Any = gradient(names)(*values, *given)
            several = isinstance(found, tuple)
            parts = iter(cast("tuple[Any, ...]", found) if several else (found,))
            return tuple(
                next(parts).to(value.dtype) if is_needed else None
                for value, is_needed in zip(values, ctx.needs_input_grad, strict=True)
            )

    operation: Any = Operation  # its base class is known only where PyTorch is
    return cast("Callable[..., Any]", operation.apply)


def _array(torch: Any, value: Any) -> Any:
    """A tensor as something that a function takes; NumPy knows no bf16, which goes as bits."""
    if not torch.is_tensor(value):
        return value
    tensor = value.detach()
    if tensor.dtype != torch.bfloat16:
        return tensor
    ml_dtypes = importlib.import_module("ml_dtypes")
    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def _tensors(torch: Any, found: Any) -> tuple[Any, ...]:
    arrays = cast("tuple[Any, ...]", found) if isinstance(found, tuple) else (found,)
    return tuple(_tensor(torch, np.asarray(array)) for array in arrays)


def _tensor(torch: Any, array: Any) -> Any:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
