"""Depthwise convolutions, one filter for each channel, NHWC, with bias and ReLU.

Columns: n, h, w, c, k, stride, pad (a number, or "same" as TensorFlow means it); bias and relu,
true by default. Weights are known beforehand. PyTorch cannot pad unevenly without a copy: where
"same" asks for that it gets an input that was padded beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, Shape, Work
from benchmarks.torch_parts import compiled_convolution, convolution
from benchmarks.window import convolve, label, padded, window


def case(row: Row) -> Case:
    n, c = row.integer("n", 1), row.integer("c")
    bias, relu = row.flag("bias", True), row.flag("relu", True)
    rows = window(row, row.integer("h"), row.integer("k"))
    columns = window(row, row.integer("w"), row.integer("k"))
    output = (n, rows.out, columns.out, c)
    read = f"X[n, {rows.index('y', 'i')}, {columns.index('x', 'j')}, c]"
    header = "X[N, H, W, C], K[I, J, C]"
    body = f"  S[n, y, x, c : N, {rows.out}, {columns.out}, C] = +({read} * K[i, j, c]);\n"
    shapes: dict[str, Shape] = {
        "X": (n, rows.size, columns.size, c),
        "K": (rows.taps, columns.taps, c),
    }
    value = result = "S"
    if bias:
        shapes["B"] = (c,)
        header, value = header + ", B[C]", "S + B"
    if bias or relu:
        body += f"  R = {f'relu({value})' if relu else value};\n"
        result = "R"

    def torch_tensors(torch: Any, inputs: Inputs) -> tuple[Any, Any, Any, tuple[int, int]]:
        x, pads = inputs["X"], (rows.before, columns.before)
        if pads != (rows.after, columns.after):
            x, pads = padded(x, {1: rows, 2: columns}), (0, 0)
        k = np.ascontiguousarray(inputs["K"].transpose(2, 0, 1)[:, None])
        return (
            torch.from_numpy(x).permute(0, 3, 1, 2),
            torch.from_numpy(k).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(inputs["B"]) if bias else None,
            pads,
        )

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        x, k, b, pads = torch_tensors(torch, inputs)
        call = convolution(torch, x, k, b, rows.stride, pads, c, relu)
        return Work(call, lambda: call().permute(0, 2, 3, 1).numpy())

    def with_torch_compile(torch: Any, inputs: Inputs) -> Work:
        x, k, b, pads = torch_tensors(torch, inputs)
        call = compiled_convolution(torch, x, k, b, rows.stride, pads, c, relu)
        return Work(call, lambda: call().permute(0, 2, 3, 1).numpy())

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        arrays = {name: jax.device_put(array) for name, array in inputs.items()}
        steps = (rows.stride, columns.stride)
        pads = ((rows.before, rows.after), (columns.before, columns.after))

        def layer(arrays: dict[str, Any]) -> Any:
            out = jax.lax.conv_general_dilated(
                arrays["X"], arrays["K"][:, :, None, :], steps, pads,
                dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=c,
            )  # fmt: skip
            if bias:
                out = out + arrays["B"]
            return jax.numpy.maximum(out, 0) if relu else out

        function = jax.jit(layer)
        return Work(
            lambda: function(arrays).block_until_ready(), lambda: np.asarray(function(arrays))
        )

    def reference(inputs: Inputs) -> Array:
        x, k = inputs["X"][..., None], inputs["K"][:, :, :, None, None]
        out = convolve(x, k, rows, columns)[..., 0]
        if bias:
            out = out + inputs["B"]
        return np.maximum(out, 0) if relu else out

    return Case(
        name=label(row, str(c), rows, columns),
        program=f"function ({header}) -> ({result}) {{\n{body}}}",
        shapes=shapes,
        output=output,
        constants=frozenset(shapes) - {"X"},
        flop=2 * n * rows.out * columns.out * c * rows.taps * columns.taps,
        reference=reference,
        peers={"torch": with_torch, "torch-compile": with_torch_compile, "jax": with_jax},
    )
