"""What the pool needs of the platform: how threads sleep, pause and carry a float mode."""

from __future__ import annotations

from enum import Enum

from tilec.records import dataclass


class Waiting(Enum):
    """How a thread sleeps until a word changes."""

    FUTEX = "futex"  # Linux
    CONDVAR = "condvar"  # a mutex and a condition variable of pthreads behind every word
    NONE = "none"  # there are no workers: every region runs in the thread of its caller


@dataclass(frozen=True, slots=True)
class System:
    """What the pool has to know of the platform.

    Attributes:
        waiting: How threads sleep.
        architecture: First part of the triple; selects the pause and the float mode.
        futex: Number of the futex system call.
        monotonic: ``CLOCK_MONOTONIC``.
        set_mask: ``SIG_SETMASK``.
        bus_error: ``SIGBUS``.
        linux: Whether threads are named and moved between cores by the calls of Linux.
    """

    waiting: Waiting
    architecture: str
    futex: int = 0
    monotonic: int = 1
    set_mask: int = 2
    bus_error: int = 7
    linux: bool = False


_FUTEX_CALLS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "powerpc64le": 221, "s390x": 238}


def system_of(triple: str, pointer_bytes: int) -> System:
    """The platform of a triple.

    Systems without pthreads (Windows) and those of 32 bits run every region in the thread of its
    caller, which is right, and as fast as one thread can be.
    """
    architecture = triple.partition("-")[0]
    architecture = {"arm64": "aarch64", "amd64": "x86_64"}.get(architecture, architecture)
    if pointer_bytes != 8 or "windows" in triple:
        return System(Waiting.NONE, architecture)
    if "linux" in triple:
        call = _FUTEX_CALLS.get(architecture)
        waiting = Waiting.CONDVAR if call is None else Waiting.FUTEX
        return System(waiting, architecture, futex=call or 0, linux=True)
    if "darwin" in triple or "macos" in triple:
        return System(Waiting.CONDVAR, architecture, monotonic=6, set_mask=3, bus_error=10)
    if "freebsd" in triple:
        return System(Waiting.CONDVAR, architecture, monotonic=4, set_mask=3, bus_error=10)
    return System(Waiting.NONE, architecture)


def platform_text(system: System) -> str:
    """The functions on which the pool stands, as a template with its parameters."""
    parts = (_SLEEP[system.waiting], _pause(system), _mode(system), _worker(system))
    return "\n".join(parts)


def _pause(system: System) -> str:
    """Tells the processor that the thread only waits."""
    call = {
        "x86_64": ("void @llvm.x86.sse2.pause()", "void @llvm.x86.sse2.pause()"),
        "aarch64": ("void @llvm.aarch64.hint(i32)", "void @llvm.aarch64.hint(i32 1)"),
    }.get(system.architecture)
    if call is None:
        return "define internal void @pool.pause() alwaysinline nounwind {\n  ret void\n}\n"
    declared, used = call
    return (
        f"declare {declared}\n"
        "define internal void @pool.pause() alwaysinline nounwind {\n"
        f"  call {used}\n  ret void\n}}\n"
    )


def _mode(system: System) -> str:
    """Rounding and treatment of subnormals: workers compute as the caller does."""
    return _MODES.get(system.architecture, _NO_MODE)


def _worker(system: System) -> str:
    """Names the thread for process viewers, and keeps threads on cores of their own."""
    return _LINUX_WORKER if system.linux else _PLAIN_WORKER


