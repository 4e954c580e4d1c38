"""Measures what this machine reaches, with code that tilec's own backend makes.

Arithmetic: chains of fused multiply-adds in registers that do not wait for each other. Reading:
sums over an array that fits into one level of the memory, each thread over its own part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from tilec.dtypes import F32
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Call,
    Expr,
    For,
    Kernel,
    Load,
    LoopKind,
    Module,
    Scope,
    Splat,
    Stmt,
    Store,
    VType,
)
from tilec.kernel.verify import verify
from tilec.options import Options
from tilec.program.boundary import compiler_lock, public
from tilec.records import dataclass
from tilec.runtime.arrays import Array
from tilec.runtime.backend import Runner, find_backend
from tilec.target.calibration import Calibration, Limit, Rate, machine_title
from tilec.target.core import Core, host_core
from tilec.target.host import host

Progress = Callable[[str, int, int], None]
"""Told what is measured next, the number of steps done, and that of all."""

_SECONDS: Final = 0.004
"""Length of one measurement: long against a fork and join, short against a scheduler's slice."""

# Chains for common latencies and numbers of registers: a processor is at its peak with one.
_CHAINS: Final = (8, 12, 16, 24)
_READERS: Final = 8
_LINE_BYTES: Final = 64
_LARGEST: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class _Probe:
    """Code to be timed.

    Attributes:
        module: What runs.
        work: Operations or bytes of one run.
        data: What it reads.
    """

    module: Module
    work: float
    data: Array


@public
def calibrate(samples: int = 9, progress: Progress = lambda step, done, total: None) -> Calibration:
    """Measure this machine; takes a few seconds, during which nothing else should run.

    Args:
        samples: How often each figure is measured.
        progress: Told about each step.
    """
    core = host_core()
    levels = _levels(core)
    total, done = 1 + len(levels), 0
    progress("arithmetic", done, total)
    peak = _peak(core, samples)
    reads: list[Limit] = []
    for name, size in levels:
        done += 1
        progress(f"reading from {name}", done, total)
        probe = _reading(core, name, size)
        one, every = _rates(probe, core.threads, samples)
        reads.append(Limit(name, size, one, every))
    progress("done", total, total)
    return Calibration(machine_title(host()), core.threads, peak, tuple(reads))


