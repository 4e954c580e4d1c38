from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tilec.target.host import Cache, data_caches, host, vector_bits


def test_this_machine() -> None:
    this = host()
    assert this.cpu
    assert 1 <= this.cores <= this.allowed_cores
    assert this is host()
    assert list(this.features) == sorted(this.features)
    assert [item.level for item in this.caches] == sorted(item.level for item in this.caches)


@pytest.mark.parametrize(
    ("features", "bits"),
    [
        (("avx", "avx512f", "sse2"), 512),
        (("avx", "sse2"), 256),
        (("sse2",), 128),
        (("neon", "sve"), 128),
        ((), 0),
    ],
)
def test_vector_width(features: tuple[str, ...], bits: int) -> None:
    assert vector_bits(features) == bits


@pytest.mark.skipif(sys.platform != "linux", reason="caches are read from Linux's sysfs")
def test_caches(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cache"
    rows = [
        ("index0", "1", "Data", "48K", "0"),
        ("index1", "1", "Instruction", "32K", "0"),
        ("index2", "2", "Unified", "2M", "0-1"),
        ("index3", "3", "Unified", "36608K", "0-3,8"),
    ]
    for name, level, kind, size, shared in rows:
        at = folder / name
        at.mkdir(parents=True)
        facts = {"level": level, "type": kind, "size": size, "shared_cpu_list": shared}
        for fact, value in {**facts, "coherency_line_size": "64"}.items():
            (at / fact).write_text(value + "\n")
    assert data_caches(tmp_path) == (
        Cache(1, 48 << 10, 64, 1),
        Cache(2, 2 << 20, 64, 2),
        Cache(3, 36608 << 10, 64, 5),
    )
    (folder / "index4").mkdir()  # a kernel that says nothing about this one
    assert len(data_caches(tmp_path)) == 3
