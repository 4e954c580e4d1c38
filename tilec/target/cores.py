"""How many cores this process may use: affinity, cut down by the CPU quota of its cgroups."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """Cores that this process may keep busy; at least 1.

    Hardware threads count as cores, because that is what affinity and quotas count.

    Args:
        root: Where ``proc`` and ``sys`` are mounted.
    """
    allowed = allowed_cores()
    quota = cgroup_quota(root)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def allowed_cores() -> int:
    """Cores in the affinity mask of this process, or all where masks do not exist."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(root: Path = _ROOT) -> float | None:
    """The tightest CPU quota of this process's cgroup and its parents, in cores.

    None when there is no limit, or no cgroups. A cgroup may be mounted as its own root inside a
    container, so folders on the way that do not exist are passed over.
    """
    mounts = root / "sys/fs/cgroup"
    quotas: list[float] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folders = _lineage(mounts, path)
            quotas.extend(quota for at in folders if (quota := _unified_quota(at)) is not None)
        elif "cpu" in controllers.split(","):
            folders = _lineage(mounts / controllers, path)
            quotas.extend(quota for at in folders if (quota := _legacy_quota(at)) is not None)
    return min(quotas, default=None)


def _lineage(mount: Path, path: str) -> list[Path]:
    below = mount / path.lstrip("/")
    return [below, *(at for at in below.parents if at.is_relative_to(mount))]


def _unified_quota(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _legacy_quota(folder: Path) -> float | None:
    quota = _text(folder / "cpu.cfs_quota_us").strip()
    period = _text(folder / "cpu.cfs_period_us").strip()
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # no such file, or -1: no limit
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
