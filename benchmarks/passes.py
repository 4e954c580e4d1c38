"""What each pass is worth: programs with it and without it.

    python -m benchmarks.passes [--json] [--quick]

Each pass has a program that it is made for, and is switched off alone. Also: how far the mean of
10^8 f32 values is from the exact one. Medians; the two codes of a program take turns.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import tilec
from tilec.bench.measure import QUICK, Plan, measure, timed

DENSE: Final = """function (A[M, K], B[K, N], V[N]) -> (R) {
  C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C + V); }"""
SHIFT: Final = """function (X[N]) -> (D) {
  B = X * 2 + 1; C = max(B, X) - 3; D = C * C + B; }"""
MEAN: Final = "function (A[N, M]) -> (S) { T[] = +(A[i, j]); S = T / as_float(N * M, 64); }"


@dataclass(frozen=True, slots=True)
class Row:
    """A program on which a pass shows.

    Attributes:
        passes: What is switched off.
        what: The program in words.
        text: The program.
        shapes: Of its inputs, which are f32.
        bound: Inputs that are bound.
    """

    passes: str
    what: str
    text: str
    shapes: dict[str, tuple[int, ...]]
    bound: tuple[str, ...] = ()


ROWS: Final = (
    Row("inline", "four elementwise steps, 2^22 values", SHIFT, {"X": (1 << 22,)}),
    Row(
        "fuse",
        "product 1024 x 64 x 1024, bias, ReLU",
        DENSE,
        {"A": (1024, 64), "B": (64, 1024), "V": (1024,)},
    ),
    Row(
        "pack-ahead",
        "product 32 x 1024 x 1024, weights bound",
        "C[i, j : M, N] = +(A[i, k] * B[k, j])",
        {"A": (32, 1024), "B": (1024, 1024)},
        ("B",),
    ),
    Row(
        "merge",
        "sum of two arrays of 40000 x 3 x 3",
        "C = A + B",
        {"A": (40_000, 3, 3)} | {"B": (40_000, 3, 3)},
    ),
    Row(
        "tile",
        "product 512 x 512 x 512",
        "C[i, j : M, N] = +(A[i, k] * B[k, j])",
        {"A": (512, 512), "B": (512, 512)},
    ),
    Row(
        "thread",
        "product 512 x 512 x 512",
        "C[i, j : M, N] = +(A[i, k] * B[k, j])",
        {"A": (512, 512), "B": (512, 512)},
    ),
    Row("thread", "sum of 2^22 values (split)", "S[] = +(A[i])", {"A": (1 << 22,)}),
    Row("vectorise", "exp of 2^18 values", "C = exp(A)", {"A": (1 << 18,)}),
    Row(
        "vectorise",
        "sums of rows, 500 x 1001",
        "S[i : M] = +(A[i, j])",
        {"A": (500, 1001)},
    ),
)


@dataclass(frozen=True, slots=True)
class Worth:
    """Seconds of one program with a pass and without it."""

    row: Row
    with_pass: float
    without: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    options = parser.parse_args()
    plan = QUICK if options.quick else Plan()
    found = [worth(row, plan) for row in ROWS]
    errors = mean_errors()
    if options.json:
        facts = [
            {"pass": w.row.passes, "program": w.row.what, "with": w.with_pass, "without": w.without}
            for w in found
        ]
        print(json.dumps({"passes": facts, "mean_of_1e8": errors}, indent=2))
        return
    print(f"{'pass':<11} {'program':<40} {'with, µs':>10} {'without':>10} {'ratio':>6}")
    for w in found:
        ratio = w.without / w.with_pass
        times = f"{w.with_pass * 1e6:>10.1f} {w.without * 1e6:>10.1f}"
        print(f"{w.row.passes:<11} {w.row.what:<40} {times} {ratio:>6.2f}")
    for name, error in errors.items():
        print(f"mean of 10^8 values, {name}: relative error {error:.1e}")


def worth(row: Row, plan: Plan) -> Worth:
    random = np.random.default_rng(0)
    arrays = {name: random.random(shape, np.float32) for name, shape in row.shapes.items()}
    bound = {name: arrays[name] for name in row.bound}
    function = tilec.function(row.text)
    function = function.bind(**bound) if bound else function
    passed = [array for name, array in arrays.items() if name not in bound]
    contenders: dict[str, Any] = {}
    for name, disable in (("with", ()), ("without", (row.passes,))):
        compiled = function.compile(*passed, options=tilec.Options(disable=disable))
        out = compiled(*passed)
        contenders[name] = timed(partial(compiled, *passed, out=out))
    times = measure(contenders, plan)
    return Worth(row, times["with"].median, times["without"].median)


def mean_errors() -> dict[str, float]:
    """Relative errors of the mean of 10^8 values, which a small buffer repeated stands for."""
    row: NDArray[np.float32] = np.random.default_rng(0).random(10_000, np.float32)
    inputs: dict[str, NDArray[np.float32]] = {
        "uniform in [0, 1)": row,
        "all 0.1": np.full(10_000, np.float32(0.1)),
    }
    mean = tilec.function(MEAN)
    errors: dict[str, float] = {}
    for name, values in inputs.items():
        exact = float(values.astype(np.float64).mean())
        found = float(mean(np.broadcast_to(values, (10_000, 10_000))))
        errors[name] = abs(found - exact) / exact
    return errors


if __name__ == "__main__":
    main()
