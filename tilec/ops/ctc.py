"""Connectionist temporal classification: a loss for labels that nobody aligned with the steps.

A path has a symbol for each step, a label or the blank one; it says the labels that remain when
repeated symbols are merged and then blanks are left out. The probability of labels is that of all
their paths together (Graves et al. 2006): a forward variable for each symbol of the labels with
blanks between and around them, in logarithms, one step after the other.
"""

from __future__ import annotations

from math import inf
from typing import Final

from tilec.dtypes import BF16, F16, F32, I32, DType
from tilec.errors import ArgumentError, ShapeError
from tilec.ops.creation import arange, full
from tilec.ops.elementwise import cast, equal, less, logical_or, where
from tilec.ops.gathering import take_along_axis
from tilec.ops.losses import Reduction, reduced
from tilec.ops.reductions import logsumexp
from tilec.ops.shapes import expand_dims
from tilec.ops.softmaxes import log_softmax
from tilec.ops.texts import constant, number, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

_NEVER: Final = -1e30
"""The logarithm of no probability: finite, so that gradients are numbers."""


@public
def ctc_loss(
    logits: Operand,
    labels: Operand,
    *,
    logit_lengths: Operand | None = None,
    label_lengths: Operand | None = None,
    blank: int = 0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Minus the logarithm of the probability of labels; infinite where the steps are too few.

    Args:
        logits: Steps x batch x classes.
        labels: Batch x labels: classes.
        logit_lengths: How many steps of each row of the batch count; all by default.
        label_lengths: How many labels of each row count.
        blank: The class of the blank symbol.
        reduction: What becomes of the losses of the batch.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such class.
    """
    said, right = tensor(logits), cast(tensor(labels), I32)
    if said.ndim != 3 or right.ndim != 2 or right.shape[0] != said.shape[1] or not said.shape[0]:
        raise ShapeError(
            f"ctc_loss: logits have the shape {list(said.shape)}, labels {list(right.shape)}",
            help="logits are steps x batch x classes, labels batch x labels",
        )
    if not 0 <= blank < said.shape[2]:
        raise ArgumentError(f"ctc_loss: blank is {blank} and there are {said.shape[2]} classes")
    steps, batch, _ = said.shape
    wide = F32 if said.dtype in (F16, BF16) else said.dtype
    spent = _lengths(logit_lengths, batch, steps)
    count = _lengths(label_lengths, batch, right.shape[1])
    if not right.shape[1]:  # so that there is a symbol to compare; it counts nowhere
        right = full((batch, 1), blank, I32)
    symbols, jumps = _symbols(right, blank, wide)
    scores = log_softmax(cast(said, wide), 2)
    emitted = take_along_axis(scores, expand_dims(symbols, 0), 2)
    alive = less(expand_dims(arange(steps, dtype=I32), (1, 2)), spent)
    places = expand_dims(arange(symbols.shape[1], dtype=I32), 0)
    forward = where(less(places, 2), emitted[0], number(_NEVER, scores))
    for at in range(1, steps):
        forward = single(_step(), forward, emitted[at], jumps, alive[at], constant(_NEVER, wide))
    # Paths end with the last label, or with the blank behind it.
    is_end = logical_or(equal(places, 2 * count), equal(places, 2 * count - 1))
    total = logsumexp(where(is_end, forward, number(_NEVER, scores)), 1)
    losses = where(less(total, number(_NEVER / 2, scores)), constant(inf, wide), -total)
    return reduced("ctc_loss", losses, reduction)


def _lengths(given: Operand | None, batch: int, most: int) -> Tensor:
    found = full((batch,), most, I32) if given is None else cast(tensor(given), I32)
    if found.shape != (batch,):
        raise ShapeError(f"ctc_loss: {list(found.shape)} lengths for a batch of {batch}")
    return expand_dims(found, 1)


def _symbols(labels: Tensor, blank: int, wide: DType) -> tuple[Tensor, Tensor]:
    """The labels with blanks between and around them, and what a jump over a blank costs.

    It is free between two labels that differ: equal ones would be merged.
    """
    batch, count = labels.shape
    size = (batch, 2 * count + 1)
    spread = text(
        "function ctc_symbols(X[B, L], D[B, S]) -> (Y) { "
        "Y[b, 2*j + 1 : B, S] = =(X[b, j]) default D; }"
    )
    symbols = single(spread, labels, full(size, blank, I32))
    never = full(size, _NEVER, wide)
    if count == 1:
        return symbols, never
    jumps = text(
        "function ctc_jumps(X[B, L], D[B, S]) -> (Y) { Y[b, 2*j + 3 : B, S] = "
        "=(X[b, j] == X[b, j + 1] ? D[b, 2*j + 3] : D[b, 2*j + 3] * 0) default D; }"
    )
    return symbols, single(jumps, labels, never)


def _step() -> Function:
    """The forward variables behind a step: a symbol stays, follows, or jumps over a blank."""
    return text(
        "function ctc_step(A[B, S], E[B, S], J[B, S], T[B, One], N[]) -> (Y) { "
        "F[b, s : B, S] = =(N[]); "
        "P[b, s : B, S] = =(A[b, s - 1]) default F; "
        "Q[b, s : B, S] = =(A[b, s - 2]) default F; "
        # The derivative by the largest cancels, whichever it is.
        "M = reverse_grad(max(A, max(P, Q + J)), 0); "
        "Z = M + log(exp(A - M) + exp(P - M) + exp(Q + J - M)) + E; "
        "Y = T ? Z : A; }"
    )
