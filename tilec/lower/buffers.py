"""Where inputs lie, the bytes of constants and of tensors."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import prod

from tilec.dtypes import BF16, F16, F32, F64, DType, Kind
from tilec.kernel.ir import Buffer, VType
from tilec.lower.translate import Place, contiguous
from tilec.tensor.ir import Program, TensorType
from tilec.tensor.size import concrete


def input_places(program: Program, strides: Mapping[str, tuple[int, ...]]) -> dict[str, Place]:
    """Where the inputs of a program lie."""
    return {
        value.name: _input(value.name, value.type, strides.get(value.name))
        for value in program.inputs
    }


def _input(name: str, kind: TensorType, strides: tuple[int, ...] | None) -> Place:
    shape = concrete(kind.shape)
    steps = contiguous(shape) if strides is None else strides
    if 0 in shape:
        return Place(Buffer(name, VType(kind.dtype), 0), steps)
    reach = [(n - 1) * step for n, step in zip(shape, steps, strict=True)]
    low, high = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach) + 1
    return Place(Buffer(name, VType(kind.dtype), high, low), steps)


def constant_bytes(data: tuple[bool | int | float, ...], dtype: DType) -> bytes:
    """Little-endian bytes of some elements."""
    if dtype == BF16:
        words = [struct.unpack("<I", struct.pack("<f", value))[0] >> 16 for value in data]
        return struct.pack(f"<{len(words)}H", *words)
    letters = {F16: "e", F32: "f", F64: "d"}
    if dtype in letters:
        return struct.pack(f"<{len(data)}{letters[dtype]}", *data)
    letter = {8: "b", 16: "h", 32: "i", 64: "q"}[dtype.bits]
    unsigned = dtype.kind in (Kind.UINT, Kind.BOOL)
    return struct.pack(f"<{len(data)}{letter.upper() if unsigned else letter}", *map(int, data))


def tensor_bytes(kind: TensorType) -> int:
    """Bytes of all elements."""
    return prod(concrete(kind.shape)) * kind.dtype.bytes


def register_bits(dtype: DType) -> int:
    """Bits of an element in a register."""
    return max(dtype.bits, 32 if dtype.is_float else 8)
