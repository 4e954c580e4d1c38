"""The limits of this machine, measured: how fast it can multiply and add, and how fast it reads.

The code is made by tilec's own LLVM backend and runs on tilec's threads, all of them. Arithmetic is
chains of fused multiply-adds that do not wait for each other; reading is 64-byte loads of slices,
one for each thread, of a size that fits into a certain cache.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Final, cast

import numpy as np

from tilec.bench.statistic import Spread, spread
from tilec.target.host import Cache
from tilec.target.host import host as machine
from tilec_llvm.jit import load_forever
from tilec_llvm.pool import pool
from tilec_llvm.target import Compiler, host

DRAM: Final = "DRAM"
_SAMPLES: Final = 9
_LINE: Final = 64
_SINKS: Final = 128 // 8
_UNROLL: Final = 8
_MOST_BYTES: Final = 1 << 29
# Chains for every latency and number of registers: a processor is at its limit with one of them.
_CHAINS: Final = (8, 10, 12, 16, 24)

_ATTRIBUTES: Final = '"prefer-vector-width"="512" "min-legal-vector-width"="512"'

# A region that goes over its slices of memory again and again. Context: at 0 repetitions, 8 lines
# per slice, 16 base, 32 distance of the arrays, and from 128 on a line for each worker, where
# results go that nobody reads.
_SWEEP: Final = """
define void @$name(ptr %context, i64 %begin, i64 %end, i32 %worker) $attributes {
entry:
  %repeats = load i64, ptr %context, align 8
  %lines.at = getelementptr i8, ptr %context, i64 8
  %lines = load i64, ptr %lines.at, align 8
  %base.at = getelementptr i8, ptr %context, i64 16
  %base = load ptr, ptr %base.at, align 8
$setup
  br label %slice
slice:
  %s = phi i64 [ %begin, %entry ], [ %s.next, %next ]
  %first = mul i64 %s, %lines
  br label %again
again:
  %r = phi i64 [ 0, %slice ], [ %r.next, %repeated ]
  br label %loop
loop:
  %i = phi i64 [ 0, %again ], [ %i.next, %loop ]
$body
  %i.next = add i64 %i, $step
  %more = icmp slt i64 %i.next, %lines
  br i1 %more, label %loop, label %repeated
repeated:
$finish
  call void asm sideeffect "", "~{memory}"()
  %r.next = add i64 %r, 1
  %r.more = icmp slt i64 %r.next, %repeats
  br i1 %r.more, label %again, label %next
next:
  %s.next = add i64 %s, 1
  %s.more = icmp slt i64 %s.next, %end
  br i1 %s.more, label %slice, label %done
done:
  ret void
}
"""

_TRIAD_SETUP: Final = """
  %distance.at = getelementptr i8, ptr %context, i64 32
  %distance = load i64, ptr %distance.at, align 8
  %b = getelementptr i8, ptr %base, i64 %distance
  %c = getelementptr i8, ptr %b, i64 %distance
"""

_TRIAD_BODY: Final = """
  %line = add i64 %first, %i
  %a.at = getelementptr <16 x float>, ptr %base, i64 %line
  %b.at = getelementptr <16 x float>, ptr %b, i64 %line
  %c.at = getelementptr <16 x float>, ptr %c, i64 %line
  %x = load <16 x float>, ptr %b.at, align 64
  %y = load <16 x float>, ptr %c.at, align 64
  %sum = fadd <16 x float> %x, %y
  store <16 x float> %sum, ptr %a.at, align 64
"""


@dataclass(frozen=True, slots=True)
class Level:
    """A place in the memory hierarchy.

    Attributes:
        name: ``L1``, ``L2``, ``L3`` or ``DRAM``.
        capacity: Bytes that all threads together can keep there; None for DRAM.
        working_set: Bytes that were read.
        read: Bytes per second of pure reading.
        triad: Bytes per second of ``a = b + c``, two arrays read and one written.
    """

    name: str
    capacity: int | None
    working_set: int
    read: Spread
    triad: Spread


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine can do.

    Attributes:
        flops: Floating-point operations per second, f32.
        vector_bits: Vectors that reached them.
        levels: Nearest first; the last is DRAM.
    """

    flops: Spread
    vector_bits: int
    levels: tuple[Level, ...]

    def level(self, size: int) -> Level:
        """The nearest level that holds ``size`` bytes."""
        fitting = (each for each in self.levels if each.capacity and size <= each.capacity)
        return next(fitting, self.levels[-1])

    def seconds(self, flop: int, size: int, peak: float | None = None) -> tuple[float, str]:
        """The shortest possible time of some work, and what sets it: ``compute`` or a level.

        The bytes are read at the speed of the nearest level that holds all of them: measured calls
        follow each other, so what fits into a cache is there. ``peak`` is that of the moment, where
        it was measured.
        """
        level = self.level(size)
        arithmetic, traffic = flop / (peak or self.flops.best), size / level.read.best
        return (arithmetic, "compute") if arithmetic >= traffic else (traffic, level.name)


