"""What a parallel region costs that does nothing.

    python -m benchmarks.fork_join [--threads N] [--json]

"empty" regions have bodies that return at once: the caller mostly takes the ranges back before a
worker has begun. In "together" regions every range waits for all others, so that each thread has
taken part and handed back its result: the cost of fork and join. Warm workers look for work, those
of "after sleep" were asleep and are woken. Medians, with the fastest and the 90th percentile. On a
machine whose cores are busy, "together" shows how long threads wait for a core.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from tilec.target.cores import usable_cores
from tilec_llvm.jit import load_forever
from tilec_llvm.pool import default_threads, pool
from tilec_llvm.target import Compiler, host

REPEATS: Final = 200
WARM_UP: Final = 10
REGIONS: Final = 50
SLEEP: Final = 0.002

# Context: how many ranges have begun, and how many must have before one may end.
TEXT: Final = """
define void @empty(ptr %context, i64 %begin, i64 %end, i32 %worker) {
  ret void
}

define void @together(ptr %context, i64 %begin, i64 %end, i32 %worker) {
  %all.at = getelementptr i64, ptr %context, i64 16
  %all = load i64, ptr %all.at, align 8
  %begun = atomicrmw add ptr %context, i64 1 acq_rel, align 8
  br label %wait
wait:
  %now = load atomic i64, ptr %context acquire, align 8
  %complete = icmp sge i64 %now, %all
  br i1 %complete, label %done, label %wait
done:
  ret void
}

define void @drive(ptr %parallel, ptr %body, ptr %context, i64 %regions, i32 %threads) {
entry:
  %iterations = zext i32 %threads to i64
  %all.at = getelementptr i64, ptr %context, i64 16
  br label %region
region:
  %n = phi i64 [ 0, %entry ], [ %next, %region ]
  store atomic i64 0, ptr %context release, align 8
  store i64 %iterations, ptr %all.at, align 8
  call void %parallel(ptr %body, ptr %context, i64 %iterations, i32 %threads)
  %next = add i64 %n, 1
  %more = icmp slt i64 %next, %regions
  br i1 %more, label %region, label %done
done:
  ret void
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=max(2, default_threads()))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, list[float]] = {}
    enter = driver()
    results["1 thread, empty"] = times(lambda: enter("empty", 1, REGIONS), REGIONS)
    for threads in sorted({2, options.threads}):
        # Threads that share a core cannot be at work together.
        bodies = ("empty", "together") if threads <= usable_cores() else ("empty",)
        for body in bodies:
            warm = partial(enter, body, threads, REGIONS)
            results[f"{threads} threads, {body}"] = times(warm, REGIONS)
        for body in bodies:
            cold = times(partial(enter, body, threads, 1), 1, sleep=SLEEP)
            results[f"{threads} threads, {body}, after sleep"] = cold
    rows = {name: spread(measured) for name, measured in results.items()}
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'microseconds per region':36}{'median':>9}{'fastest':>9}{'90 %':>9}")
    for name, row in rows.items():
        print(f"{name:36}{row['median']:9.3f}{row['fastest']:9.3f}{row['p90']:9.3f}")


def driver() -> Callable[[str, int, int], None]:
    """Enters regions of a body with so many threads, so many times."""
    symbols = load_forever(Compiler(host()).object_code(TEXT), ("empty", "together", "drive"))
    context = ctypes.create_string_buffer(1024)
    at = -(-ctypes.addressof(context) // 128) * 128
    arguments = [*([ctypes.c_void_p] * 3), ctypes.c_int64, ctypes.c_int32]
    drive = cast("Callable[..., None]", ctypes.CFUNCTYPE(None, *arguments)(symbols["drive"]))
    parallel = pool().parallel

    def enter(body: str, threads: int, regions: int) -> None:
        drive(parallel, symbols[body], at, regions, threads)
        assert context  # stays alive as long as it is used

    return enter


def times(work: Callable[[], object], regions: int, sleep: float = 0.0) -> list[float]:
    """Microseconds per region, of many runs; the first few warm up."""
    found: list[float] = []
    for turn in range(REPEATS + WARM_UP):
        if sleep:
            time.sleep(sleep)
        begin = time.perf_counter_ns()
        work()
        if turn >= WARM_UP:
            found.append((time.perf_counter_ns() - begin) / regions / 1000)
    return found


def spread(measured: list[float]) -> dict[str, float]:
    """Median and range of some times."""
    ordered = sorted(measured)
    return {
        "median": statistics.median(ordered),
        "fastest": ordered[0],
        "p90": ordered[len(ordered) * 9 // 10],
    }


if __name__ == "__main__":
    main()
