"""Calls that hand NumPy arrays over as they are: what Python would check is checked in native code.

Reading shape, strides, dtype, flags and address of three small arrays takes longer in Python than
multiplying them. ``tilec_direct`` reads them from the array objects, whose layout is part of
NumPy's ABI, holds them against a table of what the code was compiled for, sees that no output
shares memory with another array, and enters the code without the lock of the interpreter. When
anything differs it returns 0 and has done nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple, TypeAlias, cast

import numpy as np

from tilec.runtime.arrays import ArrayLayout, array_layout, numpy_dtype
from tilec.runtime.spec import Spec

ENTRY: Final = "tilec_direct"

MOST_ADDRESSES: Final = 64
"""Arrays and constants of one call; more of them go the long way."""

_HEAD, _RECORD = 8, 8
_WRITEABLE: Final = 0x400  # NPY_ARRAY_WRITEABLE

Entry: TypeAlias = "Callable[[bytes, int, int, int], int]"
Load: TypeAlias = "Callable[[bytes, Sequence[str]], dict[str, int]]"


def direct_text(layout: ArrayLayout) -> str:
    """LLVM IR of the function.

    ``table`` is words of 64 bits: the type of arrays, how many arrays, how many of them are inputs,
    how many addresses, where those begin that are known, the code, and how to release and take the
    lock; then eight words for each array: dtype, rank, flags, bits that its address must not have,
    where its elements begin and end relative to that, sizes and strides, its place.
    """
    return f"""
