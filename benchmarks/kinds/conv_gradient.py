"""Gradients of convolutions, by the data (``of`` is X) or by the weights (K), in NHWC.

Columns: of, n, h, w, ci, co, kh, kw, stride, pad (a number).

The program is what ``tilec.grad`` derives from the convolution. Nothing is known beforehand: in a
training step weights change from call to call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tilec
from benchmarks.case import Array, Case, Inputs, Row, RowError, Work
from benchmarks.window import label, padded, window


def case(row: Row) -> Case:
    of, n = row.text("of"), row.integer("n", 1)
    ci, co = row.integer("ci"), row.integer("co")
    rows = window(row, row.integer("h"), row.integer("kh"))
    columns = window(row, row.integer("w"), row.integer("kw"))
    if of not in ("X", "K"):
        raise RowError(f"of is {of!r}; it is X or K")
    if (rows.before, columns.before) != (rows.after, columns.after):
        raise RowError("the padding is uneven")
    taps = f"{'i' if rows.taps > 1 else '0'}, {'j' if columns.taps > 1 else '0'}"
    forward = (
        f"function (X[{n}, {rows.size}, {columns.size}, {ci}], "
        f"K[{rows.taps}, {columns.taps}, {ci}, {co}]) -> (R) {{\n"
        f"  R[n, y, x, f : {n}, {rows.out}, {columns.out}, {co}] = "
        f"+(X[n, {rows.index('y', 'i')}, {columns.index('x', 'j')}, c] * K[{taps}, c, f]);\n}}"
    )
    x_shape = (n, rows.size, columns.size, ci)
    k_shape = (rows.taps, columns.taps, ci, co)
    r_shape = (n, rows.out, columns.out, co)

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        last = torch.channels_last

        def tensor(array: Array, axes: tuple[int, ...]) -> Any:
            moved = torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))
            return moved.contiguous(memory_format=last)

        x, d = tensor(inputs["X"], (0, 3, 1, 2)), tensor(inputs["DR"], (0, 3, 1, 2))
        k = tensor(inputs["K"], (3, 2, 0, 1))
        steps, pads = [rows.stride, columns.stride], [rows.before, columns.before]
        mask = [of == "X", of == "K", False]

        def call() -> Any:
            found = torch.ops.aten.convolution_backward(
                d, x, k, None, steps, pads, [1, 1], False, [0, 0], 1, mask
            )
            return found[0] if of == "X" else found[1]

        def result() -> Array:
            axes = (0, 2, 3, 1) if of == "X" else (2, 3, 1, 0)
            return call().numpy().transpose(axes)

        return Work(call, result)

    def reference(inputs: Inputs) -> Array:
        wide = padded(inputs["X"].astype(np.float64), {1: rows, 2: columns})
        k, d = inputs["K"].astype(np.float64), inputs["DR"].astype(np.float64)
        by_data, by_weights = np.zeros_like(wide), np.zeros_like(k)
        for i in range(rows.taps):
            for j in range(columns.taps):
                part = (
                    slice(None),
                    slice(i, i + (rows.out - 1) * rows.stride + 1, rows.stride),
                    slice(j, j + (columns.out - 1) * columns.stride + 1, columns.stride),
                )
                by_data[part] += d @ k[i, j].T
                by_weights[i, j] = wide[part].reshape(-1, ci).T @ d.reshape(-1, co)
        if of == "K":
            return by_weights
        inner = slice(rows.before, rows.before + rows.size)
        return by_data[:, inner, columns.before : columns.before + columns.size]

    return Case(
        name=f"d{of} {label(row, f'{ci}>{co}', rows, columns)} n{n}",
        program=tilec.grad(tilec.function(forward), of).source,
        shapes={"X": x_shape, "K": k_shape, "DR": r_shape},
        output=x_shape if of == "X" else k_shape,
        flop=2 * n * rows.out * columns.out * co * ci * rows.taps * columns.taps,
        reference=reference,
        peers={"torch": with_torch},
    )
