"""Scaled dot product attention."""

from __future__ import annotations

from math import inf, sqrt

from tilec.dtypes import BOOL
from tilec.errors import ShapeError
from tilec.ops.creation import positions
from tilec.ops.texts import constant, listed, number, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor


@public
def attention(
    query: Operand,
    key: Operand,
    value: Operand,
    mask: Operand | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value``, over leading axes such as batch and heads.

    Args:
        query: Any leading axes, then queries x features.
        key: The same leading axes, then keys x features. The last leading axis may be shorter: a
            head of it then serves several neighbouring heads of ``query``.
        value: The leading axes of ``key``, then keys x anything.
        mask: Numbers that are added, or bools that are true where a query sees a key; broadcast to
            the leading axes x queries x keys.
        causal: Whether a query sees only the keys up to its own position.
        scale: Factor of the products; by default one over the square root of the features.

    Returns:
        The leading axes of ``query``, then queries x the last axis of ``value``.

    Raises:
        ShapeError: the shapes do not fit.
    """
    query, key, value = tensor(query), tensor(key), tensor(value)
    rank = query.ndim
    fits = (
        rank == key.ndim == value.ndim >= 2
        and key.shape[:-1] == value.shape[:-1]
        and query.shape[-1] == key.shape[-1]
        and query.shape[: max(rank - 3, 0)] == key.shape[: max(rank - 3, 0)]
    )
    heads = (query.shape[-3], key.shape[-3]) if fits and rank > 2 else (1, 1)
    if not fits or heads[0] % max(heads[1], 1):
        raise ShapeError(
            f"attention: query, key and value have the shapes {list(query.shape)}, "
            f"{list(key.shape)} and {list(value.shape)}"
        )
    shared = heads[0] != heads[1]
    factor = 1 / sqrt(query.shape[-1]) if scale is None else scale
    operands: list[Operand] = [query, key, value, number(factor, query)]
    kind = "none"
    if mask is not None:
        mask = tensor(mask)
        kind = "seen" if mask.dtype == BOOL else "added"
        operands.append(mask)
    if kind == "seen" or causal:
        operands.append(constant(-inf, query.dtype))
    if causal:
        operands += [positions(query.shape[-2]), positions(key.shape[-2])]
    if shared:
        operands.append(heads[0] // heads[1])
    return single(_attention(rank, kind, causal, shared), *operands)


def _attention(rank: int, kind: str, causal: bool, shared: bool) -> Function:
    lead, sizes = numbered("b", rank - 2), numbered("B", rank - 2)
    own, own_sizes = list(lead), list(sizes)
    limit, head = "", ""
    if shared:  # head R*b + r of the queries reads head b of the keys
        own[-1], own_sizes[-1] = f"R*{lead[-1]} + r", "HQ"
        limit, head = ", r < R", ", R"
    inputs = f"Q[{listed([*own_sizes, 'M', 'E'])}], K[{listed([*sizes, 'N', 'E'])}]"
    scores = listed([*own, "q", "k"])
    shape = listed([*own_sizes, "M", "N"])
    rows = listed([*numbered("b", rank - 2), "q", "k"])
    kept = listed([*numbered("b", rank - 2), "q", "0"])
    ones = listed([*own_sizes, "M", "1"])
    masked, names = "S * F", ""
    if kind == "added":
        masked, names = "S * F + A", ", A"
    elif kind == "seen":
        masked, names = "A ? S * F : L", ", A, L"
    last = f"T = {masked};"
    if causal:
        names = f"{names if kind == 'seen' else f'{names}, L'}, PQ[M], PK[N]"
        last = f"C = {masked}; T = reshape(PK, 1, N) > reshape(PQ, M, 1) ? L : C;"
    return text(
        f"function attention_{rank}_{kind}{'_causal' * causal}{'_shared' * shared}"
        f"({inputs}, V[{listed([*sizes, 'N', 'D'])}], F{names}{head}) -> (Y) {{ "
        f"S[{scores} : {shape}] = "
        f"+(Q[{listed([*own, 'q', 'e'])}] * K[{listed([*lead, 'k', 'e'])}]){limit}; {last} "
        f"X[{kept} : {ones}] = >(T[{rows}]); P = exp(T - X); "
        f"Z[{kept} : {ones}] = +(P[{rows}]); W = P / Z; "
        f"Y[{listed([*own, 'q', 'd'])} : {listed([*own_sizes, 'M', 'D'])}] = "
        f"+(W[{listed([*own, 'q', 'k'])}] * V[{listed([*lead, 'k', 'd'])}]){limit}; }}"
    )