define i32 @{ENTRY}(ptr %objects, ptr %table, ptr %workspace, i32 %threads) {{
entry:
  %addresses = alloca [{MOST_ADDRESSES} x i64], align 8
  %type = load i64, ptr %table, align 8
  %count.at = getelementptr i64, ptr %table, i64 1
  %count = load i64, ptr %count.at, align 8
  %inputs.at = getelementptr i64, ptr %table, i64 2
  %inputs = load i64, ptr %inputs.at, align 8
  %all.at = getelementptr i64, ptr %table, i64 3
  %all = load i64, ptr %all.at, align 8
  %known.at = getelementptr i64, ptr %table, i64 4
  %known = load ptr, ptr %known.at, align 8
  %bytes = mul i64 %all, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %addresses, ptr %known, i64 %bytes, i1 false)
  br label %array
array:
  %n = phi i64 [ 0, %entry ], [ %n.next, %accepted ]
  %object.at = getelementptr ptr, ptr %objects, i64 %n
  %object = load ptr, ptr %object.at, align 8
  %words = mul i64 %n, {_RECORD}
  %first = add i64 %words, {_HEAD}
  %record = getelementptr i64, ptr %table, i64 %first
  %type.at = getelementptr i8, ptr %object, i64 {layout.type}
  %found.type = load i64, ptr %type.at, align 8
  %is.array = icmp eq i64 %found.type, %type
  br i1 %is.array, label %typed, label %differs
typed:
  %dtype = load i64, ptr %record, align 8
  %dtype.at = getelementptr i8, ptr %object, i64 {layout.dtype}
  %found.dtype = load i64, ptr %dtype.at, align 8
  %dtype.fits = icmp eq i64 %found.dtype, %dtype
  %rank.at = getelementptr i64, ptr %record, i64 1
  %rank = load i64, ptr %rank.at, align 8
  %found.rank.at = getelementptr i8, ptr %object, i64 {layout.rank}
  %found.rank.32 = load i32, ptr %found.rank.at, align 4
  %found.rank = sext i32 %found.rank.32 to i64
  %rank.fits = icmp eq i64 %found.rank, %rank
  %flags.at = getelementptr i64, ptr %record, i64 2
  %flags = load i64, ptr %flags.at, align 8
  %found.flags.at = getelementptr i8, ptr %object, i64 {layout.flags}
  %found.flags.32 = load i32, ptr %found.flags.at, align 4
  %found.flags = zext i32 %found.flags.32 to i64
  %flags.held = and i64 %found.flags, %flags
  %flags.fit = icmp eq i64 %flags.held, %flags
  %mask.at = getelementptr i64, ptr %record, i64 3
  %mask = load i64, ptr %mask.at, align 8
  %data.at = getelementptr i8, ptr %object, i64 {layout.data}
  %data = load i64, ptr %data.at, align 8
  %odd = and i64 %data, %mask
  %aligned = icmp eq i64 %odd, 0
  %fits.1 = and i1 %dtype.fits, %rank.fits
  %fits.2 = and i1 %flags.fit, %aligned
  %fits = and i1 %fits.1, %fits.2
  br i1 %fits, label %shaped, label %differs
shaped:
  %sizes.at = getelementptr i64, ptr %record, i64 6
  %sizes = load ptr, ptr %sizes.at, align 8
  %found.sizes.at = getelementptr i8, ptr %object, i64 {layout.sizes}
  %found.sizes = load ptr, ptr %found.sizes.at, align 8
  %found.strides.at = getelementptr i8, ptr %object, i64 {layout.strides}
  %found.strides = load ptr, ptr %found.strides.at, align 8
  br label %axis
axis:
  %d = phi i64 [ 0, %shaped ], [ %d.next, %axis.fits ]
  %axes.left = icmp slt i64 %d, %rank
  br i1 %axes.left, label %compare, label %placed
compare:
  %size.at = getelementptr i64, ptr %sizes, i64 %d
  %size = load i64, ptr %size.at, align 8
  %found.size.at = getelementptr i64, ptr %found.sizes, i64 %d
  %found.size = load i64, ptr %found.size.at, align 8
  %size.fits = icmp eq i64 %size, %found.size
  %stride.place = add i64 %d, %rank
  %stride.at = getelementptr i64, ptr %sizes, i64 %stride.place
  %stride = load i64, ptr %stride.at, align 8
  %found.stride.at = getelementptr i64, ptr %found.strides, i64 %d
  %found.stride = load i64, ptr %found.stride.at, align 8
  %stride.same = icmp eq i64 %stride, %found.stride
  %single = icmp eq i64 %size, 1
  %stride.fits = or i1 %stride.same, %single
  %axis.same = and i1 %size.fits, %stride.fits
  br i1 %axis.same, label %axis.fits, label %differs
axis.fits:
  %d.next = add i64 %d, 1
  br label %axis
placed:
  %slot.at = getelementptr i64, ptr %record, i64 7
  %slot = load i64, ptr %slot.at, align 8
  %place = getelementptr i64, ptr %addresses, i64 %slot
  store i64 %data, ptr %place, align 8
  %low.at = getelementptr i64, ptr %record, i64 4
  %low = load i64, ptr %low.at, align 8
  %high.at = getelementptr i64, ptr %record, i64 5
  %high = load i64, ptr %high.at, align 8
  %start = add i64 %data, %low
  %end = add i64 %data, %high
  %is.input = icmp slt i64 %n, %inputs
  br i1 %is.input, label %accepted, label %other
other:
  %m = phi i64 [ 0, %placed ], [ %m.next, %apart ]
  %others.left = icmp slt i64 %m, %n
  br i1 %others.left, label %meet, label %accepted
meet:
  %other.words = mul i64 %m, {_RECORD}
  %other.first = add i64 %other.words, {_HEAD}
  %other.record = getelementptr i64, ptr %table, i64 %other.first
  %other.slot.at = getelementptr i64, ptr %other.record, i64 7
  %other.slot = load i64, ptr %other.slot.at, align 8
  %other.place = getelementptr i64, ptr %addresses, i64 %other.slot
  %other.data = load i64, ptr %other.place, align 8
  %other.low.at = getelementptr i64, ptr %other.record, i64 4
  %other.low = load i64, ptr %other.low.at, align 8
  %other.high.at = getelementptr i64, ptr %other.record, i64 5
  %other.high = load i64, ptr %other.high.at, align 8
  %other.start = add i64 %other.data, %other.low
  %other.end = add i64 %other.data, %other.high
  %begins.before = icmp ult i64 %other.start, %end
  %ends.behind = icmp ult i64 %start, %other.end
  %overlap = and i1 %begins.before, %ends.behind
  br i1 %overlap, label %differs, label %apart
apart:
  %m.next = add i64 %m, 1
  br label %other
accepted:
  %n.next = add i64 %n, 1
  %arrays.left = icmp slt i64 %n.next, %count
  br i1 %arrays.left, label %array, label %run
run:
  %code.at = getelementptr ptr, ptr %table, i64 5
  %code = load ptr, ptr %code.at, align 8
  %release.at = getelementptr ptr, ptr %table, i64 6
  %release = load ptr, ptr %release.at, align 8
  %take.at = getelementptr ptr, ptr %table, i64 7
  %take = load ptr, ptr %take.at, align 8
  %state = call ptr %release()
  call void %code(ptr %addresses, ptr %workspace, i32 %threads)
  call void %take(ptr %state)
  ret i32 1
differs:
  ret i32 0
}}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""


