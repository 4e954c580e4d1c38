"""Largest error and speed of each elementary function.

    python benchmarks/math_accuracy.py                    # sampled errors and speed, all functions
    python benchmarks/math_accuracy.py --exhaustive exp   # every f32 (minutes per function)
    python benchmarks/math_accuracy.py --f64 exp erf      # only f64, against mpmath

An error is in units of the last place of the exact result: 0.5 is correct rounding. f32 is judged
by NumPy's and SciPy's f64 functions, f64 by mpmath. Times are the best of several passes over
arrays that fit in the second-level cache, on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.special

from tilec_llvm.math import FUNCTIONS
from tilec_llvm.math.judge import error_f64, errors_f32, exact, in_f64, numpy_function
from tilec_llvm.math.probe import apply, compile_probe

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


def every_f32() -> Iterator[Array]:
    """All floats, in chunks."""
    for start in range(0, 1 << 32, CHUNK):
        yield np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)


def judge(op: str, *operands: Array) -> Array:
    """As ``in_f64``, but SciPy's erf, which is faster than the C library's."""
    if op == "erf":
        return special.erf(operands[0].astype(np.float64))
    return in_f64(op, *operands)


def worst_f32(op: str, chunks: Iterator[tuple[Array, ...]]) -> tuple[float, tuple[float, ...]]:
    """Largest error over the chunks and the operands where it is."""
    run = compile_probe(op, "f32", LANES["f32"])
    worst, where = -1.0, (0.0,)
    for operands in chunks:
        result = np.empty_like(operands[0])
        run(*operands, result)
        errors = errors_f32(result, judge(op, *operands))
        position = int(np.argmax(errors))
        if errors[position] > worst:
            worst = float(errors[position])
            where = tuple(float(item[position]) for item in operands)
    return worst, where


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
    for _ in range(60):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return 1e9 * float(best) / size


def speed(op: str, dtype: str) -> tuple[float, float]:
    """Nanoseconds per element of this function and of NumPy's or SciPy's."""
    low, high = RANGES.get(op, (-4.0, 4.0))
    random = np.random.default_rng(1)
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    operands = [random.uniform(low, high, 1 << 13).astype(kind) for _ in range(FUNCTIONS[op][0])]
    output = np.empty_like(operands[0])
    own = nanoseconds(compile_probe(op, dtype, LANES[dtype]).bind(*operands, output), output.size)
    other = special.erf if op == "erf" else numpy_function(op)
    with np.errstate(all="ignore"):
        return own, nanoseconds(lambda: other(*operands), output.size)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ops", nargs="*")
    parser.add_argument("--exhaustive", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--f64", action="store_true")
    arguments = parser.parse_args()
    for op in arguments.ops or FUNCTIONS:
        if arguments.exhaustive:
            worst, where = worst_f32(op, ((chunk,) for chunk in every_f32()))
            print(f"{op:8} f32 {worst:8.4f} at {where}", flush=True)
        if arguments.f64:
            worst, where = worst_f64(op, samples(op, 1 << 16))
            print(f"{op:8} f64 {worst:8.4f} at {where}", flush=True)
        if arguments.speed:
            for dtype in LANES:
                own, other = speed(op, dtype)
                print(f"{op:8} {dtype} {own:7.3f} ns, NumPy {other:7.3f} ns", flush=True)


if __name__ == "__main__":
    main()
