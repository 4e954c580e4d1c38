"""Loads and stores of every shape against NumPy indexing; nothing outside is touched."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest

from tests.llvm.harness import (
    Array,
    input_buffer,
    module_of,
    numpy_dtype,
    output_buffer,
    run,
    same,
)
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, DType
from tilec.kernel import build
from tilec.kernel.ir import Apply, Buffer, Const, Expr, For, Load, Ramp, Splat, Stmt, Store, VType

pytestmark = pytest.mark.every_target

DTYPES = (F32, F64, F16, BF16, I8, I64, BOOL)
STRIDES = (0, 1, -1, 2, -2, 3, 4, -4, 5, -7, 100)


def sample(dtype: DType, size: int) -> Array:
    rng = np.random.default_rng(size)
    return rng.integers(0, 100, size).astype(numpy_dtype(dtype))


def mask_of(name: str, lanes: int) -> Load:
    return Load(name, build.const(0), VType(BOOL, lanes))


def masks(lanes: int) -> list[Array]:
    rng = np.random.default_rng(lanes)
    some = rng.integers(0, 2, lanes).astype(bool)
    return [np.zeros(lanes, bool), some, np.arange(lanes) < (lanes + 1) // 2]


@pytest.mark.parametrize("lanes", [1, 4, 16, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_strided_accesses(dtype: DType, lanes: int) -> None:
    """Loads of every stride, all in one kernel, each to its own output; then the stores."""
    size = 100 * lanes + 1
    source = sample(dtype, size)
    kind = VType(dtype, lanes)
    outputs = [output_buffer(f"out{n}", dtype, lanes) for n in range(len(STRIDES))]
    body: list[Stmt] = []
    for buffer, stride in zip(outputs, STRIDES, strict=True):
        start = 0 if stride >= 0 else (lanes - 1) * -stride
        load = Load("a", build.const(start), kind, stride=stride)
        body.append(Store(buffer.name, build.const(0), load))
    results = [np.zeros(lanes, source.dtype) for _ in STRIDES]
    run(module_of(body, [input_buffer("a", dtype, size)], outputs), [source], results)
    for result, stride in zip(results, STRIDES, strict=True):
        start = 0 if stride >= 0 else (lanes - 1) * -stride
        assert same(result, source[start + stride * np.arange(lanes)]), stride


@pytest.mark.parametrize("lanes", [1, 4, 16, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_masked_strided_loads(dtype: DType, lanes: int) -> None:
    source = sample(dtype, 8 * lanes)
    strides = (0, 1, -1, 2, -3)
    for mask in masks(lanes):
        outputs = [output_buffer(f"out{n}", dtype, lanes) for n in range(len(strides))]
        body: list[Stmt] = []
        for buffer, stride in zip(outputs, strides, strict=True):
            start = 0 if stride >= 0 else (lanes - 1) * -stride
            load = Load("a", build.const(start), VType(dtype, lanes), stride, mask_of("m", lanes))
            body.append(Store(buffer.name, build.const(0), load))
        inputs = [input_buffer("a", dtype, source.size), input_buffer("m", BOOL, lanes)]
        results = [np.ones(lanes, source.dtype) for _ in strides]
        run(module_of(body, inputs, outputs), [source, mask], results)
        for result, stride in zip(results, strides, strict=True):
            start = 0 if stride >= 0 else (lanes - 1) * -stride
            read = source[start + stride * np.arange(lanes)]
            assert same(result, np.where(mask, read, np.zeros_like(read))), stride


@pytest.mark.parametrize("lanes", [1, 4, 64])
@pytest.mark.parametrize("stride", [1, -1, 2, -10])
@pytest.mark.parametrize("dtype", [F32, BF16, BOOL], ids=str)
def test_stores_write_their_lanes_and_nothing_else(dtype: DType, stride: int, lanes: int) -> None:
    source = sample(dtype, lanes)
    size = 10 * lanes
    start = 0 if stride >= 0 else (lanes - 1) * -stride
    where = start + stride * np.arange(lanes)
    for mask in masks(lanes):
        for used in (None, mask):
            store = Store(
                "out",
                build.const(start),
                Load("a", build.const(0), VType(dtype, lanes)),
                stride,
                None if used is None else mask_of("m", lanes),
            )
            inputs = [input_buffer("a", dtype, lanes), input_buffer("m", BOOL, lanes)]
            before = sample(dtype, size)
            result = before.copy()
            module = module_of([store], inputs, [output_buffer("out", dtype, size)])
            run(module, [source, mask], [result])
            chosen = np.ones(lanes, bool) if used is None else mask
            before[where[chosen]] = source[chosen]
            assert same(result, before)


def clamped(index: Expr, high: int) -> Expr:
    kind = index.type
    lowest = Apply("max", (index, Const(0, kind)), kind)
    return Apply("min", (lowest, Const(high - 1, kind)), kind)


@pytest.mark.parametrize("lanes", [1, 4, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gather_and_scatter(dtype: DType, lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    size = 3 * lanes
    source = sample(dtype, size)
    where = rng.permutation(size)[:lanes].astype(np.int64)
    index = clamped(Load("i", build.const(0), VType(I64, lanes)), size)
    kind = VType(dtype, lanes)
    for mask in (None, masks(lanes)[1]):
        chosen = np.ones(lanes, bool) if mask is None else mask
        used = None if mask is None else mask_of("m", lanes)
        body = [
            Store("gathered", build.const(0), Load("a", index, kind, mask=used)),
            Store("scattered", index, Load("a", build.const(0), kind), mask=used),
        ]
        inputs = [
            input_buffer("a", dtype, size),
            input_buffer("i", I64, lanes),
            input_buffer("m", BOOL, lanes),
        ]
        outputs = [output_buffer("gathered", dtype, lanes), output_buffer("scattered", dtype, size)]
        gathered, scattered = np.zeros(lanes, source.dtype), np.zeros(size, source.dtype)
        run(module_of(body, inputs, outputs), [source, where, chosen], [gathered, scattered])
        assert same(gathered, np.where(chosen, source[where], np.zeros_like(gathered)))
        wanted = np.zeros_like(scattered)
        wanted[where[chosen]] = source[:lanes][chosen]
        assert same(scattered, wanted)


def test_of_equal_scattered_offsets_the_last_lane_stays() -> None:
    lanes = 16
    values = np.arange(lanes, dtype=np.float32)
    where = np.array([0, 1, 0, 2, 1, 0, 3, 3, 2, 1, 0, 0, 1, 2, 3, 2], np.int64)
    index = clamped(Load("i", build.const(0), VType(I64, lanes)), 4)
    body = [Store("out", index, Load("a", build.const(0), VType(F32, lanes)))]
    inputs = [input_buffer("a", F32, lanes), input_buffer("i", I64, lanes)]
    result = np.zeros(4, np.float32)
    run(module_of(body, inputs, [output_buffer("out", F32, 4)]), [values, where], [result])
    assert result.tolist() == [11, 12, 15, 14]


class Fenced:
    """Memory whose ends touch pages that must not be accessed."""

    def __init__(self) -> None:
        self.page = mmap.PAGESIZE
        self.map = mmap.mmap(-1, 3 * self.page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.protect = ctypes.CDLL(None).mprotect
        self.protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for page in (0, 2):
            assert self.protect(base + page * self.page, self.page, 0) == 0
        self.middle = np.frombuffer(self.map, np.uint8, self.page, self.page)

    def at_end(self, size: int, dtype: DType) -> Array:
        kind = numpy_dtype(dtype)
        return self.middle[self.page - size * kind.itemsize :].view(kind)

    def at_start(self, size: int, dtype: DType) -> Array:
        kind = numpy_dtype(dtype)
        return self.middle[: size * kind.itemsize].view(kind)


@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS"), reason="needs mprotect")
@pytest.mark.parametrize("lanes", [4, 64])
@pytest.mark.parametrize("stride", [1, -1, 2, -2, 3, 5, -7])
@pytest.mark.parametrize("dtype", [F32, I8, F64], ids=str)
def test_no_byte_beyond_the_ends_is_touched(dtype: DType, stride: int, lanes: int) -> None:
    size = (lanes - 1) * abs(stride) + 1
    if size * dtype.bytes > mmap.PAGESIZE:
        pytest.skip("the array does not fit into one page")
    fence = Fenced()
    start = 0 if stride > 0 else size - 1
    kind = VType(dtype, lanes)
    half = Apply(
        "cmp_lt",
        (Ramp(Const(0, VType(I32)), 1, VType(I32, lanes)), Const(lanes // 2, VType(I32, lanes))),
        VType(BOOL, lanes),
    )
    for masked in (False, True):
        reach = (lanes // 2 - 1) * abs(stride) + 1 if masked else size
        first = 0 if stride > 0 else reach - 1
        load = Load("a", build.const(first if masked else start), kind, stride)
        if masked:
            load = Load("a", build.const(first), kind, stride, half)
        body = [Store("out", build.const(0), load)]
        for array in (fence.at_start(reach, dtype), fence.at_end(reach, dtype)):
            array[:] = sample(dtype, reach)
            result = np.zeros(lanes, array.dtype)
            module = module_of(
                body, [input_buffer("a", dtype, reach)], [output_buffer("out", dtype, lanes)]
            )
            run(module, [array], [result])
            active = lanes // 2 if masked else lanes
            assert same(result[:active], array[first + stride * np.arange(active)])
            assert not np.any(result[active:])


@pytest.mark.parametrize("lanes", [1, 16])
def test_arrays_need_only_the_alignment_of_their_elements(lanes: int) -> None:
    raw = np.zeros(4 * 64 + 4, np.uint8)
    source = raw[4:].view(np.float32)
    source[:] = np.arange(64)
    target = np.zeros(65, np.float32)[1:]
    index = build.var("i")
    kind = VType(F32, lanes)
    body = [
        For(
            "i",
            build.const(0),
            build.const(64),
            (Store("out", index, Load("a", index, kind)),),
            step=lanes,
        )
    ]
    run(
        module_of(body, [input_buffer("a", F32, 64)], [output_buffer("out", F32, 64)]),
        [source],
        [target],
    )
    assert np.array_equal(target, source)


@pytest.mark.parametrize("lanes", [1, 16])
def test_offsets_beyond_32_bits(lanes: int, target: str) -> None:
    """A view that reaches over 2**32 elements, of which two pages exist."""
    if target != "llvm":
        pytest.skip("an array on a device is smaller than that")
    step = (1 << 32) + 24
    reserve = ctypes.CDLL(None).mmap
    reserve.restype = ctypes.c_void_p
    reserve.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    unmap = ctypes.CDLL(None).munmap
    unmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    length = step + 4096
    no_reserve = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    base = reserve(None, length, mmap.PROT_READ | mmap.PROT_WRITE, no_reserve, -1, 0)
    if base is None or base == ctypes.c_void_p(-1).value:
        pytest.skip("the system does not reserve address space of 4 GiB")
    try:
        kind = VType(I8, lanes)
        row = build.var("r")
        where = build.mul(row, build.const(step))
        load = Load("a", where, kind)
        gather = Load("a", _spread(where, lanes), kind)
        far = Load("a", build.const(0), VType(I8, 2), stride=step)
        body = [
            For(
                "r",
                build.const(0),
                build.const(2),
                (
                    Store("out", build.mul(row, build.const(lanes)), load),
                    Store(
                        "out",
                        build.add(build.mul(row, build.const(lanes)), build.const(2 * lanes)),
                        gather,
                    ),
                ),
            ),
            Store("out", build.const(4 * lanes), far),
        ]
        ctypes.memset(base, 3, lanes)
        ctypes.memset(base + step, 5, lanes)
        result = np.zeros(4 * lanes + 2, np.int8)
        module = module_of(
            body,
            [Buffer("a", VType(I8), step + lanes)],
            [output_buffer("out", I8, result.size)],
        )
        holder = np.ctypeslib.as_array((ctypes.c_int8 * 1).from_address(base))
        run(module, [holder], [result])
        wanted = [3] * lanes + [5] * lanes
        assert result.tolist() == [*wanted, *wanted, 3, 5]
    finally:
        unmap(base, length)


def _spread(start: Expr, lanes: int) -> Expr:
    return build.ramp(start, lanes)


def test_negative_offsets_of_arrays_with_negative_strides() -> None:
    array = np.arange(32, dtype=np.float32)
    view = array[::-1]
    buffer = input_buffer("a", F32, 1, low=-31)
    load = Load("a", build.const(0), VType(F32, 32), stride=-1)
    result = np.zeros(32, np.float32)
    module = module_of(
        [Store("out", build.const(0), load)], [buffer], [output_buffer("out", F32, 32)]
    )
    run(module, [view], [result])
    assert np.array_equal(result, view)


@pytest.mark.parametrize("lane", [0, 5])
@pytest.mark.parametrize("dtype", [BF16, I8, I16, I32, F16], ids=str)
def test_a_store_of_one_known_lane_writes_that_element_alone(dtype: DType, lane: int) -> None:
    """LLVM 22 stored the lane as it was before it was narrowed: four or eight bytes of it."""
    lanes, wide = 16, F32 if dtype.is_float else I64
    source = np.arange(1, lanes + 1).astype(numpy_dtype(wide))
    numbers = VType(I64, lanes)
    known = (Ramp(build.const(0), 1, numbers), Splat(build.const(lane), numbers))
    mask = Apply("cmp_eq", known, VType(BOOL, lanes))
    value = Apply("cast", (Load("a", build.const(0), VType(wide, lanes)),), VType(dtype, lanes))
    result = np.full(lanes, 77, numpy_dtype(dtype))
    expected = result.copy()
    expected[lane] = source.astype(numpy_dtype(dtype))[lane]
    body = [Store("out", build.const(0), value, mask=mask)]
    module = module_of(body, [input_buffer("a", wide, lanes)], [output_buffer("out", dtype, lanes)])
    run(module, [source], [result])
    assert same(result, expected)
