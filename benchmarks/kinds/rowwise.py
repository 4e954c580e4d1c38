"""Operations on the rows of X[m, n], and elementwise chains: each element is needed once.

Columns: op, m, n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Row, RowError
from benchmarks.simple import Definition, gelu, make

_EPSILON = 1e-5


def case(row: Row) -> Case:
    op, m, n = row.text("op"), row.integer("m"), row.integer("n")
    if op not in _OPERATIONS:
        raise RowError(f"there is no operation {op!r}; there are {', '.join(_OPERATIONS)}")
    return make(f"{op} {m}x{n}", _OPERATIONS[op](m, n))


def _softmax(m: int, n: int) -> Definition:
    return Definition(
        """function (X[M, N]) -> (Y) {
  R[i, 0 : M, 1] = >(X[i, j]);
  E = exp(X - R);
  S[i, 0 : M, 1] = +(E[i, j]);
  Y = E / S;
}""",
        {"X": (m, n)},
        (m, n),
        5 * m * n,
        lambda torch, of, out: torch.softmax(of[0], 1, out=out),
        lambda jax, of: jax.nn.softmax(of[0], axis=1),
        _softmax64,
    )


def _softmax64(of: Sequence[Array]) -> Array:
    (x,) = of
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _layer_norm(m: int, n: int) -> Definition:
    def with_jax(jax: Any, of: Sequence[Any]) -> Any:
        x, g, b = of
        centred = x - x.mean(1, keepdims=True)
        variance = jax.numpy.square(centred).mean(1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + _EPSILON) * g + b

    def reference(of: Sequence[Array]) -> Array:
        x, g, b = of
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + _EPSILON) * g + b

    return Definition(
        """function (X[M, N], G[N], B[N]) -> (Y) {
  S[i, 0 : M, 1] = +(X[i, j]);
  C = X - S / N;
  Q[i, 0 : M, 1] = +(C[i, j] * C[i, j]);
  Y = C * (1 / sqrt(Q / N + 0.00001)) * G + B;
}""",
        {"X": (m, n), "G": (n,), "B": (n,)},
        (m, n),
        7 * m * n,
        lambda torch, of, out: torch.nn.functional.layer_norm(of[0], (n,), *of[1:], _EPSILON),
        with_jax,
        reference,
    )


def _log_sum_exp(m: int, n: int) -> Definition:
    def reference(of: Sequence[Array]) -> Array:
        (x,) = of
        top = x.max(1)
        return top + np.log(np.exp(x - top[:, None]).sum(1))

    return Definition(
        """function (X[M, N]) -> (Y) {
  R[i : M] = >(X[i, j]);
  S[i : M] = +(exp(X[i, j] - R[i]));
  Y = R + log(S);
}""",
        {"X": (m, n)},
        (m,),
        4 * m * n,
        lambda torch, of, out: torch.logsumexp(of[0], 1, out=out),
        lambda jax, of: jax.nn.logsumexp(of[0], axis=1),
        reference,
    )


def _gelu(m: int, n: int) -> Definition:
    return Definition(
        """function (X[M, N]) -> (Y) {
  Y = 0.5 * X * (1 + erf(X * 0.7071067811865476));
}""",
        {"X": (m, n)},
        (m, n),
        5 * m * n,
        lambda torch, of, out: torch.nn.functional.gelu(of[0]),
        lambda jax, of: jax.nn.gelu(of[0], approximate=False),
        lambda of: gelu(of[0]),
    )


def _broadcast(m: int, n: int) -> Definition:
    def chain(of: Sequence[Any]) -> Any:
        x, b, g, c = of
        shifted = (x + b) * g
        return shifted * shifted + c[:, None]

    return Definition(
        """function (X[M, N], B[N], G[N], C[M]) -> (Y) {
  K[i, 0 : M, 1] = =(C[i]);
  T = (X + B) * G;
  Y = T * T + K;
}""",
        {"X": (m, n), "B": (n,), "G": (n,), "C": (m,)},
        (m, n),
        4 * m * n,
        lambda torch, of, out: chain(of),
        lambda jax, of: chain(of),
        chain,
    )


def _batch_norm(m: int, n: int) -> Definition:
    return Definition(
        """function (X[M, N]) -> (V) {
  S[j : N] = +(X[i, j]);
  Q[j : N] = +(X[i, j] * X[i, j]);
  V = Q / M - (S / M) * (S / M);
}""",
        {"X": (m, n)},
        (n,),
        3 * m * n,
        lambda torch, of, out: torch.var(of[0], 0, unbiased=False, out=out),
        lambda jax, of: jax.numpy.var(of[0], axis=0),
        lambda of: of[0].var(0),
    )


_OPERATIONS: dict[str, Callable[[int, int], Definition]] = {
    "softmax": _softmax,
    "layer-norm": _layer_norm,
    "log-sum-exp": _log_sum_exp,
    "gelu": _gelu,
    "broadcast": _broadcast,
    "batch-norm": _batch_norm,
}
