"""Sums over some axes, permutations of axes, and concatenations: all of it is reading and writing.

Columns: op, ``sum``, ``permute`` or ``concat``; axes, those summed, their new order, or the one
along which two arrays are joined; shape, of each input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.case import Case, Row, RowError
from benchmarks.simple import Definition, make

_NAMES = "ijklmn"


def case(row: Row) -> Case:
    op, axes, shape = row.text("op"), row.integers("axes"), row.integers("shape")
    makers = {"sum": _sum, "permute": _permute, "concat": _concat}
    if op not in makers:
        raise RowError(f"there is no operation {op!r}; there are {', '.join(makers)}")
    sizes = "x".join(map(str, shape))
    return make(f"{op} {','.join(map(str, axes))} of {sizes}", makers[op](axes, shape))


def _indices(shape: tuple[int, ...]) -> tuple[list[str], list[str]]:
    names = list(_NAMES[: len(shape)])
    return names, [f"N{name}" for name in names]


def _sum(axes: tuple[int, ...], shape: tuple[int, ...]) -> Definition:
    names, sizes = _indices(shape)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    to = ", ".join(names[axis] for axis in kept)
    of = ", ".join(sizes[axis] for axis in kept)
    left = f"{to} : {of}" if kept else ""
    return Definition(
        f"function (X[{', '.join(sizes)}]) -> (Y) {{ Y[{left}] = +(X[{', '.join(names)}]); }}",
        {"X": shape},
        tuple(shape[axis] for axis in kept),
        math.prod(shape),
        lambda torch, of, out: torch.sum(of[0], axes, out=out),
        lambda jax, of: jax.numpy.sum(of[0], axis=axes),
        lambda of: np.sum(of[0], axis=axes),
    )


def _permute(axes: tuple[int, ...], shape: tuple[int, ...]) -> Definition:
    names, sizes = _indices(shape)
    to = ", ".join(names[axis] for axis in axes)
    of = ", ".join(sizes[axis] for axis in axes)
    return Definition(
        f"function (X[{', '.join(sizes)}]) -> (Y) {{ Y[{to} : {of}] = =(X[{', '.join(names)}]); }}",
        {"X": shape},
        tuple(shape[axis] for axis in axes),
        0,
        lambda torch, of, out: _copied(of[0].permute(axes), out),
        lambda jax, of: jax.numpy.transpose(of[0], axes) + jax.numpy.float32(0),
        lambda of: np.transpose(of[0], axes),
        turns=axes[-1] != len(axes) - 1,
    )


def _copied(x: Any, out: Any) -> Any:
    return x.contiguous() if out is None else out.copy_(x)


def _concat(axes: tuple[int, ...], shape: tuple[int, ...]) -> Definition:
    names, sizes = _indices(shape)
    (axis,) = axes
    joined = [f"2*{size}" if at == axis else size for at, size in enumerate(sizes)]
    second = [f"{name} + {sizes[axis]}" if at == axis else name for at, name in enumerate(names)]
    given, of, to = ", ".join(names), ", ".join(joined), ", ".join(second)
    own = ", ".join(sizes)
    return Definition(
        f"""function (A[{own}], B[{own}]) -> (Y) {{
  T[{given} : {of}] = =(A[{given}]);
  Y[{to} : {of}] = =(B[{given}]) default T;
}}""",
        {"A": shape, "B": shape},
        tuple(2 * size if at == axis else size for at, size in enumerate(shape)),
        0,
        lambda torch, of, out: torch.cat(tuple(of), axis, out=out),
        lambda jax, of: jax.numpy.concatenate(of, axis=axis),
        lambda of: np.concatenate(of, axis=axis),
    )
