"""Y[m] = A[m, k] * X[k]; ``a_t`` says that A is stored transposed.

Columns: m, k, a_t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, Work, aligned


def case(row: Row) -> Case:
    m, k, a_t = row.integer("m"), row.integer("k"), row.flag("a_t")
    header, read = ("K, M", "k, i") if a_t else ("M, K", "i, k")
    program = f"function (A[{header}], X[K]) -> (Y) {{\n  Y[i : M] = +(A[{read}] * X[k]);\n}}"

    def matrix(inputs: Inputs) -> Array:
        return inputs["A"].T if a_t else inputs["A"]

    def with_numpy(numpy: Any, inputs: Inputs) -> Work:
        a, x, out = matrix(inputs), inputs["X"], aligned((m,))
        return Work(lambda: numpy.matmul(a, x, out=out), lambda: out)

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        a, x = torch.from_numpy(matrix(inputs)), torch.from_numpy(inputs["X"])
        out = torch.from_numpy(aligned((m,)))
        return Work(lambda: torch.mv(a, x, out=out), out.numpy)

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        a, x = jax.device_put(inputs["A"]), jax.device_put(inputs["X"])

        def product(a: Any, x: Any) -> Any:
            return (a.T if a_t else a) @ x

        function = jax.jit(product)
        return Work(lambda: function(a, x).block_until_ready(), lambda: np.asarray(function(a, x)))

    def reference(inputs: Inputs) -> Array:
        return matrix(inputs).astype(np.float64) @ inputs["X"].astype(np.float64)

    return Case(
        name=row.text("name", f"{m}x{k}" + (" T" if a_t else "")),
        program=program,
        shapes={"A": (k, m) if a_t else (m, k), "X": (k,)},
        output=(m,),
        flop=2 * m * k,
        reference=reference,
        peers={"numpy": with_numpy, "torch": with_torch, "jax": with_jax},
    )
