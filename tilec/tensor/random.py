"""The random generator of the language: 2048 streams of three Tausworthe words each.

The recurrence and the order of streams are those of PlaidML's Tile (L'Ecuyer 1996 for the method,
with other shifts). A value is ``(s1 ^ s2 ^ s3) / 2**32`` as f32; what would round up to 1 is the
largest f32 below 1, so that values are in [0, 1) as promised.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

STREAMS: Final = 2048
"""Element ``e`` comes from stream ``e % STREAMS``."""

# Mask of the low bits that a word drops, and its shifts: out, in, and back.
_WORDS: Final = ((1, 12, 13, 19), (7, 4, 2, 25), (15, 17, 3, 11))
_BELOW_ONE: Final = np.float32(1.0 - 2.0**-24)


def step(state: Array) -> Array:
    """Every stream of a u32[3, n] state, one step on."""
    words: list[Array] = []
    for word, (mask, left, inner, right) in zip(state, _WORDS, strict=True):
        kept = (word & ~np.uint32(mask)) << np.uint32(left)
        words.append(kept ^ (((word << np.uint32(inner)) ^ word) >> np.uint32(right)))
    return np.stack(words)


def values(state: Array, count: int) -> Array:
    """The first ``count`` f32 uniforms that come from a state."""
    rounds = -(-count // STREAMS)
    result = np.empty(rounds * STREAMS, np.float32)
    for number in range(rounds):
        state = step(state)
        bits = state[0] ^ state[1] ^ state[2]
        drawn = np.minimum(bits.astype(np.float32) / np.float32(2.0**32), _BELOW_ONE)
        result[number * STREAMS : (number + 1) * STREAMS] = drawn
    return result[:count]


def advance(state: Array, count: int) -> Array:
    """The state after ``count`` values: streams that gave one more have made one more step."""
    whole, rest = divmod(count, STREAMS)
    for _ in range(whole):
        state = step(state)
    return np.concatenate((step(state[:, :rest]), state[:, rest:]), axis=1)
