"""What the pool needs of the platform: how threads sleep, pause and carry a float mode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
        named: Whether threads are named with ``prctl``.
    """

    waiting: Waiting
    architecture: str
    futex: int = 0
    monotonic: int = 1
    set_mask: int = 2
    bus_error: int = 7
    named: bool = False


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
        return System(waiting, architecture, futex=call or 0, named=True)
    if "darwin" in triple or "macos" in triple:
        return System(Waiting.CONDVAR, architecture, monotonic=6, set_mask=3, bus_error=10)
    if "freebsd" in triple:
        return System(Waiting.CONDVAR, architecture, monotonic=4, set_mask=3, bus_error=10)
    return System(Waiting.NONE, architecture)


def platform_text(system: System) -> str:
    """The functions on which the pool stands, as a template with its parameters."""
    return "\n".join((_SLEEP[system.waiting], _pause(system), _mode(system), _worker_name(system)))


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


def _worker_name(system: System) -> str:
    """Names the thread for debuggers and process viewers."""
    return _NAMED if system.named else _UNNAMED


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

_NAMED = """
@pool.name = internal constant [6 x i8] c"tilec\\00"
declare i32 @prctl(i32, ...) nounwind

define internal void @pool.name_thread() nounwind {
  %done = call i32 (i32, ...) @prctl(i32 15, ptr @pool.name)
  ret void
}
"""

_UNNAMED = """
define internal void @pool.name_thread() nounwind {
  ret void
}
"""