_SLEEP = {
    Waiting.FUTEX: """
declare i64 @syscall(i64, ...) nounwind

; Sleep while the word holds the expected value; may return early.
define internal void @pool.sleep(ptr %word, i32 %expected) noinline nounwind {
  %result = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i32 128, i32 %expected, ptr null)
  ret void
}

; Wake who sleeps at the word, which has been changed before.
define internal void @pool.wake(ptr %word) noinline nounwind {
  %result = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i32 129, i32 1)
  ret void
}

define internal void @pool.prepare(ptr %word) nounwind {
  store atomic i32 0, ptr %word monotonic, align 4
  ret void
}
""",
    Waiting.CONDVAR: """
declare i32 @pthread_mutex_init(ptr, ptr) nounwind
declare i32 @pthread_mutex_lock(ptr) nounwind
declare i32 @pthread_mutex_unlock(ptr) nounwind
declare i32 @pthread_cond_init(ptr, ptr) nounwind
declare i32 @pthread_cond_wait(ptr, ptr) nounwind
declare i32 @pthread_cond_signal(ptr) nounwind

; Sleep while the word holds the expected value; may return early. The mutex closes the gap between
; the look and the sleep: who changes the word takes it before it signals.
define internal void @pool.sleep(ptr %word, i32 %expected) noinline nounwind {
  %mutex = getelementptr i8, ptr %word, i64 128
  %condition = getelementptr i8, ptr %word, i64 256
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %value = load atomic i32, ptr %word monotonic, align 4
  %same = icmp eq i32 %value, %expected
  br i1 %same, label %wait, label %leave
wait:
  %waited = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %leave
leave:
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

; Wake who sleeps at the word, which has been changed before.
define internal void @pool.wake(ptr %word) noinline nounwind {
  %mutex = getelementptr i8, ptr %word, i64 128
  %condition = getelementptr i8, ptr %word, i64 256
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %signalled = call i32 @pthread_cond_signal(ptr %condition)
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

define internal void @pool.prepare(ptr %word) nounwind {
  store atomic i32 0, ptr %word monotonic, align 4
  %mutex = getelementptr i8, ptr %word, i64 128
  %condition = getelementptr i8, ptr %word, i64 256
  %made.mutex = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %made.condition = call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}
""",
}

_MODES = {
    "x86_64": """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal i64 @pool.mode() nounwind {
  %at = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %mode = load i32, ptr %at, align 4
  %kept = and i32 %mode, -64 ; without the flags of exceptions that have happened
  %wide = zext i32 %kept to i64
  ret i64 %wide
}

define internal void @pool.set_mode(i64 %wide) nounwind {
  %at = alloca i32, align 4
  %mode = trunc i64 %wide to i32
  store i32 %mode, ptr %at, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}
""",
    "aarch64": """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal i64 @pool.mode() nounwind {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %mode
}

define internal void @pool.set_mode(i64 %mode) nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
""",
}

_NO_MODE = """
define internal i64 @pool.mode() nounwind {
  ret i64 0
}

define internal void @pool.set_mode(i64 %mode) nounwind {
  ret void
}
"""

