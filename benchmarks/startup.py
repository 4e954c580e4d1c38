"""Times what a user waits for: import, the first compilation, the disk cache, one small call.

    python -m benchmarks.startup              # print a table
    python -m benchmarks.startup --runs 21    # more fresh processes for each figure
    python -m benchmarks.startup --json

Import, compilation and cache are measured in fresh processes, each with the files of Python and of
tilec in the system's cache, as they are when a program is started for the second time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass

IMPORT = """
import time
start = time.perf_counter()
import tilec
print(time.perf_counter() - start)
"""

# From the text to a function that was called once: parse, check, lower, LLVM, load.
FIRST_CALL = """
import time
import numpy as np
import tilec
a, b = np.ones((64, 64), np.float32), np.ones((64, 64), np.float32)
start = time.perf_counter()
f = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
c = f(a, b)
print(time.perf_counter() - start)
assert c[0, 0] == 64
"""

# The same where the compiler's libraries are loaded: a second, different kernel.
SECOND_KERNEL = """
import time
import numpy as np
import tilec
a, b = np.ones((64, 64), np.float32), np.ones((64, 64), np.float32)
tilec.function("C[i] = >(A[i, k])")(a)
start = time.perf_counter()
f = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
c = f(a, b)
print(time.perf_counter() - start)
assert c[0, 0] == 64
"""

CALL = """
import timeit
import numpy as np
import tilec
a, b = np.ones((8, 8), np.float32), np.ones((8, 8), np.float32)
f = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
f(a, b)
print(min(timeit.repeat(lambda: f(a, b), number=10_000, repeat=7)) / 10_000)
"""

BARE_NUMPY = """
import timeit
import numpy as np
a, b = np.ones((8, 8), np.float32), np.ones((8, 8), np.float32)
print(min(timeit.repeat(lambda: a @ b, number=10_000, repeat=7)) / 10_000)
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table; times in seconds, ``target`` is None where none is set."""

    name: str
    median: float
    best: float
    worst: float
    target: float | None


def run(script: str, cache: str) -> float:
    """What a script prints, in a fresh process that uses this disk cache."""
    # Python keeps its own compiled files, as it does for any user.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "TILEC_CACHE": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        sys.exit(f"a measured process failed:\n{finished.stderr}")
    return float(finished.stdout)


def measure(name: str, script: str, cache: str, runs: int, target: float | None) -> Figure:
    """Median and extremes over fresh processes; one goes first that does not count."""
    times = [run(script, cache) for _ in range(runs + 1)][1:]
    return Figure(name, statistics.median(times), min(times), max(times), target)


def figures(runs: int) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        cache = os.path.join(folder, "cache")
        return [
            measure("import tilec", IMPORT, cache, runs, 0.3),
            measure("first kernel of a process, compiled", FIRST_CALL, "off", runs, None),
            measure("one small kernel, compiled", SECOND_KERNEL, "off", runs, 0.1),
            measure("one small kernel, from the disk cache", FIRST_CALL, cache, runs, 0.01),
            measure("one call on 8x8 arrays", CALL, cache, min(runs, 3), 10e-6),
            measure("  NumPy's a @ b on them", BARE_NUMPY, cache, min(runs, 3), None),
        ]


def text(seconds: float | None) -> str:
    """A time in a unit that suits it."""
    if seconds is None:
        return ""
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Times to import, compile and call.")
    parser.add_argument("--runs", type=int, default=9, help="fresh processes for each figure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = figures(options.runs)
    if options.json:
        print(json.dumps([asdict(figure) for figure in found], indent=2))
        return
    print(f"{'':40}{'median':>10}{'best':>10}{'worst':>10}{'target':>10}")
    for each in found:
        row = [text(each.median), text(each.best), text(each.worst), text(each.target)]
        missed = each.target is not None and each.median > each.target
        print(f"{each.name:40}{''.join(f'{cell:>10}' for cell in row)}{'  missed' * missed}")


if __name__ == "__main__":
    main()
