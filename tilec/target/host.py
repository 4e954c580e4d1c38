"""The processor that this process runs on, as LLVM and the operating system describe it.

What cannot be found out is left empty: nothing here is guessed.
"""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path

from tilec.records import dataclass
from tilec.target.cores import allowed_cores, usable_cores

# Width in bits of the vectors that a feature brings, widest first. Of vectors whose length is the
# machine's own choice (SVE, RVV) only the guaranteed part counts.
_VECTOR_BITS = (
    ("avx512f", 512),
    ("avx", 256),
    ("sse2", 128),
    ("neon", 128),
    ("v", 128),
    ("altivec", 128),
    ("vector", 128),
)


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that holds data.

    Attributes:
        level: 1 is nearest to the core.
        bytes: Size of one instance.
        line_bytes: Size of one line.
        cores: How many cores share one instance.
    """

    level: int
    bytes: int
    line_bytes: int
    cores: int


@dataclass(frozen=True, slots=True)
class Host:
    """The processor of this machine.

    Attributes:
        system: Operating system, e.g. ``Linux``.
        architecture: Instruction set, e.g. ``x86_64``.
        model: The vendor's name of the processor, or "".
        cpu: LLVM's name of its microarchitecture, e.g. ``znver4``.
        features: Instruction set extensions that LLVM may use here, sorted.
        vector_bits: Width of the widest vectors.
        caches: Data caches seen from one core, nearest first; empty where the system does not say.
        cores: Cores that this process may keep busy: affinity and cgroup quota.
        allowed_cores: Cores of the affinity mask alone.
    """

    system: str
    architecture: str
    model: str
    cpu: str
    features: tuple[str, ...]
    vector_bits: int
    caches: tuple[Cache, ...]
    cores: int
    allowed_cores: int


@cache
def host() -> Host:
    """Describe this machine; looked up once."""
    cpu, features = _llvm_view()
    return Host(
        system=platform.system(),
        architecture=platform.machine(),
        model=_model(),
        cpu=cpu,
        features=features,
        vector_bits=vector_bits(features),
        caches=data_caches(),
        cores=usable_cores(),
        allowed_cores=allowed_cores(),
    )


@cache
def system_key() -> str:
    """What the system says about caches and cores, as one line of text.

    With the processor, which a backend identifies, it decides how code is tuned for this machine;
    unlike that, it is found out without loading LLVM.
    """
    return f"{data_caches()}, {usable_cores()} cores"


def vector_bits(features: tuple[str, ...]) -> int:
    """Width in bits of the widest vectors that ``features`` bring; 0 without vectors."""
    return next((bits for name, bits in _VECTOR_BITS if name in features), 0)


def data_caches(root: Path = Path("/")) -> tuple[Cache, ...]:
    """The data caches of a core that this process may use, nearest first; Linux only.

    Args:
        root: Where ``sys`` is mounted.
    """
    core = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    found: list[Cache] = []
    for folder in sorted((root / f"sys/devices/system/cpu/cpu{core}/cache").glob("index*")):
        try:
            facts = {
                name: (folder / name).read_text().strip()
                for name in ("type", "level", "size", "coherency_line_size", "shared_cpu_list")
            }
        except OSError:
            continue
        if facts["type"] in ("Data", "Unified"):
            found.append(
                Cache(
                    level=int(facts["level"]),
                    bytes=_bytes(facts["size"]),
                    line_bytes=int(facts["coherency_line_size"]),
                    cores=_count(facts["shared_cpu_list"]),
                )
            )
    return tuple(sorted(found, key=lambda item: item.level))


def _llvm_view() -> tuple[str, tuple[str, ...]]:
    # Imported late: loading LLVM takes longer than everything else here.
    from llvmlite import binding

    name = str(binding.get_host_cpu_name())
    try:
        reported: dict[str, bool] = dict(binding.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot tell on this architecture
        reported = {}
    return name, tuple(sorted(feature for feature, present in reported.items() if present))


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _bytes(size: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(size[:-1]) * units[size[-1]] if size[-1] in units else int(size)


def _count(cpu_list: str) -> int:
    """How many cores a list such as ``0-3,8`` names."""
    total = 0
    for part in cpu_list.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total
