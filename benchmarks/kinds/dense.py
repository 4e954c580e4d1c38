"""Fully connected layers, ``relu(x * W' + b)``, one or a chain of them, weights [out, in].

Columns: batch, widths (of the input and of each layer); bias and relu, true by default, and
``last_relu``, whether the last layer has one too. ``gelu`` puts GELU in the place of ReLU.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, Shape, Work, aligned
from benchmarks.simple import gelu
from benchmarks.torch_parts import frozen


def case(row: Row) -> Case:
    batch, widths = row.integer("batch", 1), row.integers("widths")
    bias, relu = row.flag("bias", True), row.flag("relu", True)
    is_gelu = row.flag("gelu")
    layers = range(1, len(widths))
    active = [relu and (at < len(widths) - 1 or row.flag("last_relu", True)) for at in layers]

    def program() -> str:
        header, body, above = ["X[N, D0]"], "", "X"
        for at in layers:
            header.append(f"W{at}[D{at}, D{at - 1}]")
            body += f"  S{at}[b, o : N, D{at}] = +({above}[b, i] * W{at}[o, i]);\n"
            above = f"S{at}"
            if bias:
                header.append(f"B{at}[D{at}]")
            if bias:
                body += f"  T{at} = {above} + B{at};\n"
                above = f"T{at}"
            if active[at - 1]:
                act = f"0.5 * {above} * (1 + erf({above} * 0.7071067811865476))"
                body += f"  R{at} = {act if is_gelu else f'relu({above})'};\n"
                above = f"R{at}"
        return f"function ({', '.join(header)}) -> ({above}) {{\n{body}}}"

    shapes: dict[str, Shape] = {"X": (batch, widths[0])}
    for at, (before, after) in enumerate(pairwise(widths), 1):
        shapes[f"W{at}"] = (after, before)
        if bias:
            shapes[f"B{at}"] = (after,)

    def with_numpy(numpy: Any, inputs: Inputs) -> Work:
        results = [aligned((batch, width)) for width in widths[1:]]

        def run() -> None:
            above = inputs["X"]
            for at, out in enumerate(results, 1):
                numpy.matmul(above, inputs[f"W{at}"].T, out=out)
                if bias:
                    numpy.add(out, inputs[f"B{at}"], out=out)
                if active[at - 1]:
                    numpy.maximum(out, 0, out=out)
                above = out

        return Work(run, lambda: results[-1])

    def torch_layers(torch: Any, tensors: dict[str, Any]) -> Any:
        above = tensors["X"]
        for at in layers:
            above = torch.nn.functional.linear(above, tensors[f"W{at}"], tensors.get(f"B{at}"))
            if active[at - 1]:
                act = torch.nn.functional.gelu if is_gelu else torch.nn.functional.relu_
                above = act(above)
        return above

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}

        def run() -> Any:
            with torch.inference_mode():
                return torch_layers(torch, tensors)

        return Work(run, lambda: run().numpy())

    def with_torch_compile(torch: Any, inputs: Inputs) -> Work:
        weights = {name: torch.from_numpy(array) for name, array in inputs.items() if name != "X"}
        x = torch.from_numpy(inputs["X"])
        call = frozen(torch, lambda x, own: torch_layers(torch, {"X": x, **own}), weights)
        return Work(lambda: call(x), lambda: call(x).numpy())

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        arrays = {name: jax.device_put(array) for name, array in inputs.items()}

        def network(arrays: dict[str, Any]) -> Any:
            above = arrays["X"]
            for at in layers:
                above = above @ arrays[f"W{at}"].T
                if bias:
                    above = above + arrays[f"B{at}"]
                if active[at - 1]:
                    above = jax.nn.gelu(above, approximate=False) if is_gelu else jax.nn.relu(above)
            return above

        function = jax.jit(network)
        return Work(
            lambda: function(arrays).block_until_ready(), lambda: np.asarray(function(arrays))
        )

    def reference(inputs: Inputs) -> Array:
        above: Array = inputs["X"].astype(np.float64)
        for at in layers:
            above = above @ inputs[f"W{at}"].T.astype(np.float64)
            if bias:
                above = above + inputs[f"B{at}"]
            if active[at - 1]:
                above = gelu(above) if is_gelu else np.maximum(above, 0)
        return above

    return Case(
        name=row.text("name", f"{batch}: " + "-".join(map(str, widths)) + " gelu" * is_gelu),
        program=program(),
        shapes=shapes,
        output=(batch, widths[-1]),
        constants=frozenset(shapes) - {"X"},
        flop=2 * batch * sum(before * after for before, after in pairwise(widths)),
        reference=reference,
        # NumPy has no error function.
        peers=({} if is_gelu else {"numpy": with_numpy})
        | {"torch": with_torch, "torch-compile": with_torch_compile, "jax": with_jax},
    )
