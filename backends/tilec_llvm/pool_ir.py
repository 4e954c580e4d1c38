"""The fork-join pool as LLVM IR text.

The pool is generated code like the kernels that use it, so it needs no compiler and no run-time
library, and it holds no Python state. Its one entry is::

    void tilec_parallel(void (*body)(void *context, i64 begin, i64 end, i32 worker),
                        void *context, i64 iterations, i32 threads)

Iterations are cut into ``parts`` contiguous ranges, one per thread, whose sizes differ by at most
one; ``worker`` is the number of the range, and which thread runs a range changes nothing else.
Every worker has a cell, a word on cache lines of its own, with three states:

    IDLE (0)    the worker looks at the cell again and again, or is at work
    GO (1)      a range waits for the worker
    ASLEEP (2)  the worker sleeps in the kernel and must be woken

The caller writes down the task, exchanges GO into the cells, wakes those that were ASLEEP and runs
range 0. A range belongs to whoever turns its cell from GO to IDLE: mostly the worker, but when the
caller is done with its own range it takes back those of workers that have not begun. So a region
costs hardly more than running serially when workers are slow to wake or the processor is busy.
``pending`` counts the ranges that are not done. The release of the exchange publishes the task,
the acquire of the claim receives it; in the same way the decrements of ``pending`` hand the results
back.

Workers that find nothing to do for ``SPIN_NS`` go to sleep. So does a caller who waits that long,
with ``SLEEPER`` (bit 30) set in ``pending`` so that the last worker wakes it.

Threads stay on cores of their own: where the system tells, a worker writes its core behind its
word, and a caller who finds one on its own core, or two on one, has it moved before it begins.

One region runs at a time. Who finds the pool held (another thread's region, or a body that calls
``tilec_parallel`` itself) runs all iterations in its own thread as worker 0.
"""

from __future__ import annotations

from tilec_llvm.pool_platform import System, Waiting, platform_text

SPIN_NS = 50_000
"""How long a thread looks for work, or for the end of the region, before it sleeps."""

LOOKS = 32
"""Looks between two readings of the clock."""

MOST_WORKERS = 255
"""Workers beside the caller; a call that wants more threads gets these."""

STACK_BYTES = 4 << 20
"""Stack of a worker, as address space; kernels keep their large buffers elsewhere."""


def pool_text(system: System) -> str:
    """The pool for a platform."""
    if system.waiting is Waiting.NONE:
        return _SERIAL
    from string import Template  # compiles patterns when it is imported

    return Template("\n".join((_STATE, platform_text(system), _POOL))).substitute(
        cell=128 if system.waiting is Waiting.FUTEX else 384,
        most=MOST_WORKERS,
        spin=SPIN_NS,
        looks=LOOKS,
        stack=STACK_BYTES,
        futex=system.futex,
        monotonic=system.monotonic,
        set_mask=system.set_mask,
        bus_error=system.bus_error,
    )


_SERIAL = """
define void @tilec_parallel(ptr %body, ptr %context, i64 %iterations, i32 %threads) nounwind {
  %some = icmp sgt i64 %iterations, 0
  br i1 %some, label %run, label %done
run:
  call void %body(ptr %context, i64 0, i64 %iterations, i32 0)
  br label %done
done:
  ret void
}

define i32 @tilec_workers() nounwind {
  ret i32 0
}

define void @tilec_forked() nounwind {
  ret void
}
"""

_STATE = """
; A cell is a word and, behind it where the platform needs them, a mutex and a condition variable.
%cell = type [$cell x i8]

; Body, context, iterations, parts, float mode: written by the caller who holds the pool, before GO.
@pool.task = internal global { ptr, ptr, i64, i64, i64 } zeroinitializer, align 128
@pool.held = internal global i32 0, align 128
@pool.pending = internal global %cell zeroinitializer, align 128
@pool.cells = internal global [$most x %cell] zeroinitializer, align 128
@pool.started = internal global i32 0, align 128
"""

