"""The time of a transposing copy by hand: what permutations of large arrays are held against.

No permutation of axes that moves the last one is as fast as plain reading. Of what is read and what
is written only one can lie in long runs, the other comes line by line, each in a page of its own.
The fastest way that is known here reads: strips of sixteen rows, a page wide, which are transposed
in registers and stored past the caches as whole lines. The code below does nothing else, on a
matrix whose rows begin at cache lines and whose sizes are multiples of a strip.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final, cast

from benchmarks.case import Array, aligned
from tilec_llvm.jit import load_forever
from tilec_llvm.pool import pool
from tilec_llvm.target import Compiler, host

_SIDE: Final = 16
_STRIP: Final = 1024
COLUMNS: Final = 4 * _STRIP
_FLOAT_BYTES: Final = 4

# Context: at 0 rows, 8 what is read, 16 what is written. An item is a strip over all rows.
_TEXT: Final = """
define void @turning(ptr %context, i64 %begin, i64 %end, i32 %worker) "prefer-vector-width"="512" {
entry:
  %rows = load i64, ptr %context, align 8
  %from.at = getelementptr i8, ptr %context, i64 8
  %from = load ptr, ptr %from.at, align 8
  %to.at = getelementptr i8, ptr %context, i64 16
  %to = load ptr, ptr %to.at, align 8
  br label %strip
strip:
  %s = phi i64 [ %begin, %entry ], [ %s.next, %below ]
  %left = mul i64 %s, STRIP
  %right = add i64 %left, STRIP
  br label %row
row:
  %i = phi i64 [ 0, %strip ], [ %i.next, %beside ]
  br label %square
square:
  %j = phi i64 [ %left, %row ], [ %j.next, %square ]
SQUARE
  %j.next = add i64 %j, SIDE
  %j.more = icmp slt i64 %j.next, %right
  br i1 %j.more, label %square, label %beside
beside:
  %i.next = add i64 %i, SIDE
  %i.more = icmp slt i64 %i.next, %rows
  br i1 %i.more, label %row, label %below
below:
  %s.next = add i64 %s, 1
  %s.more = icmp slt i64 %s.next, %end
  br i1 %s.more, label %strip, label %done
done:
  fence seq_cst
  ret void
}

!0 = !{i32 1}
"""


def turning_meter(threads: int, size: int) -> Callable[[], float]:
    """What measures a transposing copy: seconds for ``size`` bytes, half of them read.

    Args:
        threads: Threads that take part.
        size: Bytes of what is read and written, some megabytes at least.
    """
    rows = size // 2 // _FLOAT_BYTES // COLUMNS // _SIDE * _SIDE
    read, written = aligned((rows, COLUMNS)), aligned((COLUMNS, rows))
    read[:], written[:] = 1, 0
    copy = turned(read, written, threads)

    def seconds() -> float:
        copy()  # warm, as all contenders are
        begin = time.perf_counter()
        copy()
        return (time.perf_counter() - begin) * size / (read.nbytes + written.nbytes)

    return seconds


def turned(read: Array, written: Array, threads: int) -> Callable[[], None]:
    """What transposes one matrix into another; both are f32 and begin at cache lines.

    Args:
        read: So many rows of ``COLUMNS`` elements; their number is a multiple of 16.
        written: As many columns.
        threads: Threads that take part.
    """
    context = (ctypes.c_int64 * 3)(len(read), read.ctypes.data, written.ctypes.data)
    body = load_forever(Compiler(host()).object_code(_text()), ["turning"])["turning"]
    arguments = [*([ctypes.c_void_p] * 2), ctypes.c_int64, ctypes.c_int32]
    enter = cast("Callable[..., None]", ctypes.CFUNCTYPE(None, *arguments)(pool().parallel))
    held = (context, read, written)
    return lambda: enter(body, ctypes.addressof(held[0]), COLUMNS // _STRIP, threads)


def _text() -> str:
    return (
        _TEXT.replace("SQUARE", "\n".join(_square()))
        .replace("STRIP", str(_STRIP))
        .replace("SIDE", str(_SIDE))
    )


def _square() -> list[str]:
    """Loads a square, exchanges its rows and columns, and stores it."""
    vector, numbers = f"<{_SIDE} x float>", range(_SIDE)
    lines: list[str] = []
    for n in numbers:
        lines += [
            f"  %i{n} = add i64 %i, {n}",
            f"  %r{n} = mul i64 %i{n}, {COLUMNS}",
            f"  %f{n} = add i64 %r{n}, %j",
            f"  %a{n} = getelementptr float, ptr %from, i64 %f{n}",
            f"  %v0.{n} = load {vector}, ptr %a{n}, align 64",
        ]
    half = _SIDE // 2
    stages = half.bit_length()
    for stage in range(stages):
        for n in range(half):
            pair = f"{vector} %v{stage}.{n}, {vector} %v{stage}.{n + half}"
            for upper in (0, 1):
                lanes = (
                    k + way * _SIDE
                    for k in range(upper * half, half + upper * half)
                    for way in (0, 1)
                )
                mask = ", ".join(f"i32 {lane}" for lane in lanes)
                lines.append(
                    f"  %v{stage + 1}.{2 * n + upper} = shufflevector {pair}, "
                    f"<{_SIDE} x i32> <{mask}>"
                )
    for n in numbers:
        lines += [
            f"  %j{n} = add i64 %j, {n}",
            f"  %c{n} = mul i64 %j{n}, %rows",
            f"  %t{n} = add i64 %c{n}, %i",
            f"  %b{n} = getelementptr float, ptr %to, i64 %t{n}",
            f"  store {vector} %v{stages}.{n}, ptr %b{n}, align 64, !nontemporal !0",
        ]
    return lines
