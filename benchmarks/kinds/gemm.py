"""C[m, n] = A[m, k] * B[k, n], where ``a_t`` and ``b_t`` say that an operand is stored transposed.

Columns: m, n, k, a_t, b_t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Row, Work, aligned


def case(row: Row) -> Case:
    m, n, k = row.integer("m"), row.integer("n"), row.integer("k")
    a_t, b_t = row.flag("a_t"), row.flag("b_t")
    left = "A[k, i]" if a_t else "A[i, k]"
    right = "B[j, k]" if b_t else "B[k, j]"
    header = f"A[{'K, M' if a_t else 'M, K'}], B[{'N, K' if b_t else 'K, N'}]"
    program = f"function ({header}) -> (C) {{\n  C[i, j : M, N] = +({left} * {right});\n}}"

    def operands(inputs: Inputs) -> tuple[Array, Array]:
        a, b = inputs["A"], inputs["B"]
        return a.T if a_t else a, b.T if b_t else b

    def with_numpy(numpy: Any, inputs: Inputs) -> Work:
        a, b = operands(inputs)
        out = aligned((m, n))
        return Work(lambda: numpy.matmul(a, b, out=out), lambda: out)

    def with_torch(torch: Any, inputs: Inputs) -> Work:
        a, b = (torch.from_numpy(each) for each in operands(inputs))
        out = torch.from_numpy(aligned((m, n)))
        return Work(lambda: torch.mm(a, b, out=out), out.numpy)

    def with_jax(jax: Any, inputs: Inputs) -> Work:
        a, b = (jax.device_put(inputs[name]) for name in "AB")

        def product(a: Any, b: Any) -> Any:
            return (a.T if a_t else a) @ (b.T if b_t else b)

        function = jax.jit(product)
        return Work(lambda: function(a, b).block_until_ready(), lambda: np.asarray(function(a, b)))

    def reference(inputs: Inputs) -> Array:
        a, b = operands(inputs)
        return a.astype(np.float64) @ b.astype(np.float64)

    flags = ("N", "T")[a_t] + ("N", "T")[b_t]
    return Case(
        name=row.text("name", f"{m}x{n}x{k}" + (f" {flags}" if a_t or b_t else "")),
        program=program,
        shapes={"A": (k, m) if a_t else (m, k), "B": (n, k) if b_t else (k, n)},
        output=(m, n),
        flop=2 * m * n * k,
        reference=reference,
        peers={"numpy": with_numpy, "torch": with_torch, "jax": with_jax},
    )