_POOL = """
declare i32 @clock_gettime(i32, ptr) nounwind
declare i32 @sigfillset(ptr) nounwind
declare i32 @sigdelset(ptr, i32) nounwind
declare i32 @pthread_sigmask(i32, ptr, ptr) nounwind
declare i32 @pthread_attr_init(ptr) nounwind
declare i32 @pthread_attr_setstacksize(ptr, i64) nounwind
declare i32 @pthread_attr_destroy(ptr) nounwind
declare i32 @pthread_create(ptr, ptr, ptr, ptr) nounwind
declare i32 @pthread_detach(ptr) nounwind
declare i64 @llvm.umin.i64(i64, i64)

; Nanoseconds of a clock that never goes back.
define internal i64 @pool.now() nounwind {
  %at = alloca [2 x i64], align 8
  %done = call i32 @clock_gettime(i32 $monotonic, ptr %at)
  %seconds = load i64, ptr %at, align 8
  %rest.at = getelementptr i64, ptr %at, i64 1
  %rest = load i64, ptr %rest.at, align 8
  %whole = mul i64 %seconds, 1000000000
  %sum = add i64 %whole, %rest
  ret i64 %sum
}

; Run one range of the task.
define internal void @pool.run(i64 %range) nounwind {
  %body = load ptr, ptr @pool.task, align 8
  %context = load ptr, ptr getelementptr (i8, ptr @pool.task, i64 8), align 8
  %iterations = load i64, ptr getelementptr (i8, ptr @pool.task, i64 16), align 8
  %parts = load i64, ptr getelementptr (i8, ptr @pool.task, i64 24), align 8
  %share = udiv i64 %iterations, %parts
  %extra = urem i64 %iterations, %parts
  %next = add i64 %range, 1
  %begin.share = mul i64 %range, %share
  %begin.extra = call i64 @llvm.umin.i64(i64 %range, i64 %extra)
  %begin = add i64 %begin.share, %begin.extra
  %end.share = mul i64 %next, %share
  %end.extra = call i64 @llvm.umin.i64(i64 %next, i64 %extra)
  %end = add i64 %end.share, %end.extra
  %worker = trunc i64 %range to i32
  call void %body(ptr %context, i64 %begin, i64 %end, i32 %worker)
  ret void
}

; The life of a worker; %cell is its own.
define internal ptr @pool.work(ptr %cell) nounwind {
entry:
  call void @pool.begin_worker(ptr %cell)
  %at = ptrtoint ptr %cell to i64
  %offset = sub i64 %at, ptrtoint (ptr @pool.cells to i64)
  %place = udiv i64 %offset, $cell
  %range = add i64 %place, 1
  br label %idle
idle:
  call void @pool.report(ptr %cell)
  %since = call i64 @pool.now()
  br label %look
look:
  %looks = phi i32 [ 0, %idle ], [ %more, %pause ], [ 0, %clock ], [ %looks, %doze ]
  %state = load atomic i32, ptr %cell monotonic, align 4
  %go = icmp eq i32 %state, 1
  br i1 %go, label %claim, label %pause
pause:
  call void @pool.pause()
  %more = add i32 %looks, 1
  %enough = icmp sge i32 %more, $looks
  br i1 %enough, label %clock, label %look
clock:
  call void @pool.report(ptr %cell)
  %now = call i64 @pool.now()
  %waited = sub i64 %now, %since
  %late = icmp sgt i64 %waited, $spin
  br i1 %late, label %doze, label %look
doze:
  %dozed = cmpxchg ptr %cell, i32 0, i32 2 monotonic monotonic, align 4
  %dozing = extractvalue { i32, i1 } %dozed, 1
  br i1 %dozing, label %sleep, label %look
sleep:
  call void @pool.sleep(ptr %cell, i32 2)
  %woken = load atomic i32, ptr %cell monotonic, align 4
  %still = icmp eq i32 %woken, 2
  br i1 %still, label %sleep, label %idle
claim:
  %claimed = cmpxchg ptr %cell, i32 1, i32 0 acquire monotonic, align 4
  %mine = extractvalue { i32, i1 } %claimed, 1
  br i1 %mine, label %run, label %idle
run:
  %mode = load i64, ptr getelementptr (i8, ptr @pool.task, i64 32), align 8
  call void @pool.set_mode(i64 %mode)
  call void @pool.run(i64 %range)
  %before = atomicrmw sub ptr @pool.pending, i32 1 acq_rel, align 4
  %last = icmp eq i32 %before, 1073741825 ; SLEEPER and the last range
  br i1 %last, label %wake, label %idle
wake:
  call void @pool.wake(ptr @pool.pending)
  br label %idle
}

; Start workers until there are as many as wanted, or the system refuses; how many there are.
; They begin with signals blocked, which are for the threads of the program; faults are not.
define internal i32 @pool.grow(i32 %wanted) noinline nounwind {
entry:
  %thread = alloca ptr, align 8
  %blocked = alloca [128 x i8], align 16
  %previous = alloca [128 x i8], align 16
  %attributes = alloca [128 x i8], align 16
  %filled = call i32 @sigfillset(ptr %blocked)
  %without.ill = call i32 @sigdelset(ptr %blocked, i32 4)
  %without.trap = call i32 @sigdelset(ptr %blocked, i32 5)
  %without.abort = call i32 @sigdelset(ptr %blocked, i32 6)
  %without.bus = call i32 @sigdelset(ptr %blocked, i32 $bus_error)
  %without.float = call i32 @sigdelset(ptr %blocked, i32 8)
  %without.segment = call i32 @sigdelset(ptr %blocked, i32 11)
  %masked = call i32 @pthread_sigmask(i32 $set_mask, ptr %blocked, ptr %previous)
  %made = call i32 @pthread_attr_init(ptr %attributes)
  %sized = call i32 @pthread_attr_setstacksize(ptr %attributes, i64 $stack)
  %have = load i32, ptr @pool.started, align 4
  %first = icmp eq i32 %have, 0
  br i1 %first, label %prepare, label %more
prepare:
  call void @pool.prepare(ptr @pool.pending)
  br label %more
more:
  %count = phi i32 [ %have, %entry ], [ 0, %prepare ], [ %next, %started ]
  %short = icmp slt i32 %count, %wanted
  br i1 %short, label %start, label %done
start:
  %wide = sext i32 %count to i64
  %cell = getelementptr %cell, ptr @pool.cells, i64 %wide
  call void @pool.prepare(ptr %cell)
  %core.at = getelementptr i8, ptr %cell, i64 8
  store atomic i32 -1, ptr %core.at monotonic, align 4 ; not known yet
  %failed = call i32 @pthread_create(ptr %thread, ptr %attributes, ptr @pool.work, ptr %cell)
  %refused = icmp ne i32 %failed, 0
  br i1 %refused, label %done, label %started
started:
  %id = load ptr, ptr %thread, align 8
  %detached = call i32 @pthread_detach(ptr %id)
  %next = add i32 %count, 1
  br label %more
done:
  store atomic i32 %count, ptr @pool.started monotonic, align 4
  %destroyed = call i32 @pthread_attr_destroy(ptr %attributes)
  %restored = call i32 @pthread_sigmask(i32 $set_mask, ptr %previous, ptr null)
  ret i32 %count
}

; Wait until no other thread holds a range.
define internal void @pool.join() nounwind {
entry:
  %early = load atomic i32, ptr @pool.pending acquire, align 4
  %nobody = icmp eq i32 %early, 0
  br i1 %nobody, label %done, label %begin
begin:
  %since = call i64 @pool.now()
  br label %look
look:
  %looks = phi i32 [ 0, %begin ], [ %more, %pause ], [ 0, %clock ]
  %count = load atomic i32, ptr @pool.pending acquire, align 4
  %none = icmp eq i32 %count, 0
  br i1 %none, label %done, label %pause
pause:
  call void @pool.pause()
  %more = add i32 %looks, 1
  %enough = icmp sge i32 %more, $looks
  br i1 %enough, label %clock, label %look
clock:
  %now = call i64 @pool.now()
  %waited = sub i64 %now, %since
  %late = icmp sgt i64 %waited, $spin
  br i1 %late, label %announce, label %look
announce:
  %before = atomicrmw or ptr @pool.pending, i32 1073741824 acquire, align 4
  br label %again
again:
  %left = load atomic i32, ptr @pool.pending acquire, align 4
  %over = icmp eq i32 %left, 1073741824
  br i1 %over, label %done, label %sleep
sleep:
  call void @pool.sleep(ptr @pool.pending, i32 %left)
  br label %again
done:
  ret void
}

define void @tilec_parallel(ptr %body, ptr %context, i64 %iterations, i32 %threads) nounwind {
entry:
  %some = icmp sgt i64 %iterations, 0
  br i1 %some, label %choose, label %out
choose:
  %one = icmp slt i32 %threads, 2
  br i1 %one, label %alone, label %several
several:
  %wanted = sext i32 %threads to i64
  %useful = call i64 @llvm.umin.i64(i64 %wanted, i64 %iterations)
  %parts.wanted = call i64 @llvm.umin.i64(i64 %useful, i64 add (i64 $most, i64 1))
  %single = icmp eq i64 %parts.wanted, 1
  br i1 %single, label %alone, label %peek
peek:
  %seen = load atomic i32, ptr @pool.held monotonic, align 4
  %busy = icmp ne i32 %seen, 0
  br i1 %busy, label %alone, label %take
take:
  %taken = cmpxchg ptr @pool.held, i32 0, i32 1 acquire monotonic, align 4
  %got = extractvalue { i32, i1 } %taken, 1
  br i1 %got, label %team, label %alone
alone:
  call void %body(ptr %context, i64 0, i64 %iterations, i32 0)
  br label %out
team:
  %parts.i32 = trunc i64 %parts.wanted to i32
  %helpers.wanted = sub i32 %parts.i32, 1
  %have = load i32, ptr @pool.started, align 4
  %short = icmp slt i32 %have, %helpers.wanted
  br i1 %short, label %grow, label %write
grow:
  %grown = call i32 @pool.grow(i32 %helpers.wanted)
  br label %write
write:
  %there = phi i32 [ %helpers.wanted, %team ], [ %grown, %grow ]
  %there.wide = zext i32 %there to i64
  %limit = add i64 %there.wide, 1
  %parts = call i64 @llvm.umin.i64(i64 %parts.wanted, i64 %limit)
  %helpers.wide = sub i64 %parts, 1
  %helpers = trunc i64 %helpers.wide to i32
  store ptr %body, ptr @pool.task, align 8
  store ptr %context, ptr getelementptr (i8, ptr @pool.task, i64 8), align 8
  store i64 %iterations, ptr getelementptr (i8, ptr @pool.task, i64 16), align 8
  store i64 %parts, ptr getelementptr (i8, ptr @pool.task, i64 24), align 8
  %mode = call i64 @pool.mode()
  store i64 %mode, ptr getelementptr (i8, ptr @pool.task, i64 32), align 8
  store atomic i32 %helpers, ptr @pool.pending monotonic, align 4
  call void @pool.separate(i64 %helpers.wide)
  br label %post
post:
  %posted = phi i64 [ 0, %write ], [ %posted.next, %posted.end ]
  %all = icmp eq i64 %posted, %helpers.wide
  br i1 %all, label %own, label %send
send:
  %to = getelementptr %cell, ptr @pool.cells, i64 %posted
  %was = atomicrmw xchg ptr %to, i32 1 acq_rel, align 4
  %asleep = icmp eq i32 %was, 2
  br i1 %asleep, label %wake, label %posted.end
wake:
  call void @pool.wake(ptr %to)
  br label %posted.end
posted.end:
  %posted.next = add i64 %posted, 1
  br label %post
own:
  call void @pool.run(i64 0)
  br label %take.back
take.back:
  %range = phi i64 [ %helpers.wide, %own ], [ %range.next, %taken.end ]
  %checked = icmp eq i64 %range, 0
  br i1 %checked, label %join, label %check
check:
  %range.next = sub i64 %range, 1
  %from = getelementptr %cell, ptr @pool.cells, i64 %range.next
  %state = load atomic i32, ptr %from monotonic, align 4
  %waits = icmp eq i32 %state, 1
  br i1 %waits, label %reclaim, label %taken.end
reclaim:
  %reclaimed = cmpxchg ptr %from, i32 1, i32 0 monotonic monotonic, align 4
  %mine = extractvalue { i32, i1 } %reclaimed, 1
  br i1 %mine, label %stand.in, label %taken.end
stand.in:
  call void @pool.run(i64 %range)
  %counted = atomicrmw sub ptr @pool.pending, i32 1 monotonic, align 4
  br label %taken.end
taken.end:
  br label %take.back
join:
  call void @pool.join()
  store atomic i32 0, ptr @pool.held release, align 4
  br label %out
out:
  ret void
}

; How many workers there are.
define i32 @tilec_workers() nounwind {
  %started = load atomic i32, ptr @pool.started monotonic, align 4
  ret i32 %started
}

; In a forked child, which has none of its parent's workers and may have inherited a region.
; Cells are prepared when workers are started.
define void @tilec_forked() nounwind {
  store atomic i32 0, ptr @pool.started monotonic, align 4
  store atomic i32 0, ptr @pool.held release, align 4
  ret void
}
"""
