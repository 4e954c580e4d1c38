"""Random numbers: a state goes in with each call, and the state to go on with comes out.

The generator is that of the language: 2048 Tausworthe streams of three words. ``random_bits`` is
another one, without a state: each number is a function of a key and of its own position.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import pi, prod
from operator import index
from typing import Final, cast

import numpy as np

from tilec.ops.elementwise import less
from tilec.ops.shapes import reshape
from tilec.ops.texts import listed, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, apply, tensor

_STREAMS: Final = 2048
_LEAST: Final = np.array([[2], [8], [16]], np.uint32)
"""Smaller seeds of the three words would lose their period."""


@public
def random_state(seed: int) -> Tensor:
    """The state that belongs to a seed: ``u32[3, 2048]``. Equal seeds give equal numbers."""
    words = np.random.SeedSequence(seed).generate_state(3 * _STREAMS).astype(np.uint32)
    return tensor(np.maximum(words.reshape(3, _STREAMS), _LEAST), name="state")


_ROTATIONS: Final = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY: Final = 0x1BD11BDA


@cache
def _threefry(count: int) -> Function:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011): the position is what it enciphers."""
    rounds: list[str] = []
    for turn in range(20):
        bits = _ROTATIONS[turn % 8]
        rounds.append(
            f"A{turn + 1} = A{turn} + B{turn}; "
            f"B{turn}r = (B{turn} << {bits}) | (B{turn} >> {32 - bits}); "
            f"B{turn}x = B{turn}r ^ A{turn + 1};"
        )
        if turn % 4 < 3:
            rounds.append(f"B{turn + 1} = B{turn}x;")
            continue
        step = turn // 4 + 1
        rounds[-1] = rounds[-1].replace(f"A{turn + 1}", f"A{turn}s")
        rounds.append(
            f"A{turn + 1} = A{turn}s + K{step % 3}; "
            f"B{turn + 1} = B{turn}x + (K{(step + 1) % 3} + as_uint({step}, 32));"
        )
    return text(
        f"function threefry(K[2]: u32) -> (A20, B20) {{ "
        f"K0[] = =(K[0]); K1[] = =(K[1]); K2 = K0 ^ K1 ^ as_uint({_PARITY}, 32); "
        f"Z[i : {count}] = =(0); A0 = as_uint(index(Z, 0), 32) + K0; B0 = K1; {' '.join(rounds)} }}"
    )


@public
def random_bits(key: Operand, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Two tensors of ``u32`` numbers of a ``u32[2]`` key: equal keys give equal numbers.

    What is drawn with one key is drawn once; for other numbers the key changes, in any way.
    """
    sizes = tuple(map(index, shape))
    first, second = _drawn(_threefry(prod(sizes)), key)
    return reshape(first, sizes), reshape(second, sizes)


def _drawn(function: Function, *operands: Operand) -> tuple[Tensor, Tensor]:
    return cast("tuple[Tensor, Tensor]", apply(function, *operands))


def _following(step: str, values: str, shape: tuple[int, ...]) -> str:
    """The next state T. It reads a value, which is never negative: a step whose values nobody reads
    leaves the state as it is, and then numbers that are computed later would be the same again.
    """
    if 0 in shape:
        return f"T = prng_state({step});"
    first = listed(["0"] * len(shape))
    return f"W = {values}; F[] = =(W[{first}]); T = prng_state({step}) + (F < 0 ? 1 : 0);"


@cache
def _uniform(shape: tuple[int, ...]) -> Function:
    step = listed(("S", *shape))
    return text(
        f"function uniform_numbers(S[3, 2048]: u32, L, H) -> (R, T) {{ P = prng_step({step}); "
        f"V = prng_value(P); R = L + (H - L) * V; {_following('P', 'V', shape)} }}"
    )


@public
def uniform(
    state: Operand, shape: Sequence[int], low: Operand = 0.0, high: Operand = 1.0
) -> tuple[Tensor, Tensor]:
    """f32 numbers from ``low`` up to ``high``, each as likely, and the next state."""
    return _drawn(_uniform(tuple(map(index, shape))), state, low, high)


@cache
def _normal(shape: tuple[int, ...]) -> Function:
    # Box and Muller 1958; 1 - u lies in (0, 1], where the logarithm is finite.
    step = listed(("S", *shape))
    return text(
        f"function normal_numbers(S[3, 2048]: u32, M, D) -> (R, T) {{ P = prng_step({step}); "
        f"N = prng_state(P); Q = prng_step({step.replace('S', 'N', 1)}); "
        f"U = prng_value(P); V = prng_value(Q); Z = sqrt(-2 * log(1 - U)) * cos({2 * pi} * V); "
        f"R = M + D * Z; {_following('Q', 'U + V', shape)} }}"
    )


@public
def normal(
    state: Operand, shape: Sequence[int], mean: Operand = 0.0, deviation: Operand = 1.0
) -> tuple[Tensor, Tensor]:
    """f32 numbers of a normal distribution, and the next state."""
    return _drawn(_normal(tuple(map(index, shape))), state, mean, deviation)


@public
def bernoulli(state: Operand, probability: Operand) -> tuple[Tensor, Tensor]:
    """True with the probability that stands at each place, and the next state."""
    chances = tensor(probability)
    numbers, following = uniform(state, chances.shape)
    return less(numbers, chances), following
