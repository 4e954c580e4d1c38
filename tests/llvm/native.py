"""Native code around the pool: bodies of parallel regions, and loops that enter many of them.

Bodies written in Python would spend their time on the GIL; these race.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tilec_llvm.jit import load_forever
from tilec_llvm.pool import Pool
from tilec_llvm.target import Compiler, host

_TEXT = """
declare ptr @llvm.frameaddress.p0(i32)

; Some nanoseconds for every count.
define internal void @delay(i64 %count) noinline {
entry:
  %at = alloca i64, align 8
  store volatile i64 %count, ptr %at, align 8
  br label %again
again:
  %left = load volatile i64, ptr %at, align 8
  %next = sub i64 %left, 1
  store volatile i64 %next, ptr %at, align 8
  %more = icmp sgt i64 %next, 0
  br i1 %more, label %again, label %done
done:
  ret void
}

define internal i64 @hash(i64 %value) {
  %a = mul i64 %value, -7046029254386353131
  %b = lshr i64 %a, 32
  %c = xor i64 %a, %b
  %d = mul i64 %c, -4658895280553007687
  %e = lshr i64 %d, 33
  ret i64 %e
}

; Context: the number of a range for every iteration. Writes the worker's number there.
define void @mark(ptr %context, i64 %begin, i64 %end, i32 %worker) {
entry:
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %at = getelementptr i32, ptr %context, i64 %i
  %old = load i32, ptr %at, align 4
  %once = icmp eq i32 %old, -1
  %new = select i1 %once, i32 %worker, i32 -2
  store i32 %new, ptr %at, align 4
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Context: a seed, an address on the caller's stack, how many ranges ran on another stack, then a
; counter for every iteration. Dawdles and counts, without atomics.
define void @count(ptr %context, i64 %begin, i64 %end, i32 %worker) {
entry:
  %seed = load i64, ptr %context, align 8
  %stack.at = getelementptr i64, ptr %context, i64 1
  %stack = load i64, ptr %stack.at, align 8
  %frame = call ptr @llvm.frameaddress.p0(i32 0)
  %here = ptrtoint ptr %frame to i64
  %distance = sub i64 %stack, %here
  %shifted = add i64 %distance, 65536
  %elsewhere = icmp ugt i64 %shifted, 131072
  %one = zext i1 %elsewhere to i64
  %helped.at = getelementptr i64, ptr %context, i64 2
  %helped = atomicrmw add ptr %helped.at, i64 %one monotonic, align 8
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %mixed = add i64 %seed, %i
  %random = call i64 @hash(i64 %mixed)
  %short = and i64 %random, 63
  call void @delay(i64 %short)
  %slot = add i64 %i, 3
  %at = getelementptr i64, ptr %context, i64 %slot
  %old = load i64, ptr %at, align 8
  %new = add i64 %old, 1
  store i64 %new, ptr %at, align 8
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Regions of random size with random delays in and between them; the counts are looked at after
; each. Answers how many regions were wrong.
define i64 @hunt(ptr %parallel, ptr %context, i64 %regions, i64 %most, i64 %seed) {
entry:
  %frame = call ptr @llvm.frameaddress.p0(i32 0)
  %stack.at = getelementptr i64, ptr %context, i64 1
  store ptr %frame, ptr %stack.at, align 8
  %counters = getelementptr i64, ptr %context, i64 3
  br label %region
region:
  %r = phi i64 [ 0, %entry ], [ %r.next, %checked ]
  %wrong = phi i64 [ 0, %entry ], [ %wrong.next, %checked ]
  %mixed = add i64 %r, %seed
  %random = call i64 @hash(i64 %mixed)
  %size = urem i64 %random, 40
  %iterations = add i64 %size, 1
  %high = lshr i64 %random, 8
  %spread = urem i64 %high, %most
  %threads.wide = add i64 %spread, 1
  %threads = trunc i64 %threads.wide to i32
  store i64 %random, ptr %context, align 8
  br label %clear
clear:
  %c = phi i64 [ 0, %region ], [ %c.next, %clear ]
  %c.at = getelementptr i64, ptr %counters, i64 %c
  store i64 0, ptr %c.at, align 8
  %c.next = add i64 %c, 1
  %c.more = icmp slt i64 %c.next, %iterations
  br i1 %c.more, label %clear, label %pause
pause:
  %between = lshr i64 %random, 16
  %masked = and i64 %between, 255
  %rare = icmp eq i64 %masked, 0 ; long enough for workers to fall asleep
  %length = select i1 %rare, i64 80000, i64 %masked
  call void @delay(i64 %length)
  call void %parallel(ptr @count, ptr %context, i64 %iterations, i32 %threads)
  br label %check
check:
  %k = phi i64 [ 0, %pause ], [ %k.next, %check ]
  %bad = phi i64 [ 0, %pause ], [ %bad.next, %check ]
  %k.at = getelementptr i64, ptr %counters, i64 %k
  %found = load i64, ptr %k.at, align 8
  %fault = icmp ne i64 %found, 1
  %bad.next = select i1 %fault, i64 1, i64 %bad
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %iterations
  br i1 %k.more, label %check, label %checked
checked:
  %wrong.next = add i64 %wrong, %bad.next
  %r.next = add i64 %r, 1
  %r.more = icmp slt i64 %r.next, %regions
  br i1 %r.more, label %region, label %done
done:
  ret i64 %wrong.next
}

; Context: the pool, then for every iteration the context of a region of 8 that it enters.
define void @nested(ptr %context, i64 %begin, i64 %end, i32 %worker) {
entry:
  %parallel = load ptr, ptr %context, align 8
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %slot = mul i64 %i, 11
  %first = add i64 %slot, 1
  %at = getelementptr i64, ptr %context, i64 %first
  call void %parallel(ptr @count, ptr %at, i64 8, i32 2)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Context: how many ranges have come, how many must, the largest worker. A range waits for all
; others, so that every one is run by a thread of its own.
define void @meet(ptr %context, i64 %begin, i64 %end, i32 %worker) {
entry:
  %all.at = getelementptr i32, ptr %context, i64 1
  %all = load i32, ptr %all.at, align 4
  %came = atomicrmw add ptr %context, i32 1 acq_rel, align 4
  br label %wait
wait:
  %now = load atomic i32, ptr %context acquire, align 4
  %complete = icmp sge i32 %now, %all
  br i1 %complete, label %done, label %wait
done:
  ret void
}

; Context: the slow side of a race. Works for a long time, so that others find the pool held.
define void @dawdle(ptr %context, i64 %begin, i64 %end, i32 %worker) {
  %count = load i64, ptr %context, align 8
  call void @delay(i64 %count)
  ret void
}
"""

_MODES = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

; Context: meeting, as for @meet, then the rounding and flushing bits that every range has found.
define void @modes(ptr %context, i64 %begin, i64 %end, i32 %worker) {
entry:
  %at = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %mode = load i32, ptr %at, align 4
  %kept = and i32 %mode, -64
  %place = add i32 %worker, 2
  %wide = zext i32 %place to i64
  %to = getelementptr i32, ptr %context, i64 %wide
  store i32 %kept, ptr %to, align 4
  call void @meet(ptr %context, i64 %begin, i64 %end, i32 %worker)
  ret void
}

; Enters a region of two ranges with other rounding, and puts back what was.
define void @with_mode(ptr %parallel, ptr %context, i32 %mode) {
  %old = alloca i32, align 4
  %new = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %old)
  store i32 %mode, ptr %new, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %new)
  call void %parallel(ptr @modes, ptr %context, i64 2, i32 2)
  call void @llvm.x86.sse.ldmxcsr(ptr %old)
  ret void
}
"""

TASKS = Path("/proc/self/task")
"""Where Linux lists the threads of this process."""

IS_X86 = host().architecture == "x86_64"

_BODIES = ("mark", "count", "nested", "meet", "dawdle")
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "hunt": (ctypes.c_int64, *([ctypes.c_void_p] * 2), *([ctypes.c_int64] * 3)),
    "with_mode": (None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32),
}
_PARALLEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32)


@cache
def symbols() -> dict[str, int]:
    """Addresses of everything above."""
    text = _TEXT + (_MODES if IS_X86 else "")
    names = (*_BODIES, "hunt", *(("modes", "with_mode") if IS_X86 else ()))
    return load_forever(Compiler(host()).object_code(text, verify=True), names)


def function(name: str) -> Callable[..., int]:
    """One of the functions that are no bodies; the GIL is released inside."""
    prototype = ctypes.CFUNCTYPE(*_SIGNATURES[name])
    return cast("Callable[..., int]", prototype(symbols()[name]))


def region(pool: Pool, body: str, context: NDArray[Any], iterations: int, threads: int) -> None:
    """Run one parallel region."""
    call = cast("Callable[..., None]", _PARALLEL(pool.parallel))
    call(symbols()[body], context.ctypes.data, iterations, threads)


def hunt(pool: Pool, regions: int, most: int, seed: int) -> int:
    """How many of many random regions were wrong; ``most`` bounds their threads."""
    return _hunt(pool, regions, most, seed)[0]


def hunt_together(pool: Pool, rounds: int, regions: int, most: int) -> tuple[int, int]:
    """Wrong regions, and how many ranges other threads than the caller ran.

    On a busy machine workers may come too late to most regions, so threads meet at the start of
    each round, and are kept on different cores.
    """
    meet(pool, most)
    with apart():
        found = [(meet(pool, 2), _hunt(pool, regions, most, seed))[1] for seed in range(rounds)]
    return sum(wrong for wrong, _ in found), sum(helped for _, helped in found)


@contextmanager
def apart() -> Generator[None]:
    """Keeps workers from the core of this thread, where the platform can."""
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(cores) < 2:
        yield
        return
    own = threading.get_native_id()
    workers = [int(task.name) for task in TASKS.iterdir() if _is_worker(task)]
    try:
        _pin(own, cores[:1])
        for worker in workers:
            _pin(worker, cores[1:])
        yield
    finally:
        for thread in (own, *workers):
            _pin(thread, cores)


def _is_worker(task: Path) -> bool:
    return (task / "comm").read_text().strip() == "tilec"


def _pin(thread: int, cores: Sequence[int]) -> None:
    if sys.platform == "linux":
        os.sched_setaffinity(thread, cores)


def meet(pool: Pool, threads: int) -> None:
    """A region in which so many threads take part, none twice."""
    region(pool, "meet", np.array([0, threads], np.int32), threads, threads)


def _hunt(pool: Pool, regions: int, most: int, seed: int) -> tuple[int, int]:
    context = np.zeros(64, np.int64)
    wrong = function("hunt")(pool.parallel, context.ctypes.data, regions, most, seed << 32)
    return wrong, int(context[2])