def measure_limits(threads: int, *, quick: bool = False) -> Limits:
    """Measure peak and bandwidths, on so many threads."""
    samples = 3 if quick else _SAMPLES
    peak, bits = _peak(threads, samples, quick)
    return Limits(peak, bits, tuple(_levels(threads, samples, quick)))


def better(first: Limits, second: Limits) -> Limits:
    """Of two measurements in one run, for each figure the one that saw more."""
    levels = tuple(
        Level(
            a.name,
            a.capacity,
            a.working_set,
            max(a.read, b.read, key=lambda each: each.best),
            max(a.triad, b.triad, key=lambda each: each.best),
        )
        for a, b in zip(first.levels, second.levels, strict=True)
    )
    peak = max((first, second), key=lambda each: each.flops.best)
    return Limits(peak.flops, peak.vector_bits, levels)


def peak_meter(threads: int) -> Callable[[], float]:
    """What measures the peak once more, within a few milliseconds: operations per second, f32.

    It is called between the turns of contenders: on a shared machine the peak of this moment, not
    that of a minute ago, is what they can be held against. It also brings all cores to the state
    of a running program, the same for every contender.
    """
    bits = max(128, machine().vector_bits)
    text = "\n".join(_chains(bits, chains) for chains in _CHAINS)
    symbols = load_forever(Compiler(host()).object_code(text), [f"fma_{bits}_{n}" for n in _CHAINS])
    rounds = 1 << 15

    def rate(chains: int, samples: int) -> float:
        flop = threads * rounds * chains * (bits // 32) * 2
        seconds = _timed(symbols[f"fma_{bits}_{chains}"], {0: rounds}, threads, samples)
        return flop / spread(seconds).median

    fastest = max(_CHAINS, key=lambda chains: rate(chains, 5))
    return lambda: rate(fastest, 5)


def _peak(threads: int, samples: int, quick: bool) -> tuple[Spread, int]:
    widest = max(128, machine().vector_bits)
    variants = [(bits, n) for bits in sorted({widest, min(widest, 256)}) for n in _CHAINS]
    text = "\n".join(_chains(bits, chains) for bits, chains in variants)
    symbols = load_forever(
        Compiler(host()).object_code(text), [f"fma_{bits}_{n}" for bits, n in variants]
    )
    found: list[tuple[Spread, int]] = []
    for bits, chains in variants:
        rounds = 1 << (14 if quick else 17)
        flop = threads * rounds * chains * (bits // 32) * 2
        seconds = _timed(symbols[f"fma_{bits}_{chains}"], {0: rounds}, threads, samples)
        found.append((spread([flop / each for each in seconds]), bits))
    return max(found, key=lambda each: each[0].best)


def _levels(threads: int, samples: int, quick: bool) -> list[Level]:
    symbols = load_forever(Compiler(host()).object_code(_read_text() + _triad_text()), _NAMES)
    caches = machine().caches
    outermost = max((_capacity(each, threads) for each in caches), default=1 << 25)
    sizes: list[tuple[str, int | None, int]] = []
    for each in caches:
        capacity = _capacity(each, threads)
        sizes.append((f"L{each.level}", capacity, capacity // 2))
    levels: list[Level] = []
    for name, capacity, size in [*sizes, (DRAM, None, min(_MOST_BYTES, 6 * outermost))]:
        rates: dict[str, Spread] = {}
        for symbol, arrays in (("read", 1), ("triad", 3)):
            lines = max(_UNROLL, size // (arrays * threads * _LINE) // _UNROLL * _UNROLL)
            slice_bytes = lines * _LINE
            total = threads * slice_bytes
            memory = np.ones(arrays * total + _LINE, np.uint8)
            base = memory.ctypes.data + (-memory.ctypes.data % _LINE)
            repeats = max(1, (1 << (24 if quick else 27)) // (arrays * total))
            context = {0: repeats, 8: lines, 16: base, 32: total}
            seconds = _timed(symbols[symbol], context, threads, samples)
            rates[symbol] = spread([arrays * total * repeats / each for each in seconds])
        levels.append(Level(name, capacity, size, rates["read"], rates["triad"]))
    return levels


_NAMES: Final = ("read", "triad")


def _capacity(cache: Cache, threads: int) -> int:
    """Bytes of all instances that ``threads`` cores reach."""
    return cache.bytes * max(1, threads // max(1, cache.cores))


def _timed(body: int, context: Mapping[int, int], threads: int, samples: int) -> list[float]:
    """Seconds of regions in which every thread runs ``body`` once."""
    memory = (ctypes.c_int64 * (_SINKS + _LINE * (threads + 1)))()
    for offset, value in context.items():
        memory[offset // 8] = value
    arguments = [*([ctypes.c_void_p] * 2), ctypes.c_int64, ctypes.c_int32]
    enter = cast("Callable[..., None]", ctypes.CFUNCTYPE(None, *arguments)(pool().parallel))
    at = ctypes.addressof(memory)
    found: list[float] = []
    for _ in range(samples + 1):  # the first brings pages, caches and workers to life
        begin = time.perf_counter()
        enter(body, at, threads, threads)
        found.append(time.perf_counter() - begin)
    return found[1:]


def _chains(bits: int, chains: int) -> str:
    """A body with so many independent chains of multiply-adds of vectors."""
    lanes = bits // 32
    vector = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32"
    numbers = range(chains)
    lines = [
        f"declare {vector} {fma}({vector}, {vector}, {vector})" if chains == _CHAINS[0] else "",
        f"define void @fma_{bits}_{chains}(ptr %context, i64 %begin, i64 %end, i32 %worker) "
        f"{_ATTRIBUTES} {{",
        "entry:",
        "  %rounds = load i64, ptr %context, align 8",
        "  %count = sub i64 %end, %begin",
        "  %all = mul i64 %rounds, %count",
        # The values come from memory, so that nothing is known about them: they are 0.
        "  %x.at = getelementptr i8, ptr %context, i64 128",
        f"  %x = load {vector}, ptr %x.at, align 4",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]",
        *(f"  %a{n} = phi {vector} [ %x, %entry ], [ %b{n}, %loop ]" for n in numbers),
        *(
            f"  %b{n} = call {vector} {fma}({vector} %a{n}, {vector} %x, {vector} %x)"
            for n in numbers
        ),
        "  %i.next = add i64 %i, 1",
        "  %more = icmp slt i64 %i.next, %all",
        "  br i1 %more, label %loop, label %done",
        "done:",
        *(f"  %s{n} = fadd {vector} {f'%s{n - 1}' if n else '%x'}, %b{n}" for n in numbers),
        # Threads write the same zeros to the same place.
        f"  store {vector} %s{chains - 1}, ptr %x.at, align 4",
        "  ret void",
        "}",
    ]
    return "\n".join(lines)


def _read_text() -> str:
    vector, numbers = "<16 x i32>", range(_UNROLL)
    accumulators = [
        f"  %a{n} = phi {vector} [ zeroinitializer, %again ], [ %b{n}, %loop ]" for n in numbers
    ]
    loads = [
        line
        for n in numbers
        for line in (
            f"  %n{n} = add i64 %line, {n}",
            f"  %p{n} = getelementptr {vector}, ptr %base, i64 %n{n}",
            f"  %v{n} = load {vector}, ptr %p{n}, align 64",
            f"  %b{n} = or {vector} %a{n}, %v{n}",
        )
    ]
    # All lanes of all accumulators are needed, or LLVM would load less.
    combined = [
        f"  %c{n} = or {vector} {f'%c{n - 1}' if n else 'zeroinitializer'}, %b{n}" for n in numbers
    ]
    kept = [
        f"  %sink = getelementptr {vector}, ptr %sinks, i32 %worker",
        f"  store {vector} %c{_UNROLL - 1}, ptr %sink, align 4",
    ]
    return _sweep(
        "read",
        "  %sinks = getelementptr i8, ptr %context, i64 128",
        "\n".join([*accumulators, "  %line = add i64 %first, %i", *loads]),
        "\n".join([*combined, *kept]),
        _UNROLL,
    )


def _triad_text() -> str:
    return _sweep("triad", _TRIAD_SETUP, _TRIAD_BODY, "", 1)


def _sweep(name: str, setup: str, body: str, finish: str, step: int) -> str:
    return Template(_SWEEP).substitute(
        name=name, setup=setup, body=body, finish=finish, step=step, attributes=_ATTRIBUTES
    )


def as_json(limits: Limits) -> dict[str, object]:
    """The limits as JSON has them."""
    return {
        "flops": limits.flops.as_json(),
        "vector_bits": limits.vector_bits,
        "levels": [_level_json(each) for each in limits.levels],
    }


def _level_json(level: Level) -> dict[str, object]:
    return {
        "name": level.name,
        "capacity": level.capacity,
        "working_set": level.working_set,
        "read": level.read.as_json(),
        "triad": level.triad.as_json(),
    }
