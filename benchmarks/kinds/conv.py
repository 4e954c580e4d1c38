"""Convolutions with bias and ReLU, in groups or not.

Columns: n, h, w, ci, co, kh, kw, stride, pad (a number, or "same" as TensorFlow means it), groups;
bias and relu, true by default; layout, ``NHWC`` (the default) or ``NCHW``.

Weights are known beforehand, so tilec and oneDNN may arrange them as they like. PyTorch cannot pad
unevenly without a copy: where "same" asks for that it gets an input that was padded beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, RowError, Shape, Work
from benchmarks.torch_parts import compiled_convolution, convolution
from benchmarks.window import convolve, label, padded, window


def case(row: Row) -> Case:
    n, groups = row.integer("n", 1), row.integer("groups", 1)
    ci, co = row.integer("ci"), row.integer("co")
    bias, relu = row.flag("bias", True), row.flag("relu", True)
    last = row.text("layout", "NHWC") == "NHWC"
    rows = window(row, row.integer("h"), row.integer("kh"))
    columns = window(row, row.integer("w"), row.integer("kw"))
    if ci % groups or co % groups:
        raise RowError(f"{ci} and {co} channels cannot be divided into {groups} groups")
    c, f = ci // groups, co // groups
    # Axes in the order of the logical layouts n h w g c, i j g c f and n y x g f; a program without
    # groups does not mention them.
    many = groups > 1

    def stored(axes: str) -> str:
        order = {
            "nhwgc": "nhwgc" if last else "ngchw",
            "ijgcf": "ijgcf" if last else "gfcij",
            "nyxgf": "nyxgf" if last else "ngfyx",
            "gf": "gf" if last else "gfyx",
        }[axes]
        return order if many else order.replace("g", "")

    sizes = {
        "n": n, "h": rows.size, "w": columns.size, "g": groups, "c": c, "f": f,
        "i": rows.taps, "j": columns.taps, "y": rows.out, "x": columns.out,
    }  # fmt: skip
    read = {"h": rows.index("y", "i"), "w": columns.index("x", "j")}

    def shape(axes: str, ones: str = "") -> Shape:
        return tuple(1 if axis in ones else sizes[axis] for axis in stored(axes))

    def indexed(axes: str) -> str:
        return ", ".join(read.get(axis, axis) for axis in stored(axes))

    def named(axes: str) -> str:
        return ", ".join(axis.upper() for axis in stored(axes))

    shapes = {"X": shape("nhwgc"), "K": shape("ijgcf")}
    # A window of one element has no index.
    constant_taps = {"i": "0"} if rows.taps == 1 else {}
    constant_taps |= {"j": "0"} if columns.taps == 1 else {}
    weights = ", ".join(constant_taps.get(axis, axis) for axis in stored("ijgcf"))
    outs = ", ".join(str(sizes[axis]) if axis in "yx" else axis.upper() for axis in stored("nyxgf"))
    header = f"X[{named('nhwgc')}], K[{named('ijgcf')}]"
    body = (
        f"  S[{', '.join(stored('nyxgf'))} : {outs}] = +(X[{indexed('nhwgc')}] * K[{weights}]);\n"
    )
    result, value = "S", "S"
    if bias:
        shapes["B"] = shape("gf", "yx")
        axes = [axis.upper() if axis in "gf" else "1" for axis in stored("gf")]
        header += f", B[{', '.join(axes)}]"
        value = "S + B"
    if bias or relu:
        body += f"  R = {f'relu({value})' if relu else value};\n"
        result = "R"

    def logical(array: Array, axes: str) -> Array:
        """An array with the axes in logical order, with groups."""
        order, wanted = stored(axes), [axis for axis in axes if many or axis != "g"]
        moved = array.transpose([order.index(axis) for axis in wanted])
        return moved if many else np.expand_dims(moved, axes.index("g"))

    def torch_tensors(torch: Any, inputs: Inputs) -> tuple[Any, Any, Any, tuple[int, int]]:
        x, pads = logical(inputs["X"], "nhwgc"), (rows.before, columns.before)
        if (rows.before, columns.before) != (rows.after, columns.after):
            x, pads = padded(x, {1: rows, 2: columns}), (0, 0)
        x = x.reshape(*x.shape[:3], ci).transpose(0, 3, 1, 2)
        k = logical(inputs["K"], "ijgcf").transpose(2, 4, 3, 0, 1)
        k = k.reshape(co, c, rows.taps, columns.taps)
        order = torch.channels_last if last else torch.contiguous_format
        return (
            torch.from_numpy(x).contiguous(memory_format=order),
            torch.from_numpy(np.ascontiguousarray(k)).contiguous(memory_format=order),
            torch.from_numpy(inputs["B"].reshape(co)) if bias else None,
            pads,
        )

    def as_stored(out: Array) -> Array:
        """A result in the order NCHW as tilec stores it."""
        split = out.reshape(n, groups, f, rows.out, columns.out)
        moved = split.transpose(["ngfyx".index(axis) for axis in "nyxgf"]) if last else split
        return moved.reshape(shape("nyxgf"))

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        x, k, b, pads = torch_tensors(torch, inputs)
        call = convolution(torch, x, k, b, rows.stride, pads, groups, relu)
        return Work(call, lambda: as_stored(call().numpy()))

    def with_torch_compile(torch: Any, inputs: Inputs) -> Work:
        x, k, b, pads = torch_tensors(torch, inputs)
        call = compiled_convolution(torch, x, k, b, rows.stride, pads, groups, relu)
        return Work(call, lambda: as_stored(call().numpy()))

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        x = logical(inputs["X"], "nhwgc").reshape(n, rows.size, columns.size, ci)
        k = logical(inputs["K"], "ijgcf").transpose(0, 1, 3, 2, 4)
        k = k.reshape(rows.taps, columns.taps, c, co)
        x, k = jax.device_put(np.ascontiguousarray(x)), jax.device_put(np.ascontiguousarray(k))
        b = jax.device_put(inputs["B"].reshape(co)) if bias else None
        steps = (rows.stride, columns.stride)
        pads = ((rows.before, rows.after), (columns.before, columns.after))

        def layer(x: Any, k: Any, b: Any) -> Any:
            out = jax.lax.conv_general_dilated(
                x, k, steps, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=groups,
            )  # fmt: skip
            if bias:
                out = out + b
            return jax.numpy.maximum(out, 0) if relu else out

        function = jax.jit(layer)
        return Work(
            lambda: function(x, k, b).block_until_ready(),
            lambda: as_stored(np.asarray(function(x, k, b)).transpose(0, 3, 1, 2)),
        )

    def reference(inputs: Inputs) -> Array:
        out = convolve(logical(inputs["X"], "nhwgc"), logical(inputs["K"], "ijgcf"), rows, columns)
        out = as_stored(out.transpose(0, 3, 4, 1, 2).reshape(n, co, rows.out, columns.out))
        if bias:
            out = out + inputs["B"]
        return np.maximum(out, 0) if relu else out

    return Case(
        name=label(row, f"{ci}>{co}", rows, columns),
        program=f"function ({header}) -> ({result}) {{\n{body}}}",
        shapes=shapes,
        output=shape("nyxgf"),
        constants=frozenset(shapes) - {"X"},
        flop=2 * n * rows.out * columns.out * co * c * rows.taps * columns.taps,
        reference=reference,
        peers={"torch": with_torch, "torch-compile": with_torch_compile, "jax": with_jax},
    )
