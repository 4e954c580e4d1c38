"""What the optimiser knows of a processor: a description from a data file, filled in on the spot.

The files in ``descriptions`` say what no system call tells: units, latencies, registers. Caches
and cores of this machine are read from the system and go before what its description says.
"""

from __future__ import annotations

import json
from dataclasses import asdict, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from tilec.errors import InternalError, TargetError
from tilec.records import dataclass
from tilec.target.gpu import Gpu
from tilec.target.host import Cache, Host, host

_FOLDER: Final = Path(__file__).parent / "descriptions"
_GENERIC: Final = "generic"
_OF_CODE: Final = ("widest_lanes", "gpu", "has_f64")
"""What the language of a backend brings, not the processor."""


_TRAFFIC = 1.5
"""Lines that an ordinary copy moves for each that it has to: read, read again, written."""


@dataclass(frozen=True, slots=True)
class Core:
    """What the cost model knows of a core and of the memory behind it.

    The defaults are those of a server of the Skylake family with two cores.

    Attributes:
        name: Name of the description.
        vector_bytes: Width of a vector register; 0 when there are no vectors.
        registers: Vector registers that a tile may fill.
        fma_per_cycle: Vector FMAs started per cycle.
        fma_latency: Cycles until a result can be added to.
        loads_per_cycle: Vector loads per cycle from the first-level cache.
        l1_bytes: First-level data cache.
        l2_bytes: Second-level cache of one core.
        threads: Cores that may be used.
        gigahertz: Clock while all cores work on vectors.
        line_bytes: Size of a cache line.
        l1_ways: Associativity of the first level.
        l2_ways: Associativity of the second level.
        l3_bytes: Third-level cache; 0 when there is none.
        l3_ways: Associativity of the third level.
        l2_bytes_per_cycle: What one core reads from the second level.
        l3_bytes_per_cycle: What one core reads from the third level.
        memory_gigabytes: GB/s that all cores together read from memory.
        core_gigabytes: GB/s that one core reads from memory: few lines can be under way at once.
        widest_lanes: Lanes that a vector may have in the code; 0 when there is no limit.
        gpu: What runs groups of items, where that is no processor.
        has_f64: Whether it computes in f64; else long sums of f32 have totals of f32.
    """

    name: str = "skylake-avx512"
    vector_bytes: int = 64
    registers: int = 32
    fma_per_cycle: float = 2
    fma_latency: int = 4
    loads_per_cycle: float = 2
    l1_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20
    threads: int = 2
    gigahertz: float = 2.7
    line_bytes: int = 64
    l1_ways: int = 8
    l2_ways: int = 16
    l3_bytes: int = 28160 << 10
    l3_ways: int = 11
    l2_bytes_per_cycle: float = 48
    l3_bytes_per_cycle: float = 10
    memory_gigabytes: float = 60
    core_gigabytes: float = 12
    widest_lanes: int = 0
    gpu: Gpu | None = None
    has_f64: bool = True

    @property
    def takes_parts(self) -> bool:
        """Whether kernels can be handed a part of a buffer; OpenCL only hands out whole ones."""
        return self.gpu is None and not self.widest_lanes

    @property
    def key(self) -> str:
        """All of it as one line of text, for the key of a cache."""
        return json.dumps(asdict(self))

    @property
    def last_cache_bytes(self) -> int:
        """Size of the cache before memory."""
        return max(self.l2_bytes, self.l3_bytes)

    @property
    def asks(self) -> bool:
        """Whether ordinary stores that ask for their lines ahead beat those past the caches.

        A core has few lines under way, and a store past the caches keeps one until memory has it.
        """
        return self.threads * self.core_gigabytes * _TRAFFIC <= self.memory_gigabytes

    def lanes(self, dtype_bytes: int) -> int:
        """Elements of one vector; at least 1."""
        return max(1, self.vector_bytes // dtype_bytes)

    def peak_flops(self, dtype_bytes: int, threads: int | None = None) -> float:
        """Floating-point operations per second of some threads (by default all)."""
        cores = self.threads if threads is None else min(threads, self.threads)
        flops_per_cycle = 2 * self.lanes(dtype_bytes) * self.fma_per_cycle
        return cores * flops_per_cycle * self.gigahertz * 1e9

    def bandwidth(self, level: str, threads: int | None = None) -> float:
        """Bytes per second that some threads (by default all) read from a level of memory.

        Args:
            level: ``L1``, ``L2``, ``L3`` or ``memory``.
            threads: How many.
        """
        cores = self.threads if threads is None else min(threads, self.threads)
        per_cycle = {
            "L1": self.loads_per_cycle * max(self.vector_bytes, 8),
            "L2": self.l2_bytes_per_cycle,
            "L3": self.l3_bytes_per_cycle,
        }
        if level in per_cycle:
            return cores * per_cycle[level] * self.gigahertz * 1e9
        # One core cannot keep enough lines under way to use all of a memory's bandwidth.
        return self.memory_gigabytes * 1e9 * max(0.5, cores / self.threads)

    @property
    def levels(self) -> tuple[tuple[str, int], ...]:
        """Name and bytes of each cache, nearest first; what all cores reach together."""
        found = [("L1", self.l1_bytes * self.threads), ("L2", self.l2_bytes * self.threads)]
        if self.l3_bytes:
            found.append(("L3", self.l3_bytes))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Description:
    """One file of ``descriptions``.

    Attributes:
        core: What it says.
        cpus: LLVM's names of the processors that it describes.
        features: What a processor that LLVM has no name for must have to be described by it.
    """

    core: Core
    cpus: tuple[str, ...]
    features: frozenset[str] = field(default_factory=frozenset[str])


@cache
def descriptions() -> tuple[Description, ...]:
    """All descriptions, by name."""
    return tuple(_read(path) for path in sorted(_FOLDER.glob("*.toml")))


@cache
def load(name: str) -> Core:
    """The core of a description, or of the description that covers LLVM's CPU of this name.

    Raises:
        TargetError: there is neither.
    """
    for found in descriptions():
        if name == found.core.name or name in found.cpus:
            return found.core
    known = sorted({cpu for each in descriptions() for cpu in (each.core.name, *each.cpus)})
    raise TargetError(
        f"there is no description of the processor {name!r}",
        help=f"there are descriptions of {', '.join(known)}",
    )


@cache
def host_core() -> Core:
    """This machine: the description that fits, with the caches and cores found here."""
    return described(host())


def described(machine: Host) -> Core:
    """A machine as the optimiser sees it."""
    core = _fitting(machine)
    core = replace(core, vector_bytes=min(core.vector_bytes, machine.vector_bits // 8))
    return with_system(core, machine.caches, machine.cores)


def with_system(core: Core, caches: tuple[Cache, ...], threads: int) -> Core:
    """A core with the caches that the system reports, where it does."""
    found = {item.level: item for item in caches}
    if 1 in found:
        core = replace(core, l1_bytes=found[1].bytes, line_bytes=found[1].line_bytes)
        # A level that the system reports none of is not there.
        core = replace(core, l3_bytes=found[3].bytes if 3 in found else 0)
    if 2 in found:
        # Of a cache that a cluster of cores shares, each has its part when all work.
        sharers = min(found[2].cores, threads)
        core = replace(core, l2_bytes=found[2].bytes // sharers)
    return replace(core, threads=threads)


def _fitting(machine: Host) -> Core:
    known = descriptions()
    for found in known:
        if machine.cpu in found.cpus:
            return found.core
    features = frozenset(machine.features)
    able = [each for each in known if each.features and each.features <= features]
    if not able:
        return load(_GENERIC)
    # The one that asks for most is nearest; of equals the first by name.
    return max(able, key=lambda each: (each.core.vector_bytes, len(each.features))).core


def _read(path: Path) -> Description:
    import tomllib  # slow to import, and not needed for code that is found in the disk cache

    try:
        facts: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        cpus, features = tuple(facts.pop("cpus")), frozenset(facts.pop("features"))
        wanted = {item.name for item in fields(Core)} - {"name", *_OF_CODE}
        if facts.keys() != wanted:
            raise ValueError(f"its fields differ in {sorted(facts.keys() ^ wanted)}")
        return Description(Core(path.stem, **facts), cpus, features)
    except (KeyError, ValueError, TypeError) as error:
        raise InternalError(f"the description {path.name} cannot be read: {error}") from error
