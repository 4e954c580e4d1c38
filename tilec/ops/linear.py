"""Products of matrices and tensors: dense layers, gemm and any einsum, by index maps alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.texts import listed, number, numbered, single, text
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor, tensor

_OPERANDS: Final = re.compile(r"^[A-Za-z.,]*(->[A-Za-z.]*)?$")
_ELLIPSIS: Final = "..."


@public
def matmul(a: Operand, b: Operand) -> Tensor:
    """``np.matmul(a, b)``.

    Raises:
        ShapeError: the shapes do not fit.
    """
    return tensor(a) @ tensor(b)


@public
def dense(
    x: Operand, w: Operand, bias: Operand | None = None, *, transposed: bool = False
) -> Tensor:
    """``x @ w + bias``, a fully connected layer.

    Args:
        x: Any leading axes, then the inputs.
        w: Inputs x outputs.
        bias: Added to each row.
        transposed: Whether ``w`` is outputs x inputs, as in PyTorch.

    Raises:
        ShapeError: the shapes do not fit.
    """
    x, w = tensor(x), tensor(w)
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[int(transposed)]:
        raise ShapeError(
            f"dense: x has the shape {list(x.shape)} and w {list(w.shape)}",
            help="w is outputs x inputs" if transposed else "w is inputs x outputs",
        )
    lead = numbered("n", x.ndim - 1)
    sizes = numbered("N", x.ndim - 1)
    weights = ("O, I", "o, i") if transposed else ("I, O", "i, o")
    result = "Z" if bias is not None else "Y"
    operands = [x, w]
    if bias is not None:
        operands.append(tensor(bias))
        if operands[-1].shape != (w.shape[int(not transposed)],):
            raise ShapeError(f"dense: bias has the shape {list(operands[-1].shape)}")
    called = text(
        f"function connected_{x.ndim}{'_transposed' * transposed}{'_bias' * (result == 'Z')}"
        f"(X[{listed([*sizes, 'I'])}], W[{weights[0]}]{', B[O]' * (result == 'Z')}) -> (Y) {{ "
        f"{result}[{listed([*lead, 'o'])} : {listed([*sizes, 'O'])}] = "
        f"+(X[{listed([*lead, 'i'])}] * W[{weights[1]}]);"
        f"{' Y = Z + B;' * (result == 'Z')} }}"
    )
    return single(called, *operands)


@public
def gemm(
    a: Operand,
    b: Operand,
    c: Operand | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transpose_a: bool = False,
    transpose_b: bool = False,
) -> Tensor:
    """``alpha * (a @ b) + beta * c`` with ``a.T`` and ``b.T`` where wanted.

    Args:
        a: A matrix.
        b: A matrix.
        c: What is added; broadcast to the product.
        alpha: Factor of the product.
        beta: Factor of what is added.
        transpose_a: Whether the rows of ``a`` are the columns of the product's left side.
        transpose_b: The same for ``b``.

    Raises:
        ShapeError: the shapes do not fit.
    """
    a, b = tensor(a), tensor(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[int(not transpose_a)] != b.shape[int(transpose_b)]:
        raise ShapeError(
            f"gemm: a has the shape {list(a.shape)} and b {list(b.shape)}, with transpose_a="
            f"{transpose_a} and transpose_b={transpose_b}"
        )
    left = ("K, M", "k, m") if transpose_a else ("M, K", "m, k")
    right = ("N, K", "n, k") if transpose_b else ("K, N", "k, n")
    name = f"product_{left[0][0]}{left[0][3]}_{right[0][0]}{right[0][3]}".lower()
    inputs, operands, result = "", list[Operand]([a, b]), "P"
    if alpha != 1:
        name, inputs, result = f"{name}_scaled", ", F", "F * P"
        operands.append(number(alpha, a))
    if c is not None and beta != 0:
        name, inputs = f"{name}_plus", f"{inputs}, C"
        operands.append(tensor(c))
        added = "C"
        if beta != 1:
            name, inputs, added = f"{name}_scaled", f"{inputs}, H", "H * C"
            operands.append(number(beta, a))
        result = f"{result} + {added}"
    called = text(
        f"function {name}(A[{left[0]}], B[{right[0]}]{inputs}) -> (Y) {{ "
        f"P[m, n : M, N] = +(A[{left[1]}] * B[{right[1]}]); Y = {result}; }}"
    )
    return single(called, *operands)


@public
def einsum(subscripts: str, *operands: Operand) -> Tensor:
    """``np.einsum(subscripts, *operands)``.

    One or two operands are one contraction; of more, two at a time are contracted, in the order
    that takes the fewest operations.

    Args:
        subscripts: Letters for the axes of the operands, e.g. ``"bij,bjk->bik"``; ``...`` stands
            for axes that are broadcast.
        *operands: The tensors.

    Raises:
        UserError: the subscripts are wrong, or sizes do not fit.
    """
    given = [tensor(each) for each in operands]
    terms, result = _terms(subscripts, [each.ndim for each in given])
    sizes = _sizes(subscripts, terms, given)
    while len(given) > 2:
        first, second = sorted(_cheapest(terms, result, given))
        pair = [(terms[at], given[at]) for at in (first, second)]
        for at in (second, first):
            del terms[at], given[at]
        needed = {*result}.union(*terms)
        kept = [each for each in dict.fromkeys((*pair[0][0], *pair[1][0])) if each in needed]
        terms.append(kept)
        given.append(_contracted(pair, kept, sizes))
    return _contracted([*zip(terms, given, strict=True)], result, sizes)


def _terms(subscripts: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """Indices of the operands and of the result; those of ``...`` are numbers."""
    plain = subscripts.replace(" ", "")
    if not _OPERANDS.match(plain):
        raise ArgumentError(f"einsum: {subscripts!r} cannot be read", help="e.g. 'ij,jk->ik'")
    left, arrow, right = plain.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ArgumentError(
            f"einsum: {subscripts!r} is for {len(parts)} operands, but there are {len(ranks)}"
        )
    widest = 0
    for part, rank in zip(parts, ranks, strict=True):
        letters = part.replace(_ELLIPSIS, "", 1)
        extra = rank - len(letters)
        if "." in letters or extra < 0 or (extra and letters == part):
            raise ShapeError(f"einsum: {part!r} in {subscripts!r} is for {rank} axes")
        widest = max(widest, extra)
    terms: list[list[str]] = []
    for part, rank in zip(parts, ranks, strict=True):
        before, dots, behind = part.partition(_ELLIPSIS)
        extra = rank - len(before) - len(behind)
        hidden = [str(at) for at in range(widest - extra, widest)] if dots else []
        terms.append([*before, *hidden, *behind])
    every = [str(at) for at in range(widest)]
    if not arrow:
        letters = [each for term in terms for each in term if each.isalpha()]
        return terms, [*every, *sorted(each for each in letters if letters.count(each) == 1)]
    before, dots, behind = right.partition(_ELLIPSIS)
    result = [*before, *(every if dots else []), *behind]
    known = {each for term in terms for each in term}
    if "." in behind or not known.issuperset(result) or len({*result}) < len(result):
        raise ArgumentError(
            f"einsum: the result {right!r} of {subscripts!r} names an axis twice, or one that no "
            "operand has"
        )
    return terms, result


def _sizes(
    subscripts: str, terms: Sequence[Sequence[str]], given: Sequence[Tensor]
) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, each in zip(terms, given, strict=True):
        for name, size in zip(term, each.shape, strict=True):
            known = sizes.get(name, 1)
            if known != size and 1 not in (known, size):
                raise ShapeError(
                    f"einsum: in {subscripts!r}, {name!r} is an axis of size {known} and of {size}"
                )
            sizes[name] = max(known, size) if size else 0
    return sizes


def _cheapest(
    terms: Sequence[Sequence[str]], result: Sequence[str], given: Sequence[Tensor]
) -> tuple[int, int]:
    """The two operands to contract first."""
    letters = {each: chr(ord("A") + at) for at, each in enumerate(_names(terms))}
    text_of = ["".join(letters[each] for each in term) for term in terms]
    wanted = "".join(letters[each] for each in result)
    # Views of one element: the search looks at shapes alone.
    views = [np.broadcast_to(np.float32(0), each.shape) for each in given]
    path, _ = np.einsum_path(f"{','.join(text_of)}->{wanted}", *views, optimize="greedy")
    first = cast("tuple[int, ...]", path[1])
    return (first[0], first[1]) if len(first) >= 2 else (0, 1)


def _names(terms: Sequence[Sequence[str]]) -> list[str]:
    return [*dict.fromkeys(each for term in terms for each in term)]


def _contracted(
    pair: Sequence[tuple[Sequence[str], Tensor]], result: Sequence[str], sizes: dict[str, int]
) -> Tensor:
    """A product of some operands, summed over what the result does not have."""
    terms = [term for term, _ in pair]
    order = {each: at for at, each in enumerate(_names(terms))}
    headers, reads = list[str](), list[str]()
    for at, (term, value) in enumerate(pair):
        # An axis of size 1 is repeated: it has a size of its own and is read at 0.
        wide = [sizes[each] == size for each, size in zip(term, value.shape, strict=True)]
        dims = [f"N{order[e]}" if w else "1" for e, w in zip(term, wide, strict=True)]
        places = [f"i{order[e]}" if w else "0" for e, w in zip(term, wide, strict=True)]
        headers.append(f"X{at}[{listed(dims)}]")
        reads.append(f"X{at}[{listed(places)}]")
    name = "_".join("".join(f"{order[each]}" for each in term) or "s" for term in (*terms, result))
    called = text(
        f"function summed_{name}({listed(headers)}) -> (Y) {{ "
        f"Y[{listed(f'i{order[each]}' for each in result)} : "
        f"{listed(f'N{order[each]}' for each in result)}] = +({' * '.join(reads)}); }}"
    )
    return single(called, *(value for _, value in pair))
