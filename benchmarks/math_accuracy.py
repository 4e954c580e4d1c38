"""Largest error and speed of each elementary function.

    python benchmarks/math_accuracy.py exp        # sampled errors and speed; all without names
    python benchmarks/math_accuracy.py --every    # every f32, and 2**30 pairs: minutes

Errors are in units of the last place of the exact result: 0.5 is correct rounding. f64 is judged by
mpmath, f32 by the f64 functions, in native code. Times are the best of many passes over arrays that
fit in the second-level cache, on one thread, with one and with four full vectors per call.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.special
from math_judge import error_f64, exact, numpy_function
from math_probe import apply, compile_definition, compile_probe

from tilec.kernel.elementary.values import Value, magnitude, select
from tilec_llvm.math import FUNCTIONS, float_type
from tilec_llvm.math.builder import define

Array = npt.NDArray[Any]
CHUNK: Final = 1 << 15
LANES: Final = {"f32": 16, "f64": 8}
RANGES: Final = {
    "log": (0.01, 100.0),
    "pow": (0.1, 10.0),
    "asin": (-1.0, 1.0),
    "acos": (-1.0, 1.0),
    "acosh": (1.0, 100.0),
    "atanh": (-1.0, 1.0),
}

special: Any = scipy.special


def error_formula(op: str) -> Callable[..., Value]:
    """The error of f32 results, in units of the last place of what the f64 formula gives.

    A wrong special value (NaN, infinity, the sign of a zero) has an infinite error.
    """
    formula = FUNCTIONS[op][1]

    def error(*operands: Value) -> Value:
        result = formula(*operands)
        exact = formula(*(operand.to_float(64) for operand in operands))
        exponent = exact.bits() & (0x7FF << 52)
        exponent = select(exponent < (1023 - 126) << 52, ((1023 - 126) << 52), exponent)
        inverse = (((2046 + 23) << 52) - exponent).as_float()
        found = magnitude(result.to_float(64) - exact) * inverse
        rounded = exact.to_float(32)
        same_sign = (result.bits() ^ rounded.bits()) >= 0
        same = (result.equals(rounded) & same_sign) | (result.is_nan() & rounded.is_nan())
        lost = result.equals(0) & rounded.differs(0) & same_sign
        special = ~(found < 1e9) | result.equals(0)
        return select(special & ~lost, select(same, found.of(0.0), float("inf")), found)

    return error


def worst_f32(op: str, chunks: Iterable[tuple[Array, ...]]) -> tuple[float, tuple[float, ...]]:
    """Largest error over the chunks and the operands where it is."""
    lanes = LANES["f32"]
    kinds, result = (float_type("f32", lanes),) * FUNCTIONS[op][0], float_type("f64", lanes)
    run = compile_definition(define(f"error.{op}", kinds, error_formula(op)), kinds, result)
    worst, where = -1.0, (0.0,)
    errors = np.empty(CHUNK)
    for operands in chunks:
        run(*operands, errors)
        position = int(np.argmax(errors))
        if errors[position] > worst:
            worst = float(errors[position])
            where = tuple(float(item[position]) for item in operands)
    return worst, where


def every_f32(stride: int) -> Iterator[tuple[Array, ...]]:
    """All floats, or every so many, in chunks."""
    for start in range(0, 1 << 32, CHUNK * stride):
        bits = np.arange(start, start + CHUNK * stride, stride, dtype=np.uint64)
        yield (bits.astype(np.uint32).view(np.float32),)


def pairs_f32(op: str, count: int) -> Iterator[tuple[Array, ...]]:
    """Operands of all magnitudes; those of pow give results of all magnitudes."""
    random = np.random.default_rng(29)
    for _ in range(0, count, CHUNK):
        x = random.integers(0, 1 << 31, CHUNK, dtype=np.uint32).view(np.float32)
        y = random.integers(0, 1 << 32, CHUNK, dtype=np.uint32).view(np.float32)
        if op == "pow":
            with np.errstate(all="ignore"):
                y = (random.uniform(-150, 129, CHUNK) / np.log2(x)).astype(np.float32)
        yield x, y


def samples(op: str, count: int) -> tuple[Array, ...]:
    """f64 operands: half over the usual range, half over all magnitudes and signs."""
    random = np.random.default_rng(7)
    low, high = RANGES.get(op, (-8.0, 8.0))
    operands: list[Array] = []
    for _ in range(FUNCTIONS[op][0]):
        near = random.uniform(low, high, count // 2)
        far = np.exp2(random.uniform(-40, 12, count // 2)) * random.choice([-1.0, 1.0], count // 2)
        operands.append(random.permutation(np.concatenate([near, far])))
    return tuple(operands)


def worst_f64(op: str, operands: tuple[Array, ...]) -> tuple[float, tuple[float, ...]]:
    """Largest error over f64 operands and where it is; mpmath must be defined there."""
    result = apply(op, *operands, lanes=LANES["f64"])
    worst, where = -1.0, (0.0,)
    for value, *inputs in zip(result.tolist(), *(item.tolist() for item in operands), strict=True):
        wanted = exact(op, *inputs)
        if wanted is not None and (error := error_f64(value, wanted)) > worst:
            worst, where = error, tuple(inputs)
    return worst, where


def nanoseconds(run: Callable[[], Any], size: int) -> float:
    """Best time per element."""
    best = np.inf
    for _ in range(200):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return 1e9 * float(best) / size


def speed(op: str, dtype: str) -> tuple[float, float, float]:
    """Nanoseconds per element with one and four vectors per call, and of NumPy or SciPy."""
    low, high = RANGES.get(op, (-4.0, 4.0))
    random = np.random.default_rng(1)
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    operands = [random.uniform(low, high, 1 << 13).astype(kind) for _ in range(FUNCTIONS[op][0])]
    output = np.empty_like(operands[0])
    one, four = (
        nanoseconds(compile_probe(op, dtype, lanes).bind(*operands, output), output.size)
        for lanes in (LANES[dtype], 4 * LANES[dtype])
    )
    other = special.erf if op == "erf" else numpy_function(op)
    with np.errstate(all="ignore"):
        return one, four, nanoseconds(lambda: other(*operands), output.size)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("ops", nargs="*", metavar="op")
    parser.add_argument("--every", action="store_true", help="every f32 instead of a sample")
    arguments = parser.parse_args()
    print("function  dtype  max ulp  1 vector  4 vectors   NumPy  worst operands")
    for op in arguments.ops or FUNCTIONS:
        for dtype in LANES:
            if dtype == "f64":
                worst, where = worst_f64(op, samples(op, 1 << 17))
            elif FUNCTIONS[op][0] == 1:
                worst, where = worst_f32(op, every_f32(1 if arguments.every else 499))
            else:
                worst, where = worst_f32(op, pairs_f32(op, 1 << (30 if arguments.every else 23)))
            times = "  ".join(f"{value:8.3f}" for value in speed(op, dtype))
            print(f"{op:8}  {dtype}  {worst:8.4f}  {times}  {where}", flush=True)


if __name__ == "__main__":
    main()
