"""A depthwise and a pointwise convolution, one after the other, each with bias and ReLU, NHWC.

Columns: n, h, w, c, k, stride, pad (a number, or "same" as TensorFlow means it) of the depthwise
one, and co, the channels that the pointwise one makes. Weights are known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, Shape, Work
from benchmarks.torch_parts import frozen, packed
from benchmarks.window import convolve, label, padded, window


def case(row: Row) -> Case:
    n, c, co = row.integer("n", 1), row.integer("c"), row.integer("co")
    rows = window(row, row.integer("h"), row.integer("k"))
    columns = window(row, row.integer("w"), row.integer("k"))
    pixels = n * rows.out * columns.out
    shapes: dict[str, Shape] = {
        "X": (n, rows.size, columns.size, c),
        "K": (rows.taps, columns.taps, c),
        "B": (c,),
        "M": (c, co),
        "D": (co,),
    }
    read = f"X[n, {rows.index('y', 'i')}, {columns.index('x', 'j')}, c]"
    program = f"""function (X[N, H, W, C], K[I, J, C], B[C], M[C, F], D[F]) -> (R) {{
  S[n, y, x, c : N, {rows.out}, {columns.out}, C] = +({read} * K[i, j, c]);
  P = relu(S + B);
  T[n, y, x, f : N, {rows.out}, {columns.out}, F] = +(P[n, y, x, c] * M[c, f]);
  R = relu(T + D);
}}"""

    def torch_tensors(torch: Any, inputs: Inputs) -> tuple[Any, dict[str, Any], tuple[int, int]]:
        """The data, the weights in PyTorch's order, and the padding that is left to PyTorch."""
        x, pads = inputs["X"], (rows.before, columns.before)
        if pads != (rows.after, columns.after):
            x, pads = padded(x, {1: rows, 2: columns}), (0, 0)
        arrays = {
            "K": inputs["K"].transpose(2, 0, 1)[:, None],
            "B": inputs["B"],
            "M": inputs["M"].T[:, :, None, None],
            "D": inputs["D"],
        }
        tensors = {name: torch.from_numpy(each.copy()) for name, each in arrays.items()}
        for name in ("K", "M"):
            tensors[name] = tensors[name].contiguous(memory_format=torch.channels_last)
        return torch.from_numpy(x).permute(0, 3, 1, 2), tensors, pads

    def last(call: Callable[[], Any]) -> Work:
        return Work(call, lambda: call().permute(0, 2, 3, 1).numpy())

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        x, own, pads = torch_tensors(torch, inputs)
        first = packed(torch, x.shape, own["K"], own["B"], rows.stride, pads, c, True)
        shape = (n, c, rows.out, columns.out)
        second = packed(torch, shape, own["M"], own["D"], 1, (0, 0), 1, True)
        return last(lambda: second(first(x)))

    def with_torch_compile(torch: Any, inputs: Inputs) -> Work:
        x, weights, pads = torch_tensors(torch, inputs)

        def layers(x: Any, own: dict[str, Any]) -> Any:
            out = torch.conv2d(x, own["K"], own["B"], rows.stride, pads, 1, c)
            return torch.relu(torch.conv2d(torch.relu(out), own["M"], own["D"]))

        call = frozen(torch, layers, weights)
        return last(lambda: call(x))

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        arrays = {name: jax.device_put(array) for name, array in inputs.items()}
        steps = (rows.stride, columns.stride)
        pads = ((rows.before, rows.after), (columns.before, columns.after))

        def layers(own: dict[str, Any]) -> Any:
            out = jax.lax.conv_general_dilated(
                own["X"], own["K"][:, :, None, :], steps, pads,
                dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=c,
            )  # fmt: skip
            out = jax.numpy.maximum(out + own["B"], 0)
            return jax.numpy.maximum(out @ own["M"] + own["D"], 0)

        function = jax.jit(layers)
        return Work(
            lambda: function(arrays).block_until_ready(), lambda: np.asarray(function(arrays))
        )

    def reference(inputs: Inputs) -> Array:
        x, k = inputs["X"][..., None], inputs["K"][:, :, :, None, None]
        between = np.maximum(convolve(x, k, rows, columns)[..., 0] + inputs["B"], 0)
        return np.maximum(between @ inputs["M"].astype(np.float64) + inputs["D"], 0)

    return Case(
        name=label(row, f"{c}>{co}", rows, columns),
        program=program,
        shapes=shapes,
        output=(n, rows.out, columns.out, co),
        constants=frozenset(shapes) - {"X"},
        flop=2 * pixels * c * (rows.taps * columns.taps + co),
        reference=reference,
        peers={"torch": with_torch, "torch-compile": with_torch_compile, "jax": with_jax},
    )
