from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tilec.errors import InternalError, TargetError
from tilec.target import core
from tilec.target.core import Core, described, descriptions, host_core, load, with_system
from tilec.target.host import Cache, Host, host
from tilec_llvm.target import CPUS

SERVER = Host("Linux", "x86_64", "", "znver4", ("avx", "avx512f"), 512, (), 2, 2)


def test_every_processor_that_can_be_compiled_for_has_one_description() -> None:
    described = [cpu for each in descriptions() for cpu in each.cpus]
    assert len(described) == len(set(described))
    assert {cpu for cpus in CPUS.values() for cpu in cpus} <= set(described)


@pytest.mark.parametrize("name", [each.core.name for each in descriptions()])
def test_a_description_is_plausible(name: str) -> None:
    found = load(name)
    assert found.vector_bytes in (16, 32, 64)
    assert found.registers in (16, 30, 32)
    assert found.l1_bytes < found.l2_bytes
    assert found.l3_bytes == 0 or found.l3_bytes > found.l2_bytes
    for size, ways in [(found.l1_bytes, found.l1_ways), (found.l2_bytes, found.l2_ways)]:
        assert size % (ways * found.line_bytes) == 0
    assert found.peak_flops(4) > found.peak_flops(8) > found.memory_gigabytes * 1e8


def test_the_defaults_are_those_of_the_file() -> None:
    assert replace(load("skylake-avx512"), threads=2) == Core()


def test_a_processor_is_found_by_name() -> None:
    assert described(SERVER).name == "zen4"
    assert load("neoverse-n1").vector_bytes == 16
    assert load("haswell").vector_bytes == 32
    with pytest.raises(TargetError, match="no description of the processor 'z80'"):
        load("z80")


@pytest.mark.parametrize(
    ("features", "name"),
    [
        (("avx2", "fma"), "x86-64-v3"),
        (("avx2", "fma", "sse4a"), "zen2"),
        (("avx512f", "avx2", "fma", "sse4.2"), "skylake-avx512"),
        (("neon",), "neon"),
        (("sse2", "sse4.2"), "x86-64-v2"),
        ((), "generic"),
    ],
)
def test_an_unknown_processor_is_described_by_its_features(
    features: tuple[str, ...], name: str
) -> None:
    assert described(replace(SERVER, cpu="unknown", features=features)).name == name


def test_what_the_system_says_goes_before_the_description() -> None:
    caches = (Cache(1, 48 << 10, 64, 1), Cache(2, 4 << 20, 64, 4))
    found = with_system(Core(), caches, 2)
    assert (found.l1_bytes, found.l2_bytes, found.l3_bytes) == (48 << 10, 2 << 20, 0)
    assert [level for level, _ in found.levels] == ["L1", "L2"]
    assert with_system(Core(), (), 5) == replace(Core(), threads=5)


def test_no_vectors_without_the_features() -> None:
    assert described(replace(SERVER, vector_bits=0)).vector_bytes == 0


def test_this_machine() -> None:
    this = host_core()
    assert this.threads == host().cores
    assert this is host_core()
    assert this.peak_flops(4) == pytest.approx(this.threads * this.peak_flops(4, 1))
    assert this.bandwidth("L1") > this.bandwidth("memory")


def test_a_description_that_lacks_something_is_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    (tmp_path / "odd.toml").write_text("cpus = []\nfeatures = []\nvector_bytes = 16\n")
    monkeypatch.setattr(core, "_FOLDER", tmp_path)
    descriptions.cache_clear()
    try:
        with pytest.raises(InternalError, match=r"odd\.toml cannot be read: its fields"):
            descriptions()
    finally:
        monkeypatch.undo()
        descriptions.cache_clear()
