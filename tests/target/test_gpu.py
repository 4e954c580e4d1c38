"""Descriptions of GPUs: which one a device has, and files of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilec.errors import TargetError
from tilec.target import gpu


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (("NVIDIA CUDA", "NVIDIA A100-SXM4-80GB", "NVIDIA Corporation"), "nvidia"),
        (("AMD Accelerated Parallel Processing", "gfx1100", "Advanced Micro Devices"), "amd"),
        (("Intel(R) OpenCL Graphics", "Intel(R) Arc(TM) A770 Graphics", "Intel"), "intel"),
        (("Apple", "Apple M2 Pro", "Apple"), "apple"),
        (("ARM Platform", "Mali-G710 r0p0", "ARM"), "mali"),
        (("Portable Computing Language", "pthread-Intel(R) Xeon(R)", "GenuineIntel"), "pocl"),
        (("QUALCOMM Snapdragon(TM)", "Adreno", "QUALCOMM"), "generic"),
    ],
)
def test_a_device_has_the_description_of_its_family(texts: tuple[str, ...], name: str) -> None:
    assert gpu.family(*texts).name == name


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    assert gpu.by_name("geforce").name == "nvidia"
    with pytest.raises(TargetError, match="no description of the GPU 'voodoo'") as raised:
        gpu.by_name("voodoo")
    assert "generic, intel" in str(raised.value.help)


def test_a_file_of_a_user(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (Path(gpu.__file__).parent / "gpus" / "nvidia.toml").read_text()
    path.write_text(text.replace("units = 108", "units = 7"))
    assert gpu.read_family(path).gpu.units == 7
    path.write_text(text.replace("units = 108", "units = 0"))
    with pytest.raises(TargetError, match="units is 0"):
        gpu.read_family(path)
    path.write_text(text.replace("units = 108", ""))
    with pytest.raises(TargetError, match=r"differ in \['units'\]"):
        gpu.read_family(path)
