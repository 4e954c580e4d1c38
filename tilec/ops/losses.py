"""Losses: how far what a network says is from what is right."""

from __future__ import annotations

from math import log
from typing import Literal, TypeAlias

from tilec.errors import ArgumentError, ShapeError
from tilec.ops import reductions
from tilec.ops.normalisations import lp_normalize
from tilec.ops.softmaxes import log_softmax
from tilec.ops.texts import axis_of, listed, number, numbered, single, text, written
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

_FILE = "losses"

Reduction: TypeAlias = Literal["mean", "sum", "none"]
"""What becomes of the losses of single elements."""


def reduced(op: str, losses: Tensor, reduction: Reduction) -> Tensor:
    """The losses of single elements, or one for all of them."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return reductions.sum(losses)
    if reduction != "mean":
        raise ArgumentError(
            f"{op}: there is no reduction {reduction!r}", help="it is 'mean', 'sum' or 'none'"
        )
    return reductions.mean(losses)


def _of(
    op: str,
    name: str,
    prediction: Operand,
    target: Operand,
    reduction: Reduction,
    *numbers: float,
) -> Tensor:
    """A function of the file for each element."""
    said, right = tensor(prediction), tensor(target)
    if said.shape != right.shape:
        raise ShapeError(
            f"{op}: prediction has the shape {list(said.shape)} and target {list(right.shape)}"
        )
    called = written(_FILE, name)
    found = single(called, said, right, *(number(each, said) for each in numbers))
    return reduced(op, found, reduction)


@public
def mean_squared_error(
    prediction: Operand, target: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """``np.mean((prediction - target) ** 2)``."""
    return _of("mean_squared_error", "loss_squared", prediction, target, reduction)


@public
def mean_absolute_error(
    prediction: Operand, target: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """``np.mean(np.abs(prediction - target))``."""
    return _of("mean_absolute_error", "loss_absolute", prediction, target, reduction)


@public
def huber(
    prediction: Operand, target: Operand, delta: float = 1.0, *, reduction: Reduction = "mean"
) -> Tensor:
    """``d ** 2 / 2`` for a distance d up to ``delta``, ``delta * (d - delta / 2)`` beyond."""
    return _of("huber", "loss_huber", prediction, target, reduction, delta)


@public
def log_cosh(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """``np.mean(np.log(np.cosh(prediction - target)))``, without overflow."""
    return _of("log_cosh", "loss_log_cosh", prediction, target, reduction, log(2))


@public
def mean_squared_logarithmic_error(
    prediction: Operand, target: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """``np.mean((np.log1p(prediction) - np.log1p(target)) ** 2)``."""
    op = "mean_squared_logarithmic_error"
    return _of(op, "loss_squared_log", prediction, target, reduction, 1e-7)


@public
def mean_absolute_percentage_error(
    prediction: Operand, target: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """``100 * np.mean(np.abs((target - prediction) / target))``."""
    op = "mean_absolute_percentage_error"
    return _of(op, "loss_percentage", prediction, target, reduction, 1e-7)


@public
def binary_cross_entropy(
    prediction: Operand,
    target: Operand,
    *,
    epsilon: float = 1e-7,
    reduction: Reduction = "mean",
) -> Tensor:
    """``-np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))``; p stays ``epsilon`` inside."""
    op = "binary_cross_entropy"
    return _of(op, "loss_binary", prediction, target, reduction, epsilon)


@public
def binary_cross_entropy_with_logits(
    logits: Operand, target: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """``binary_cross_entropy(sigmoid(logits), target)``, without overflow."""
    op = "binary_cross_entropy_with_logits"
    return _of(op, "loss_binary_of_logits", logits, target, reduction)


@public
def kl_divergence(
    prediction: Operand, target: Operand, *, axis: int = -1, reduction: Reduction = "mean"
) -> Tensor:
    """``np.mean(np.sum(target * np.log(target / prediction), axis))``; both are 1e-7 at least."""
    each = _of("kl_divergence", "loss_divergence", prediction, target, "none", 1e-7)
    return reduced("kl_divergence", reductions.sum(each, axis), reduction)


@public
def poisson(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """``np.mean(prediction - target * np.log(prediction))``."""
    return _of("poisson", "loss_poisson", prediction, target, reduction, 1e-7)


@public
def hinge(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """``np.mean(np.maximum(1 - target * prediction, 0))``; targets are -1 or 1."""
    return _of("hinge", "loss_hinge", prediction, target, reduction)


@public
def squared_hinge(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """``np.mean(np.maximum(1 - target * prediction, 0) ** 2)``; targets are -1 or 1."""
    return _of("squared_hinge", "loss_squared_hinge", prediction, target, reduction)


@public
def cosine_similarity(x: Operand, y: Operand, axis: int = -1) -> Tensor:
    """``np.sum(x / norm(x) * y / norm(y), axis)``."""
    return reductions.sum(lp_normalize(x, axis) * lp_normalize(y, axis), axis)


@public
def categorical_cross_entropy(
    prediction: Operand,
    target: Operand,
    *,
    axis: int = -1,
    from_logits: bool = False,
    epsilon: float = 1e-7,
    reduction: Reduction = "mean",
) -> Tensor:
    """``-np.mean(np.sum(target * np.log(prediction), axis))`` for targets that are probabilities.

    Args:
        prediction: Probabilities, or logits.
        target: Probabilities of the same shape.
        axis: Along which the classes are.
        from_logits: Whether ``softmax`` makes the probabilities.
        epsilon: The least probability.
        reduction: What becomes of the losses.

    Raises:
        UserError: the shapes do not fit, or there is no such axis.
    """
    op = "categorical_cross_entropy"
    said, right = tensor(prediction), tensor(target)
    if said.shape != right.shape:
        raise ShapeError(
            f"{op}: prediction has the shape {list(said.shape)} and target {list(right.shape)}"
        )
    if from_logits:
        logs = log_softmax(said, axis)
    else:
        called = text("function bounded_log(P, E) -> (L) { L = log(min(max(P, E), 1 - E)); }")
        logs = single(called, said, number(epsilon, said))
    return reduced(op, -reductions.sum(right * logs, axis), reduction)


@public
def cross_entropy(
    logits: Operand,
    classes: Operand,
    *,
    axis: int = -1,
    weights: Operand | None = None,
    ignore: int | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """``nll(log_softmax(logits, axis), classes)``: softmax cross entropy with integer classes."""
    return nll(
        log_softmax(logits, axis),
        classes,
        axis=axis,
        weights=weights,
        ignore=ignore,
        reduction=reduction,
    )


@public
def nll(
    log_probabilities: Operand,
    classes: Operand,
    *,
    axis: int = -1,
    weights: Operand | None = None,
    ignore: int | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Minus the logarithm of the probability of the right class.

    Args:
        log_probabilities: Logarithms of probabilities, with classes along ``axis``.
        classes: Integers; the shape of ``log_probabilities`` without ``axis``.
        axis: Along which the classes are.
        weights: A factor for each class; the mean is divided by the sum of those that count.
        ignore: A class that does not count.
        reduction: What becomes of the losses.

    Raises:
        UserError: the shapes do not fit, or there is no such axis.
    """
    said, right = tensor(log_probabilities), tensor(classes)
    at = axis_of("nll", axis, said.ndim)
    if right.shape != (*said.shape[:at], *said.shape[at + 1 :]) or not right.dtype.is_integer:
        raise ShapeError(
            f"nll: classes are {right.spec}, and the logarithms are {said.spec} with classes along "
            f"axis {at}",
            help="classes are integers, in the shape without that axis",
        )
    operands: list[Operand] = [said, right]
    if weights is not None:
        operands.append(tensor(weights))
        if tensor(weights).shape != (said.shape[at],):
            raise ShapeError(f"nll: weights have the shape {list(tensor(weights).shape)}")
    if ignore is not None:
        operands.append(ignore)
    called = _chosen(said.ndim, at, weights is not None, ignore is not None)
    losses = single(called, *operands)
    if reduction != "mean" or (weights is None and ignore is None):
        return reduced("nll", losses, reduction)
    counted = _counted(said.ndim, at, weights is not None, ignore is not None)
    return reductions.sum(losses) / single(counted, *operands)


