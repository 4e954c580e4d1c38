"""What the optimiser knows of a device that runs groups of items.

The files in ``gpus`` describe families of devices. What a driver tells of a device (units, local
memory, items of a group) goes before what its family says, so that a family need not know each of
its members; a device of no known family has the cautious figures of ``generic``. A file that
``TILEC_GPU`` names goes before all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, Final

from tilec.errors import TargetError
from tilec.records import dataclass

_FOLDER: Final = Path(__file__).parent / "gpus"
GENERIC: Final = "generic"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device as the cost model sees it; all figures of registers and flops are for 32 bits.

    Attributes:
        name: Name of the description.
        units: Compute units, each of which holds whole groups.
        warp: Items that run in step.
        group_items: Items that a group may have.
        unit_items: Items that a unit holds at once.
        item_registers: Registers that an item may have.
        unit_registers: Registers that all items of a unit share.
        group_local_bytes: Local memory that a group may have.
        unit_local_bytes: Local memory that all groups of a unit share.
        local_bytes_per_cycle: What a unit reads from local memory.
        fma_per_cycle: Multiplications with additions that a unit begins per cycle.
        fma_latency: Cycles until a result can be added to.
        gigahertz: Clock.
        memory_gigabytes: GB/s that all units read from memory.
        cache_gigabytes: GB/s that they read from the cache that all of them share.
        access_bytes: Widest access of an item to memory.
    """

    name: str
    units: int
    warp: int
    group_items: int
    unit_items: int
    item_registers: int
    unit_registers: int
    group_local_bytes: int
    unit_local_bytes: int
    local_bytes_per_cycle: float
    fma_per_cycle: float
    fma_latency: float
    gigahertz: float
    memory_gigabytes: float
    cache_gigabytes: float
    access_bytes: int

    @property
    def peak_flops(self) -> float:
        """Floating-point operations per second."""
        return 2e9 * self.units * self.fma_per_cycle * self.gigahertz


@dataclass(frozen=True, slots=True)
class Family:
    """One file: what it says, and words of which one is in the name or vendor of its devices."""

    gpu: Gpu
    words: tuple[str, ...]


@cache
def families() -> tuple[Family, ...]:
    """All families, by name."""
    return tuple(read_family(path) for path in sorted(_FOLDER.glob("*.toml")))


def family(*texts: str) -> Gpu:
    """The description whose words come first in some texts: platform, name, vendor of a device."""
    text = " ".join(texts).lower()
    places = [(text.find(word), each.gpu) for each in families() for word in each.words]
    found = [(at if at >= 0 else inf, gpu) for at, gpu in places]
    at, gpu = min(found, key=lambda pair: pair[0])
    return by_name(GENERIC) if at == inf else gpu


def by_name(name: str) -> Gpu:
    """The description of a name, or of a word for its family.

    Raises:
        TargetError: there is none.
    """
    for each in families():
        if name in (each.gpu.name, *each.words):
            return each.gpu
    raise TargetError(f"there is no description of the GPU {name!r}", help=f"there are {known()}")


def known() -> str:
    """Names of all descriptions."""
    return ", ".join(each.gpu.name for each in families())


def read_family(path: Path) -> Family:
    """A description in a file.

    Raises:
        TargetError: it cannot be read.
    """
    import tomllib  # slow to import, and not needed for code that is found in the disk cache

    wanted = {item.name: str(item.type) for item in fields(Gpu) if item.name != "name"}
    try:
        facts: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        words: Sequence[str] = facts.pop("words", ())
        if facts.keys() != wanted.keys():
            raise ValueError(f"its fields differ in {sorted(facts.keys() ^ wanted.keys())}")
        for name, value in facts.items():
            if not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"{name} is {value!r}, which is no positive number")
        return Family(Gpu(path.stem, **facts), tuple(words))
    except (OSError, ValueError) as error:
        raise TargetError(
            f"the description of a GPU in {path} cannot be read: {error}",
            help=f"its fields are words and {', '.join(wanted)}",
        ) from error
