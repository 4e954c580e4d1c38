"""What a run found, as JSON has it; reports and pictures are made of this alone."""

from __future__ import annotations

import platform
import statistics
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.limits import Limits
from benchmarks.limits import as_json as limits_json
from benchmarks.peers import NAMES, Found
from benchmarks.session import TILEC, RowResult, SetResult
from tilec.bench.statistic import geometric_mean
from tilec.target.host import host
from tilec.version import __version__
from tilec_llvm.target import versions as llvm_versions

FORMAT = 1


def document(
    result: SetResult, found: Found, threads: int, *, quick: bool, conv: str = "auto"
) -> dict[str, Any]:
    """The document of one set."""
    rows = [row_json(row, result.limits) for row in result.rows]
    return {
        "format": FORMAT,
        "set": result.set.name,
        "title": result.set.title,
        "kind": result.set.kind,
        "source": result.set.source,
        "notes": list(result.set.notes),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "conv": conv,
        "threads": threads,
        "machine": machine_json(),
        "versions": {
            "python": platform.python_version(),
            "tilec": __version__,
            "llvm": llvm_versions(),
            "numpy": np.__version__,
            **found.versions,
        },
        "absent": dict(found.absent),
        "limits": limits_json(result.limits),
        "rows": rows,
        "skipped": dict(result.skipped),
        "summary": summary(rows),
    }


def machine_json() -> dict[str, Any]:
    """The machine, without its name."""
    here = host()
    return {
        "system": here.system,
        "architecture": here.architecture,
        "model": here.model,
        "cpu": here.cpu,
        "features": list(here.features),
        "vector_bits": here.vector_bits,
        "caches": [asdict(each) for each in here.caches],
        "cores": here.cores,
        "platform": sys.platform,
    }


def row_json(row: RowResult, limits: Limits) -> dict[str, Any]:
    """A row with what follows from its times; times are medians in seconds."""
    shortest, roof = limits.seconds(row.flop, row.bytes, row.peak)
    contenders: dict[str, Any] = {}
    own = row.contenders.get(TILEC)
    for name, measured in row.contenders.items():
        seconds = measured.timing.median
        contenders[name] = {
            **asdict(measured.timing),
            "error": measured.error,
            "gflops": row.flop / seconds / 1e9,
            "gbytes": row.bytes / seconds / 1e9,
            "fraction": shortest / seconds,
            # How many times faster tilec is.
            "ratio": None if own is None else seconds / own.timing.median,
        }
    others = [each["ratio"] for name, each in contenders.items() if name != TILEC and own]
    return {
        "name": row.name,
        "flop": row.flop,
        "bytes": row.bytes,
        "intensity": row.flop / row.bytes,
        "roof": roof,
        "limit_seconds": shortest,
        "peak": row.peak,
        "turning_seconds": row.turning,
        "best_ratio": min(others, default=None),
        "contenders": contenders,
        "failures": dict(row.failures),
        "compile_seconds": row.compile_seconds,
        "workspace_bytes": row.workspace_bytes,
        "schedule": list(row.schedule),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Geometric means, extremes, and tilec's worst rows."""
    own = [row for row in rows if TILEC in row["contenders"]]
    known = [row for row in own if row["best_ratio"] is not None]
    names = [name for name in NAMES if any(name in row["contenders"] for row in rows)]
    compiled = [row["compile_seconds"] for row in own]
    by_ratio = sorted(known, key=lambda row: row["best_ratio"])
    by_fraction = sorted(own, key=_fraction)
    return {
        "fraction": {
            name: geometric_mean(
                row["contenders"][name]["fraction"] for row in rows if name in row["contenders"]
            )
            for name in (TILEC, *names)
        },
        "ratio": {
            name: geometric_mean(
                row["contenders"][name]["ratio"] for row in own if name in row["contenders"]
            )
            for name in names
        },
        "best_ratio": geometric_mean(row["best_ratio"] for row in known),
        "worst_ratios": [[row["name"], row["best_ratio"]] for row in by_ratio[:3]],
        "worst_fractions": [[row["name"], _fraction(row)] for row in by_fraction[:3]],
        "compile_median": statistics.median(compiled) if compiled else None,
        "compile_worst": max(compiled, default=None),
        "workspace_worst": max((row["workspace_bytes"] for row in own), default=None),
    }


def _fraction(row: dict[str, Any]) -> float:
    return row["contenders"][TILEC]["fraction"]