def _parts(rank: int, axis: int) -> tuple[str, str, str, str]:
    """Sizes and indices with the axis of the classes, and without."""
    sizes, places = numbered("N", rank), numbered("i", rank)
    sizes[axis], places[axis] = "C", "c"
    fewer = [each for at, each in enumerate(sizes) if at != axis]
    rest = [each for at, each in enumerate(places) if at != axis]
    return listed(sizes), listed(places), listed(fewer), listed(rest)


def _inputs(rank: int, axis: int, weighted: bool, ignoring: bool) -> tuple[str, str, str]:
    """Header, test of the right class, and name."""
    sizes, places, fewer, rest = _parts(rank, axis)
    header = f"P[{sizes}], T[{fewer}]{', W[C]' * weighted}{', G' * ignoring}"
    # The test reads P, since an index by itself has no range.
    test = f"I[{places}] == T[{rest}]"
    if ignoring:
        test = f"({test}) & (T[{rest}] != G[])"
    return header, test, f"{rank}_{axis}{'_weighted' * weighted}{'_ignoring' * ignoring}"


def _chosen(rank: int, axis: int, weighted: bool, ignoring: bool) -> Function:
    _, places, fewer, rest = _parts(rank, axis)
    header, test, name = _inputs(rank, axis, weighted, ignoring)
    factor = " * W[c]" if weighted else ""
    return text(
        f"function loss_of_class_{name}({header}) -> (L) {{ I = index(P, {axis}); "
        f"L[{rest} : {fewer}] = +({test} ? -P[{places}]{factor} : 0); }}"
    )


def _counted(rank: int, axis: int, weighted: bool, ignoring: bool) -> Function:
    header, test, name = _inputs(rank, axis, weighted, ignoring)
    one = "W[c]" if weighted else "1"
    return text(
        f"function weight_of_classes_{name}({header}) -> (S) {{ I = index(P, {axis}); "
        f"S[] = +({test} ? {one} : 0); }}"
    )