class Table(NamedTuple):
    """What the arrays of a call are held against, as the native function reads it.

    Attributes:
        address: Where it lies.
        kept: The memory that it refers to.
    """

    address: int
    kept: tuple[object, ...]


@cache
def direct_image() -> bytes:
    """Object code of the function, which goes with that of kernels; empty if there can be none."""
    layout = array_layout()
    if layout is None:
        return b""
    from tilec_llvm.target import Compiler, host  # slow to import

    return Compiler(host(), speed=0).object_code(direct_text(layout))


@cache
def entry(image: bytes, load: Load) -> Entry | None:
    """The loaded function; None where the layout of arrays is not what it is known to be."""
    if not image or array_layout() is None:
        return None
    # The lock of the interpreter is held while the arrays are looked at.
    kind = ctypes.PYFUNCTYPE(
        ctypes.c_int32, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32
    )
    return cast("Entry", kind(load(image, (ENTRY,))[ENTRY]))


def table(
    code: int,
    owner: object,
    inputs: Sequence[Spec],
    constants: Sequence[int],
    outputs: Sequence[Spec],
    tail: Sequence[int],
) -> Table | None:
    """The table of one signature; None when it has too many arrays, or empty ones.

    Args:
        code: Address of the code, a function of the addresses, the workspace and the threads.
        owner: Keeps the code in memory.
        inputs: Types of the arrays that callers pass.
        constants: Addresses that follow theirs.
        outputs: Types of the results.
        tail: Addresses that follow theirs.
    """
    arrays = (*inputs, *outputs)
    known = [0] * len(inputs) + [*constants] + [0] * len(outputs) + [*tail]
    if len(known) > MOST_ADDRESSES or any(0 in each.shape for each in arrays):
        return None
    addresses = (ctypes.c_uint64 * len(known))(*known)
    kept: list[object] = [owner, addresses]
    words = [
        id(np.ndarray),
        len(arrays),
        len(inputs),
        len(known),
        ctypes.addressof(addresses),
        code,
        _python("PyEval_SaveThread"),
        _python("PyEval_RestoreThread"),
    ]
    for at, each in enumerate(arrays):
        is_input = at < len(inputs)
        size, dtype = each.dtype.bytes, numpy_dtype(each.dtype)
        sizes = (*each.shape, *(step * size for step in each.strides), 0)
        axes = (ctypes.c_int64 * len(sizes))(*sizes)
        low, high = each.reach_bytes
        slot = at if is_input else at + len(constants)
        words += [id(dtype), len(each.shape), 0 if is_input else _WRITEABLE, size - 1]
        words += [low % (1 << 64), high, ctypes.addressof(axes), slot]
        kept += [axes, dtype]
    made = (ctypes.c_uint64 * len(words))(*words)
    return Table(ctypes.addressof(made), (made, *kept))


@cache
def _python(name: str) -> int:
    """Address of a function of the interpreter."""
    found = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    return cast("int", found)
