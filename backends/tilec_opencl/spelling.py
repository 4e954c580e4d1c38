"""How types and constants are spelled in OpenCL C and in CUDA C.

A value in memory and in a register may differ: a bool is a byte in memory, ``bool`` in a register,
and in a vector an ``int`` of 0 or -1, as comparisons of vectors give it. f16 and bf16 are integers
of 16 bits in both and computed in f32 (see ``helpers.py``), so they work on every device.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import isinf, isnan
from string import Template
from typing import Final

from tilec.dtypes import BF16, F16, F32, F64, DType, Kind
from tilec.errors import InternalError
from tilec.kernel.ir import VType
from tilec.records import dataclass

NARROW: Final = (F16, BF16)
"""Types that are computed in f32."""

LANES: Final = "0123456789abcdef"
"""Names of the components of a vector."""

_OPENCL: Final = {
    "i8": "char", "i16": "short", "i32": "int", "i64": "long",
    "u8": "uchar", "u16": "ushort", "u32": "uint", "u64": "ulong",
    "f16": "ushort", "bf16": "ushort", "f32": "float", "f64": "double",
}  # fmt: skip
_CUDA_VECTORS: Final = {
    **_OPENCL, "i64": "longlong", "u64": "ulonglong",
}  # fmt: skip
_CUDA: Final = {
    **_OPENCL,
    "i8": "signed char", "i64": "long long", "u8": "unsigned char", "u16": "unsigned short",
    "u32": "unsigned int", "u64": "unsigned long long",
    "f16": "unsigned short", "bf16": "unsigned short",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two languages.

    Attributes:
        name: ``opencl`` or ``cuda``.
        types: Spelling of each dtype but bool.
        long_suffix: Suffix of a signed constant of 64 bits.
        function: Before every function that is no kernel.
        kernel: Before every kernel.
        sized: Before a kernel whose groups have some shape.
        memory: Before a pointer to global memory.
        shared: Before an array that a work-group shares.
        local: Before a pointer to such an array.
        wide: Aligns an array to 16 bytes.
        sized_at: Where among the words before its name a kernel's shape stands.
        restrict: Says that a pointer has no alias.
        barrier: Waits for the other items of a group.
        group: Number of the group along an axis.
        item: Number of the item in its group along an axis.
        size: Items of a group along an axis.
        groups: Groups along an axis.
    """

    name: str
    types: dict[str, str]
    long_suffix: str
    function: str
    kernel: str
    sized: str
    memory: str
    shared: str
    local: str
    wide: str
    sized_at: int
    restrict: str
    barrier: str
    group: tuple[str, str, str]
    item: tuple[str, str, str]
    size: tuple[str, str, str]
    groups: tuple[str, str, str]

    def scalar(self, dtype: DType) -> str:
        """Type of one value in a register."""
        return "bool" if dtype.kind is Kind.BOOL else self.types[dtype.name]

    def stored(self, dtype: DType) -> str:
        """Type of one element in memory."""
        return self.types["u8"] if dtype.kind is Kind.BOOL else self.types[dtype.name]

    def register(self, kind: VType) -> str:
        """Type of a value in a register."""
        if kind.lanes == 1:
            return self.scalar(kind.dtype)
        if self.name != "opencl":
            return self._cuda_vector(kind)
        if kind.lanes not in (2, 4, 8, 16):
            raise InternalError(f"{kind}: OpenCL has no vectors of {kind.lanes} lanes")
        return (
            f"{'int' if kind.dtype.kind is Kind.BOOL else self.types[kind.dtype.name]}{kind.lanes}"
        )

    def _cuda_vector(self, kind: VType) -> str:
        """CUDA has vectors of at most 16 bytes, to be moved and not to be computed with."""
        if kind.dtype.kind is Kind.BOOL or kind.lanes not in (2, 4):
            raise InternalError(f"{kind}: there are no such vectors in CUDA")
        if kind.lanes * kind.dtype.bytes > 16:
            raise InternalError(f"{kind}: vectors in CUDA have at most 16 bytes")
        return f"{_CUDA_VECTORS[kind.dtype.name]}{kind.lanes}"

    def component(self, lane: int) -> str:
        """What selects a lane of a vector."""
        return f".s{LANES[lane]}" if self.name == "opencl" else f".{'xyzw'[lane]}"

    def made(self, kind: VType, parts: Sequence[str]) -> str:
        """A vector of some lanes."""
        given = ", ".join(parts)
        if self.name == "opencl":
            return f"({self.register(kind)})({given})"
        return f"make_{self.register(kind)}({given})"

    def shaped(self, shape: tuple[int, int, int]) -> str:
        """What stands before a kernel whose groups have a shape."""
        return Template(self.sized).substitute(
            X=shape[0], Y=shape[1], Z=shape[2], N=shape[0] * shape[1] * shape[2]
        )

    def literal(self, value: float, dtype: DType) -> str:
        """``value`` rounded to a dtype."""
        if dtype.kind is Kind.BOOL:
            return "true" if value else "false"
        if dtype in NARROW:
            return f"({self.types[dtype.name]}){_narrow_bits(float(value), dtype):#06x}"
        if dtype.is_float:
            return _float(float(value), dtype)
        return self._integer(int(value), dtype)

    def _integer(self, value: int, dtype: DType) -> str:
        bits = dtype.bits
        value %= 1 << bits
        if dtype.is_signed and value >> (bits - 1):
            value -= 1 << bits
        suffix = {"i32": "", "u32": "u", "i64": self.long_suffix, "u64": f"U{self.long_suffix}"}
        if dtype.name not in suffix:
            return f"({self.types[dtype.name]}){value}" if value >= 0 else self._cast(value, dtype)
        tail = suffix[dtype.name]
        if value == -(1 << (bits - 1)):  # its absolute value has no constant
            return f"({value + 1}{tail} - 1)"
        return f"{value}{tail}" if value >= 0 else f"({value}{tail})"

    def _cast(self, value: int, dtype: DType) -> str:
        return f"({self.types[dtype.name]})({value})"


