"""``keras.random`` on tilec: every draw is a function of its seed, which is a tensor.

A seed gives ``[2]`` words (``uint32``), and each element of a draw is a function of these and of
its own position. A compiled step therefore draws other numbers whenever its seed has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, pi, sqrt
from typing import Final

import numpy as np

import tilec
from keras_tilec.src.convert import as_float, convert, node, on_host, wrap
from keras_tilec.src.dtypes import tile_name
from keras_tilec.src.host import SeedGenerator, draw_seed, floatx, make_default_seed
from keras_tilec.src.tensor import Tensor
from tilec import ops

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "draw_seed",
    "dropout",
    "gamma",
    "make_default_seed",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]

_DIGITS: Final = {"f16": 11, "bf16": 8}
"""Binary digits of the narrow floats; the others get 24."""


def _bits(shape: Sequence[int], seed: object) -> tuple[tilec.Tensor, tilec.Tensor]:
    return ops.random_bits(draw_seed(seed).node, tuple(map(int, shape)))


def _fractions(bits: tilec.Tensor, digits: int = 24) -> tilec.Tensor:
    """f32 numbers from 0 up to 1, which does not occur."""
    shift = ops.cast(tilec.tensor(32 - digits), "u32")
    return ops.cast(ops.right_shift(bits, shift), "f32") * 2.0**-digits


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: object = None,
    seed: object = None,
) -> Tensor:
    kind = tile_name(dtype)
    drawn = _fractions(_bits(shape, seed)[0], _DIGITS.get(kind, 24))
    low, high = node(minval, "float32"), node(maxval, "float32")
    return wrap(ops.cast(low + drawn * (high - low), kind))


def _normal(first: tilec.Tensor, second: tilec.Tensor) -> tilec.Tensor:
    # Box and Muller 1958; 1 - u lies in (0, 1], where the logarithm is finite.
    radius = ops.sqrt(ops.log(1 - _fractions(first)) * -2.0)
    return radius * ops.cos(_fractions(second) * (2 * pi))


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: object = None,
    seed: object = None,
) -> Tensor:
    found = _normal(*_bits(shape, seed)) * node(stddev, "float32") + node(mean, "float32")
    return wrap(ops.cast(found, tile_name(dtype)))


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: object = None,
    seed: object = None,
) -> Tensor:
    """Numbers of a normal distribution that lie within two deviations: by its inverse."""
    inside = erf(2 / sqrt(2))
    drawn = _fractions(_bits(shape, seed)[0]) * (2 * inside) - inside
    bound = ops.clip(ops.erfinv(drawn) * sqrt(2), -2.0, 2.0)
    found = bound * node(stddev, "float32") + node(mean, "float32")
    return wrap(ops.cast(found, tile_name(dtype)))


def randint(
    shape: Sequence[int],
    minval: int,
    maxval: int,
    dtype: object = "int32",
    seed: object = None,
) -> Tensor:
    low = node(minval, "int32")
    span = ops.cast(node(maxval, "int32") - low, "u32")
    drawn = ops.cast(ops.remainder(_bits(shape, seed)[0], span), "i32")
    return wrap(ops.cast(low + drawn, tile_name(dtype)))


def categorical(
    logits: object, num_samples: int, dtype: object = "int32", seed: object = None
) -> Tensor:
    """The largest of logits to which noise of Gumbel is added is as likely as its probability."""
    found = ops.cast(as_float(logits), "f32")
    rows, classes = found.shape
    drawn = _fractions(_bits((rows, num_samples, classes), seed)[0])
    noise = ops.negative(ops.log(ops.negative(ops.log(drawn + 2.0**-25))))
    places = ops.argmax(ops.expand_dims(found, 1) + noise, -1)
    return wrap(ops.cast(places, tile_name(dtype)))


def dropout(
    inputs: object,
    rate: float,
    noise_shape: Sequence[int | None] | None = None,
    seed: object = None,
) -> Tensor:
    found = as_float(inputs)
    if rate == 0:
        return wrap(found)
    if rate == 1:
        return wrap(ops.zeros(found.shape, found.dtype))
    sizes = noise_shape or (None,) * found.ndim
    shape = [own if given is None else given for own, given in zip(found.shape, sizes, strict=True)]
    is_kept = ops.greater_equal(_fractions(_bits(shape, seed)[0]), node(rate, "float32"))
    grown = ops.multiply(found, 1 / (1 - rate))
    return wrap(ops.where(is_kept, grown, ops.zeros((), found.dtype)))


def shuffle(x: object, axis: int = 0, seed: object = None) -> Tensor:
    """The order of random numbers."""
    found = node(x)
    drawn = _fractions(_bits((found.shape[axis],), seed)[0])
    return wrap(ops.take(found, ops.argsort(drawn), axis))


_ROUNDS: Final = 8
"""Candidates for each number of a gamma distribution; all are refused once in 3e10 times."""


def _gamma_logs(shape: Sequence[int], alpha: tilec.Tensor, seed: object) -> tilec.Tensor:
    """Logarithms of numbers of a gamma distribution (Marsaglia and Tsang 2000).

    Their candidates are ``d * v`` for a cube ``v`` of a normal number. Below 1, ``alpha`` is
    raised by 1, and the results are multiplied by a power of a uniform number.
    """
    first, second = _bits((2, _ROUNDS, *shape), seed)
    is_low = ops.less(alpha, 1.0)
    d = ops.where(is_low, alpha + 1, alpha) - 1 / 3
    x = _normal(first[0], second[0])
    base = 1 + x / ops.sqrt(9 * d)
    log_v = 3 * ops.log(ops.maximum(base, 1e-30))
    bound = 0.5 * x * x + d - d * ops.exp(log_v) + d * log_v
    is_taken = ops.logical_and(base > 0, ops.log(1 - _fractions(first[1])) < bound)
    found = ops.zeros(tuple(shape), "f32")
    for each in reversed(range(_ROUNDS)):
        found = ops.where(is_taken[each], log_v[each], found)
    power = ops.log(1 - _fractions(second[1, 0])) / alpha
    return found + ops.log(d) + ops.where(is_low, power, 0.0)


def gamma(shape: Sequence[int], alpha: object, dtype: object = None, seed: object = None) -> Tensor:
    logs = _gamma_logs([*map(int, shape)], node(alpha, "float32"), seed)
    return wrap(ops.cast(ops.exp(logs), tile_name(dtype)))


def binomial(
    shape: Sequence[int],
    counts: object,
    probabilities: object,
    dtype: object = None,
    seed: object = None,
) -> Tensor:
    trials, chances = on_host("random.binomial", counts, probabilities)
    (words,) = on_host("random.binomial", draw_seed(seed))
    drawn = np.random.default_rng([int(word) for word in words]).binomial(
        trials.astype(np.int64), chances, size=tuple(shape)
    )
    return convert(drawn, dtype or floatx())


def beta(
    shape: Sequence[int], alpha: object, beta: object, dtype: object = None, seed: object = None
) -> Tensor:
    """The share that one number of a gamma distribution has in two of them."""
    sizes = [*map(int, shape)]
    forms = [ops.broadcast_to(node(each, "float32"), sizes) for each in (alpha, beta)]
    logs = _gamma_logs((2, *sizes), ops.stack(forms, 0), seed)
    return wrap(ops.cast(ops.sigmoid(logs[0] - logs[1]), tile_name(dtype)))
