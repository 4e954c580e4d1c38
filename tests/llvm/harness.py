"""Runs hand-built kernel IR through a backend on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tilec.dtypes import BF16, BOOL, DType, Kind
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    Kernel,
    Load,
    Module,
    Stmt,
    Store,
    VType,
)
from tilec.kernel.verify import verify
from tilec.lower.narrow import Narrow
from tilec.options import Options
from tilec.runtime.backend import Runner, find_backend

Array = NDArray[Any]
OPTIONS = Options(debug=True)


class Current:
    """What the tests run on; ``conftest.py`` sets it."""

    target = "llvm"


_NAMES = {Kind.INT: "int", Kind.UINT: "uint", Kind.FLOAT: "float"}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    if dtype == BF16:
        return np.dtype(ml_dtypes.bfloat16)
    if dtype == BOOL:
        return np.dtype("bool")
    return np.dtype(f"{_NAMES[dtype.kind]}{dtype.bits}")


def module_of(
    body: Sequence[Stmt],
    inputs: Sequence[Buffer],
    outputs: Sequence[Buffer],
    locals_: Sequence[Buffer] = (),
) -> Module:
    """A module of one kernel that is called once."""
    params = (*inputs, *outputs)
    kernel = Kernel("kernel", ("test",), params, tuple(locals_), tuple(body))
    call = Call("kernel", tuple(buffer.name for buffer in params))
    return Module("module", tuple(inputs), tuple(outputs), (), (), 0, (kernel,), (call,))


def loaded(module: Module) -> Runner:
    """A module, verified, compiled and loaded."""
    verify(module)
    options = replace(OPTIONS, target=Current.target)
    backend = find_backend(options.target)
    widest = backend.core(options).widest_lanes
    if widest:
        kernels = tuple(Narrow(widest).apply(kernel) for kernel in module.kernels)
        module = replace(module, kernels=kernels)
        verify(module)
    code = backend.compile(module, options)
    return backend.load(code, module.name, module.workspace_bytes)


def run(module: Module, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    """Run a module on arrays that begin at their first element."""
    loaded(module).run([a.ctypes.data for a in inputs], [a.ctypes.data for a in outputs])


def input_buffer(name: str, dtype: DType, high: int, low: int = 0) -> Buffer:
    return Buffer(name, VType(dtype), high, low)


def output_buffer(name: str, dtype: DType, high: int) -> Buffer:
    return Buffer(name, VType(dtype), high, writable=True)


def typed(op: str, result: DType) -> Callable[..., Expr]:
    """``op`` on all arrays."""

    def make(*args: Expr) -> Expr:
        return Apply(op, args, VType(result, args[0].type.lanes))

    return make


def on_first(op: str, result: DType) -> Callable[..., Expr]:
    """``op`` on the first of several arrays."""

    def make(first: Expr, *_: Expr) -> Expr:
        return Apply(op, (first,), VType(result, first.type.lanes))

    return make


def with_constant(op: str, value: float) -> Callable[..., Expr]:
    """``op`` on an array and a constant."""

    def make(first: Expr) -> Expr:
        return Apply(op, (first, Const(value, first.type)), first.type)

    return make


def elementwise(
    exprs: Mapping[str, Callable[..., Expr]],
    arrays: Sequence[tuple[DType, Array]],
    lanes: int,
) -> dict[str, Array]:
    """Each expression over whole arrays of equal size, ``lanes`` elements at a time.

    The expressions take one ``Load`` per array. All are computed by one kernel.
    """
    size = arrays[0][1].size
    padded = -(-size // lanes) * lanes
    held = [np.zeros(padded, array.dtype) for _, array in arrays]
    for target, (_, array) in zip(held, arrays, strict=True):
        target[:size] = array
    index = build.var("i")
    inputs = [input_buffer(f"in{n}", dtype, padded) for n, (dtype, _) in enumerate(arrays)]
    loads = [Load(b.name, index, VType(b.type.dtype, lanes)) for b in inputs]
    values = {name: make(*loads) for name, make in exprs.items()}
    outputs = [output_buffer(f"out.{n}", v.type.dtype, padded) for n, v in values.items()]
    stores = [Store(b.name, index, v) for b, v in zip(outputs, values.values(), strict=True)]
    loop = For("i", build.const(0), build.const(padded), tuple(stores), step=lanes)
    results = {n: np.zeros(padded, numpy_dtype(v.type.dtype)) for n, v in values.items()}
    run(module_of([loop], inputs, outputs), held, list(results.values()))
    return {name: array[:size] for name, array in results.items()}


def same(got: Array, wanted: Array) -> bool:
    """Equal bit by bit, except that any NaN equals any other."""
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return False
    if got.dtype.kind in "biu":
        return bool(np.array_equal(got, wanted))
    bits = f"u{got.dtype.itemsize}"
    with np.errstate(invalid="ignore"):  # ml_dtypes warns of signalling NaNs
        both_nan = np.isnan(got) & np.isnan(wanted)
    return bool(np.all((got.view(bits) == wanted.view(bits)) | both_nan))