OPENCL: Final = Dialect(
    name="opencl",
    types=_OPENCL,
    long_suffix="L",
    function="__attribute__((always_inline)) ",
    kernel="__kernel",
    sized="__attribute__((reqd_work_group_size($X, $Y, $Z)))",
    memory="__global ",
    shared="__local ",
    local="__local ",
    wide="__attribute__((aligned(16))) ",
    sized_at=1,
    restrict="restrict",
    barrier="barrier(CLK_LOCAL_MEM_FENCE);",
    group=("get_group_id(0)", "get_group_id(1)", "get_group_id(2)"),
    item=("get_local_id(0)", "get_local_id(1)", "get_local_id(2)"),
    size=("get_local_size(0)", "get_local_size(1)", "get_local_size(2)"),
    groups=("get_num_groups(0)", "get_num_groups(1)", "get_num_groups(2)"),
)
"""OpenCL C 1.2, which every device understands."""

CUDA: Final = Dialect(
    name="cuda",
    types=_CUDA,
    long_suffix="LL",
    function="static __device__ inline ",
    kernel='extern "C" __global__',
    sized="__launch_bounds__($N, 1)",
    memory="",
    shared="__shared__ ",
    local="",
    wide="__align__(16) ",
    sized_at=2,
    restrict="__restrict__",
    barrier="__syncthreads();",
    group=("blockIdx.x", "blockIdx.y", "blockIdx.z"),
    item=("threadIdx.x", "threadIdx.y", "threadIdx.z"),
    size=("blockDim.x", "blockDim.y", "blockDim.z"),
    groups=("gridDim.x", "gridDim.y", "gridDim.z"),
)
"""CUDA C++ as nvcc and NVRTC compile it; for kernels that do not compute with vectors."""


def _float(value: float, dtype: DType) -> str:
    tail = "f" if dtype == F32 else ""
    if dtype == F32:
        value = _single(value)
    if isnan(value) or isinf(value):
        text = "NAN" if isnan(value) else "INFINITY" if value > 0 else "(-INFINITY)"
        return text if dtype == F32 else f"(double){text}"
    # Seventeen digits name an f64 and nine an f32; Python prints the fewest that do.
    text = repr(value) if dtype == F64 else _short(value)
    text = text if "." in text or "e" in text else f"{text}.0"
    return f"({text}{tail})" if value < 0 or text.startswith("-") else f"{text}{tail}"


def _short(value: float) -> str:
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if _single(float(text)) == value:
            return text
    return repr(value)


def _single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _narrow_bits(value: float, dtype: DType) -> int:
    """Bits of the f16 or bf16 nearest to a value."""
    if isnan(value):
        return 0x7E00 if dtype == F16 else 0x7FC0
    if dtype == F16:
        try:
            return int(struct.unpack("<H", struct.pack("<e", value))[0])
        except OverflowError:
            return 0x7C00 if value > 0 else 0xFC00
    single = _single(value)
    bits = int(struct.unpack("<I", struct.pack("<f", single))[0])
    if single != value and not bits & 1:  # to odd, so that rounding again is not misled
        bits += -1 if abs(single) > abs(value) else 1
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) & 0xFFFF