def _levels(core: Core) -> list[tuple[str, int]]:
    """Each level, and how much one thread reads to have it all from there."""
    found = [("L1", core.l1_bytes // 2), ("L2", (core.l1_bytes + core.l2_bytes) // 2)]
    below = core.l2_bytes * core.threads
    if core.l3_bytes > below:
        found.append(("L3", (core.l3_bytes + below) // 2 // core.threads))
    last = max(core.l3_bytes, below)
    found.append(("memory", min(max(4 * last, 64 << 20), _LARGEST) // core.threads))
    return found


def _peak(core: Core, samples: int) -> Limit:
    probes = [_arithmetic(core, chains) for chains in _CHAINS]
    measured = [_rates(probe, core.threads, samples) for probe in probes]
    one = max((one for one, _ in measured), key=lambda rate: rate.median)
    every = max((every for _, every in measured), key=lambda rate: rate.median)
    return Limit("f32", 0, one, every)


def _arithmetic(core: Core, chains: int) -> _Probe:
    lanes = core.lanes(F32.bytes)
    steps = int(core.peak_flops(F32.bytes, 1) * _SECONDS / (2 * lanes * chains)) + 1
    kind = VType(F32, lanes)
    acc = Buffer("acc", kind, chains, scope=Scope.REGISTER, writable=True)
    factor, addend = _seed(0, kind), _seed(1, kind)
    slots = [build.const(chain) for chain in range(chains)]
    start = [Store(acc.name, slot, addend) for slot in slots]
    step = [
        Store(acc.name, slot, Apply("fma", (Load(acc.name, slot, kind), factor, addend), kind))
        for slot in slots
    ]
    loop = For("step", build.const(0), build.const(steps), tuple(step))
    seeds = np.array([0.5, 0.25], np.float32)
    body: list[Stmt] = [*start, loop]
    module = _module(core.threads, chains, lanes, Buffer("seed", VType(F32), 2), acc, body)
    return _Probe(module, 2.0 * core.threads * steps * chains * lanes, seeds)


def _reading(core: Core, level: str, size: int) -> _Probe:
    lanes = core.lanes(F32.bytes)
    kind = VType(F32, lanes)
    stride = lanes * _READERS
    elems = size // (stride * F32.bytes) * stride
    repeats = int(core.bandwidth(level, 1) * _SECONDS / (elems * F32.bytes)) + 1
    acc = Buffer("acc", kind, _READERS, scope=Scope.REGISTER, writable=True)
    begin = build.mul(build.var("task"), build.const(elems))
    at = build.add(begin, build.var("at"))
    start: list[Stmt] = []
    step: list[Stmt] = []
    for reader in range(_READERS):
        slot = build.const(reader)
        value = Load("data", build.add(at, build.const(reader * lanes)), kind)
        start.append(Store(acc.name, slot, Load("data", begin, kind)))
        sums = Apply("add", (Load(acc.name, slot, kind), value), kind)
        step.append(Store(acc.name, slot, sums))
    loop = For("at", build.const(0), build.const(elems), tuple(step), step=stride)
    again = For("again", build.const(0), build.const(repeats), (loop,))
    data = _aligned(elems * core.threads)
    buffer = Buffer("data", VType(F32), data.size)
    module = _module(core.threads, _READERS, lanes, buffer, acc, [*start, again])
    return _Probe(module, float(data.nbytes * repeats), data)


def _aligned(elems: int) -> Array:
    """Ones that begin at a cache line: vectors that cross lines are read at half the speed."""
    padded = np.ones(elems + _LINE_BYTES // F32.bytes, np.float32)
    first = -padded.ctypes.data % _LINE_BYTES // F32.bytes
    return padded[first : first + elems]


def _seed(number: int, kind: VType) -> Expr:
    return Splat(Load("seed", build.const(number), VType(kind.dtype)), kind)


def _module(
    tasks: int, results: int, lanes: int, given: Buffer, acc: Buffer, body: list[Stmt]
) -> Module:
    """Tasks that fill registers, which are stored, so that the work is not for nothing."""
    sink = Buffer("sink", VType(F32), tasks * results * lanes, writable=True)
    ends: list[Stmt] = []
    for slot in range(results):
        task = build.mul(build.var("task"), build.const(results * lanes))
        where = build.add(task, build.const(slot * lanes))
        ends.append(Store(sink.name, where, Load(acc.name, build.const(slot), acc.type)))
    block = (*body, *ends)
    loop = For("task", build.const(0), build.const(tasks), block, kind=LoopKind.PARALLEL)
    kernel = Kernel("calibrate", ("calibration",), (given, sink), (acc,), (loop,))
    call = Call(kernel.name, (given.name, sink.name))
    return Module("calibration", (given,), (sink,), (), (), 0, (kernel,), (call,))


def _rates(probe: _Probe, threads: int, samples: int) -> tuple[Rate, Rate]:
    """Of one thread, and of all."""
    runner = _runner(probe.module)
    sink = np.zeros(probe.module.outputs[0].high, np.float32)
    addresses = [probe.data.ctypes.data], [sink.ctypes.data]

    def rate(count: int) -> float:
        started = time.perf_counter()
        runner.run(*addresses, num_threads=count)
        return probe.work / (time.perf_counter() - started)

    rates: list[Rate] = []
    for count in (1, threads):
        rate(count)  # wakes the threads and fills the caches
        rates.append(Rate.of([rate(count) for _ in range(samples)]))
    return rates[0], rates[1]


def _runner(module: Module) -> Runner:
    backend = find_backend("llvm")
    with compiler_lock():
        verify(module)
        return backend.load(backend.compile(module, Options()), module.name, 0)
