"""Descriptions of devices that run groups of items, for tests."""

from __future__ import annotations

from dataclasses import replace

from tilec.target import gpu
from tilec.target.core import Core

NVIDIA = Core(name="nvidia", vector_bytes=0, threads=108, gpu=gpu.by_name("nvidia"))
"""A large device."""


def small(group_items: int = 16) -> Core:
    """A device whose groups are small enough for the interpreter."""
    assert NVIDIA.gpu is not None
    tiny = replace(
        NVIDIA.gpu,
        group_items=group_items,
        warp=4,
        units=4,
        unit_items=64,
        group_local_bytes=8192,
    )
    return replace(NVIDIA, gpu=tiny)
