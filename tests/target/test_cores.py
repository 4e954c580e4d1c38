from __future__ import annotations

from pathlib import Path

import pytest

from tilec.target.cores import allowed_cores, cgroup_quota, usable_cores


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_no_cgroups_means_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path) is None
    assert usable_cores(tmp_path) == allowed_cores()


def test_the_tightest_quota_of_the_lineage_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/slice/unit\n")
    write(tmp_path / "sys/fs/cgroup/slice/cpu.max", "150000 100000\n")
    write(tmp_path / "sys/fs/cgroup/slice/unit/cpu.max", "400000 100000\n")
    assert cgroup_quota(tmp_path) == 1.5


def test_no_limit_in_the_unified_hierarchy(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert cgroup_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [("50000", 0.5), ("-1", None)])
def test_legacy_hierarchy(tmp_path: Path, quota: str, expected: float | None) -> None:
    # The path inside the container is not visible there: its own cgroup is the mount.
    write(tmp_path / "proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/docker/abc\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", quota + "\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert cgroup_quota(tmp_path) == expected


def test_a_quota_below_one_core_leaves_one(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "10000 100000\n")
    assert usable_cores(tmp_path) == 1
