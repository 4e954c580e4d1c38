"""Connectionist temporal classification: the loss, and the labels that are most probable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import exp, inf, log
from typing import Final, TypeAlias

import numpy as np

import tilec
from keras_tilec.src.convert import convert, node, on_host, promote, wrap
from keras_tilec.src.tensor import Array, Tensor
from tilec import ops

_STRATEGIES: Final = ("greedy", "beam_search")

_Labels: TypeAlias = "tuple[int, ...]"


def ctc_loss(
    target: object,
    output: object,
    target_length: object,
    output_length: object,
    mask_index: int = 0,
) -> Tensor:
    (said,) = promote(output, like=("float32",))
    return wrap(
        ops.ctc_loss(
            ops.transpose(said, (1, 0, 2)),
            node(target, "int32"),
            logit_lengths=node(output_length, "int32"),
            label_lengths=node(target_length, "int32"),
            blank=mask_index % said.shape[2],
            reduction="none",
        )
    )


def ctc_decode(
    inputs: object,
    sequence_lengths: object,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[Tensor, Tensor]:
    if strategy not in _STRATEGIES:
        raise ValueError(
            f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'."
        )
    (scores,) = promote(inputs, like=("float32",))
    lengths = node(sequence_lengths, "int32")
    blank = scores.shape[2] - 1 if mask_index is None else mask_index % scores.shape[2]
    if strategy == "greedy":
        return _greedy(scores, lengths, blank, merge_repeated)
    known, spent = on_host("ctc_decode", wrap(scores), wrap(lengths), instead="decode greedily")
    return _beams(known, spent, blank, beam_width, top_paths)


def _greedy(
    scores: tilec.Tensor, lengths: tilec.Tensor, blank: int, merge_repeated: bool
) -> tuple[Tensor, Tensor]:
    """The best class of each step; the score is minus the sum of their logits."""
    steps = scores.shape[1]
    places = ops.expand_dims(ops.arange(steps, dtype="i32"), 0)
    is_over = ops.greater_equal(places, ops.expand_dims(lengths, 1))
    best = ops.where(is_over, blank, ops.cast(ops.argmax(scores, 2), "i32"))
    is_blank = ops.equal(best, blank)
    if merge_repeated and steps > 1:
        again = ops.pad(ops.cast(ops.equal(best[:, 1:], best[:, :-1]), "i32"), ((0, 0), (1, 0)))
        is_blank = ops.logical_or(is_blank, again)
    # Labels keep their order, and blanks go behind them.
    order = ops.argsort(ops.where(is_blank, steps, places), 1)
    labels = ops.take_along_axis(ops.where(is_blank, -1, best), order, 1)
    sums = ops.sum(ops.where(is_over, ops.zeros((), scores.dtype), ops.max(scores, 2)), 1)
    return wrap(ops.expand_dims(labels, 0)), wrap(ops.expand_dims(-sums, 1))


def _beams(
    scores: Array, lengths: Array, blank: int, width: int, count: int
) -> tuple[Tensor, Tensor]:
    """The most probable labels, and the logarithms of their probabilities."""
    batch, steps, _ = scores.shape
    labels = np.full((count, batch, steps), -1, np.int32)
    found = np.full((batch, count), -inf, scores.dtype)
    for row in range(batch):
        logits = scores[row, : int(lengths[row])].astype(np.float64)
        beams = _beams_of(logits, blank, width)[:count]
        for place, (path, score) in enumerate(beams):
            labels[place, row, : len(path)] = path
            found[row, place] = score
    return convert(labels), convert(found)


def _beams_of(logits: Array, blank: int, width: int) -> Sequence[tuple[_Labels, float]]:
    """Prefix beam search (Hannun et al. 2014).

    Each prefix has two logarithms: of its paths that end with the blank, and of the others, to
    which a repeated label adds nothing.
    """
    beams: dict[_Labels, tuple[float, float]] = {(): (0.0, -inf)}
    for row in logits:
        shifted = row - row.max()
        emitted = (shifted - np.log(np.exp(shifted).sum())).tolist()
        grown: dict[_Labels, list[float]] = defaultdict(lambda: [-inf, -inf])
        for prefix, (silent, spoken) in beams.items():
            both = _added(silent, spoken)
            for label, score in enumerate(emitted):
                if label == blank:
                    _join(grown[prefix], 0, both + score)
                elif prefix and prefix[-1] == label:
                    _join(grown[prefix], 1, spoken + score)
                    _join(grown[(*prefix, label)], 1, silent + score)
                else:
                    _join(grown[(*prefix, label)], 1, both + score)
        best = sorted(grown.items(), key=lambda each: -_added(*each[1]))[:width]
        beams = {prefix: (silent, spoken) for prefix, (silent, spoken) in best}
    return [(prefix, _added(*each)) for prefix, each in beams.items()]


def _join(sums: list[float], at: int, score: float) -> None:
    sums[at] = _added(sums[at], score)


def _added(one: float, two: float) -> float:
    """The logarithm of the sum of two numbers given by theirs."""
    large, small = max(one, two), min(one, two)
    return large if small == -inf else large + log(1 + exp(small - large))