_LINUX_WORKER = """
@pool.name = internal constant [6 x i8] c"tilec\\00"
declare i32 @prctl(i32, ...) nounwind
declare i32 @gettid() nounwind
declare i32 @sched_getcpu() nounwind
declare i32 @sched_getaffinity(i32, i64, ptr) nounwind
declare i32 @sched_setaffinity(i32, i64, ptr) nounwind

; A worker introduces itself: behind the word of its cell stand its core and its thread.
define internal void @pool.begin_worker(ptr %cell) nounwind {
  %done = call i32 (i32, ...) @prctl(i32 15, ptr @pool.name)
  %thread.at = getelementptr i8, ptr %cell, i64 12
  %thread = call i32 @gettid()
  store atomic i32 %thread, ptr %thread.at monotonic, align 4
  ret void
}

; A worker says on which core it is.
define internal void @pool.report(ptr %cell) nounwind {
  %core.at = getelementptr i8, ptr %cell, i64 8
  %core = call i32 @sched_getcpu()
  %last = load atomic i32, ptr %core.at monotonic, align 4
  %same = icmp eq i32 %core, %last
  br i1 %same, label %done, label %write
write:
  store atomic i32 %core, ptr %core.at monotonic, align 4
  br label %done
done:
  ret void
}

; Workers that share a core with the caller or with one another are sent to other cores: the
; balancer of the system comes after milliseconds, when many a region has long ended.
define internal void @pool.separate(i64 %helpers) nounwind {
entry:
  %used = alloca [16 x i64], align 16
  call void @llvm.memset.p0.i64(ptr align 16 %used, i8 0, i64 128, i1 false)
  %own = call i32 @sched_getcpu()
  br label %mark
mark:
  %core = phi i32 [ %own, %entry ], [ %place, %free ]
  %at = phi i64 [ 0, %entry ], [ %next, %free ]
  %known = icmp ult i32 %core, 1024
  br i1 %known, label %set, label %look
set:
  %word.number = lshr i32 %core, 6
  %word.wide = zext i32 %word.number to i64
  %word.at = getelementptr i64, ptr %used, i64 %word.wide
  %word = load i64, ptr %word.at, align 8
  %place.in = and i32 %core, 63
  %shift = zext i32 %place.in to i64
  %bit = shl i64 1, %shift
  %marked = or i64 %word, %bit
  store i64 %marked, ptr %word.at, align 8
  br label %look
look:
  %number = phi i64 [ %at, %mark ], [ %at, %set ], [ %next, %worker ], [ %next, %shared ]
  %over = icmp eq i64 %number, %helpers
  br i1 %over, label %done, label %worker
worker:
  %next = add i64 %number, 1
  %cell = getelementptr %cell, ptr @pool.cells, i64 %number
  %place.at = getelementptr i8, ptr %cell, i64 8
  %place = load atomic i32, ptr %place.at monotonic, align 4
  %there = icmp ult i32 %place, 1024
  br i1 %there, label %test, label %look
test:
  %taken.number = lshr i32 %place, 6
  %taken.wide = zext i32 %taken.number to i64
  %taken.at = getelementptr i64, ptr %used, i64 %taken.wide
  %taken.word = load i64, ptr %taken.at, align 8
  %taken.in = and i32 %place, 63
  %taken.shift = zext i32 %taken.in to i64
  %shifted = lshr i64 %taken.word, %taken.shift
  %taken.bit = and i64 %shifted, 1
  %is.free = icmp eq i64 %taken.bit, 0
  br i1 %is.free, label %free, label %shared
free:
  br label %mark
shared:
  call void @pool.move(ptr %cell, ptr %used)
  br label %look
done:
  ret void
}

; Send a worker to the cores that the caller may use, but for those that are taken. It is of no
; consequence when the system refuses.
define internal void @pool.move(ptr %cell, ptr %used) noinline nounwind {
entry:
  %mask = alloca [16 x i64], align 16
  call void @llvm.memset.p0.i64(ptr align 16 %mask, i8 0, i64 128, i1 false)
  %failed = call i32 @sched_getaffinity(i32 0, i64 128, ptr %mask)
  %refused = icmp ne i32 %failed, 0
  br i1 %refused, label %done, label %words
words:
  %at = phi i64 [ 0, %entry ], [ %next, %words ]
  %some = phi i64 [ 0, %entry ], [ %any, %words ]
  %mask.at = getelementptr i64, ptr %mask, i64 %at
  %used.at = getelementptr i64, ptr %used, i64 %at
  %may = load i64, ptr %mask.at, align 8
  %taken = load i64, ptr %used.at, align 8
  %others = xor i64 %taken, -1
  %left = and i64 %may, %others
  store i64 %left, ptr %mask.at, align 8
  %any = or i64 %some, %left
  %next = add i64 %at, 1
  %more = icmp ult i64 %next, 16
  br i1 %more, label %words, label %choose
choose:
  %none = icmp eq i64 %any, 0
  br i1 %none, label %done, label %send
send:
  %thread.at = getelementptr i8, ptr %cell, i64 12
  %thread = load atomic i32, ptr %thread.at monotonic, align 4
  %moved = call i32 @sched_setaffinity(i32 %thread, i64 128, ptr %mask)
  %core.at = getelementptr i8, ptr %cell, i64 8
  store atomic i32 -1, ptr %core.at monotonic, align 4 ; until it reports again
  br label %done
done:
  ret void
}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""

_PLAIN_WORKER = """
define internal void @pool.begin_worker(ptr %cell) nounwind {
  ret void
}

define internal void @pool.report(ptr %cell) nounwind {
  ret void
}

define internal void @pool.separate(i64 %helpers) nounwind {
  ret void
}
"""
