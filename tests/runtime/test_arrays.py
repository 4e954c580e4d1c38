"""What callers may pass, what is copied, and what is refused in which words."""

from __future__ import annotations

import array as stdlib_array
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.dtypes import ALL, BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, U64
from tilec.errors import ArgumentError, LimitError, TilecError, TileTypeError
from tilec.runtime.arrays import (
    addresses_of,
    allocate,
    numpy_dtype,
    spec_of,
    take,
    tile_dtype,
)
from tilec.runtime.outputs import Result, take_outputs
from tilec.runtime.spec import Spec


class DLPack:
    """A tensor of some other library, which has DLPack and nothing else."""

    def __init__(self, array: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.array = array
        self.device = device

    def __dlpack__(self, **options: Any) -> object:
        if self.device != (1, 0):
            raise BufferError("the data is not on the CPU")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class WithArray:
    """An object with ``__array__`` and nothing else."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array


def as_memory(array: Any) -> memoryview:
    return memoryview(array)


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_every_dtype_has_its_numpy_dtype(dtype: Any) -> None:
    found = numpy_dtype(dtype)
    assert tile_dtype(found) == dtype
    assert found.itemsize == dtype.bytes


VIEWS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda a: a,
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, ::2],
    "column": lambda a: a[2:, 1],
    "broadcast": lambda a: np.broadcast_to(a[:1], (5, 6)),
    "empty": lambda a: a[0, 0:0],
    "scalar": lambda a: a[1, 1, ...],
}


@pytest.mark.parametrize("view", VIEWS)
def test_numpy_arrays_are_not_copied(view: str) -> None:
    given = VIEWS[view](np.arange(24, dtype=np.float32).reshape(4, 6))
    given.flags.writeable = False
    taken = take("A", given, None)
    assert taken is given
    assert addresses_of([taken]) == [given.__array_interface__["data"][0]]


def test_spec_has_strides_in_elements() -> None:
    a = np.zeros((4, 6), np.float64)
    assert spec_of(a[::-2, 1:]) == Spec((2, 5), "f64", (-12, 1))
    assert spec_of(np.broadcast_to(a[0], (3, 6))) == Spec((3, 6), F64, (0, 1))
    assert spec_of(a).is_row_major
    assert not spec_of(a.T).is_row_major


def test_strides_that_are_never_used_do_not_matter() -> None:
    a = np.zeros((4, 6), np.float32)
    assert spec_of(a[:1, ::2]) == Spec((1, 3), F32, (3, 2))
    assert spec_of(a.T[:0]) == Spec((0, 4), F32)


UNUSUAL: dict[str, Callable[[], Any]] = {
    "unaligned": lambda: np.frombuffer(bytearray(17), np.uint8)[1:].view(np.float32),
    "field": lambda: np.zeros(3, [("a", "u1"), ("b", "<f4")])["b"],
    "foreign byte order": lambda: np.arange(5, dtype=">f4"),
    "odd strides": lambda: np.zeros(3, [("a", "<f4"), ("b", "u1")])["a"],
}


@pytest.mark.parametrize("which", UNUSUAL)
def test_what_code_cannot_address_is_copied(which: str) -> None:
    given = UNUSUAL[which]()
    taken = take("A", given, None)
    assert not np.shares_memory(taken, given)
    np.testing.assert_array_equal(taken, given)
    assert taken.dtype == np.float32
    assert taken.dtype.isnative
    assert addresses_of([taken])[0] % 4 == 0
    assert spec_of(taken).is_row_major


def test_other_libraries_are_not_copied() -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    for other in (DLPack(a), DLPack(a[::-1]), WithArray(a), as_memory(a)):
        taken = take("A", other, None)
        assert np.shares_memory(taken, a)
    numbers = stdlib_array.array("d", [1, 2, 3])
    assert take("A", numbers, None).tolist() == [1, 2, 3]
    data = bytearray(b"abc")
    assert take("A", data, None).dtype == np.uint8
    data[0] = 0
    assert take("A", b"\1\2", None).tolist() == [1, 2]


def test_read_only_dlpack() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    assert np.shares_memory(take("A", DLPack(a), None), a)


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.ones(3, ml_dtypes.bfloat16)
    assert take("A", a, None) is a
    assert spec_of(a) == Spec((3,), BF16)


@pytest.mark.parametrize(
    ("value", "declared", "dtype"),
    [
        (1, None, I32),
        (-(1 << 31), None, I32),
        (1 << 31, None, I64),
        (1 << 63, None, U64),
        (0.5, None, F32),
        (True, None, BOOL),
        (3, U8, U8),
        (3, F16, F16),
        (True, F64, F64),
        (np.float64(2), None, F64),
        (np.int8(2), None, I8),
        (np.array(2, np.int64), None, I64),
    ],
)
def test_numbers_become_scalars(value: Any, declared: Any, dtype: Any) -> None:
    taken = take("S", value, declared)
    assert taken.shape == ()
    assert tile_dtype(taken.dtype) == dtype
    assert taken == value


def test_number_beyond_the_range_of_a_float_is_infinite() -> None:
    assert take("S", 1e300, None) == np.inf
    assert take("S", -1e300, F32) == -np.inf
    assert np.isnan(take("S", float("nan"), None))


@pytest.mark.parametrize(
    ("value", "declared", "kind", "words"),
    [
        (1 << 64, None, TileTypeError, "no integer type of Tile can hold"),
        (300, U8, TileTypeError, "argument A is 300, which u8 cannot hold"),
        (10**400, F32, TileTypeError, "which f32 cannot hold"),
        (0.5, I32, TileTypeError, "argument A is 0.5, but the program declares A as i32"),
        (2, BOOL, TileTypeError, "argument A is 2, but the program declares A as bool"),
        (1j, None, TileTypeError, "argument A is a complex, which is no array"),
        ([1, 2], None, TileTypeError, "argument A is a list, which is no array"),
        (None, None, TileTypeError, "argument A is a NoneType, which is no array"),
        ("ab", None, TileTypeError, "argument A is a str, which is no array"),
        (np.zeros(2, complex), None, TileTypeError, "has dtype complex128, which Tile does not"),
        (np.zeros(2, object), None, TileTypeError, "has dtype object"),
        (np.zeros(2, "U3"), None, TileTypeError, "has dtype str"),
        (np.zeros(2, "M8[s]"), None, TileTypeError, "has dtype datetime64[s]"),
        (np.zeros(2, np.longdouble), None, TileTypeError, "argument A has dtype"),
        (np.zeros(2, [("a", "f4")]), None, TileTypeError, "argument A has dtype void32"),
        (np.ma.masked_array([1.0], [True]), None, ArgumentError, "A is a masked array"),
        (DLPack(np.zeros(1), (2, 0)), None, ArgumentError, "the data is not on the CPU"),
        (WithArray(np.zeros(2, complex)), None, TileTypeError, "has dtype complex128"),
    ],
)
def test_what_is_refused(value: Any, declared: Any, kind: type[TilecError], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)) as caught:
        take("A", value, declared)
    assert caught.value.help is not None or "no integer type" in words


def test_foreign_array_that_raises() -> None:
    class Bad:
        def __array__(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("requires grad\nand more")

    with pytest.raises(ArgumentError, match=r"Bad\) cannot be read as an array: requires grad\n"):
        take("A", Bad(), None)


def test_spec_checks_what_it_is_given() -> None:
    sizes: Any = (2, np.int64(3))
    odd: Any = (1.5,)
    assert Spec(sizes, "float32") == Spec([2, 3], F32)
    kinds: list[Any] = [np.dtype("int8"), np.float64]
    assert [Spec((2,), kind).dtype for kind in kinds] == [I8, F64]
    assert str(Spec((2, 3))) == "f32[2, 3]"
    assert str(Spec((2, 3), F32, (1, 2))) == "f32[2, 3] with strides [1, 2]"
    with pytest.raises(ArgumentError, match="not negative"):
        Spec((-1,))
    with pytest.raises(ArgumentError, match="no integer"):
        Spec(odd)
    with pytest.raises(ArgumentError, match="2 axes but 1 strides"):
        Spec((1, 2), F32, (1,))
    with pytest.raises(TileTypeError, match="no dtype 'f31'"):
        Spec((1,), "f31")
    for shape in [(1 << 62,), (1 << 40, 1 << 40), (0, 1 << 80)]:
        with pytest.raises(LimitError, match="larger than any memory"):
            Spec(shape)


def test_fresh_results_are_aligned() -> None:
    for shape in [(), (0,), (3, 5), (1000, 1000)]:
        made = allocate(shape, np.dtype("f4"))
        assert made.shape == shape
        assert made.flags.c_contiguous
        assert made.flags.writeable
    assert addresses_of([allocate((1 << 20,), np.dtype("f4"))])[0] % 64 == 0


RESULT = Result("C", (4, 3), np.dtype("f4"))


def outputs(out: Any, *results: Result, **inputs: Any) -> Any:
    return take_outputs(out, results or (RESULT,), list(inputs.items()))


def test_plain_memory_is_written_directly() -> None:
    c = np.zeros((4, 3), np.float32)
    for out in (c, [c], {"C": c}, DLPack(c), as_memory(c)):
        (destination,) = outputs(out)
        assert np.shares_memory(destination.target, c)
        assert destination.written is destination.target


INDIRECT: dict[str, Callable[[], Any]] = {
    "transposed": lambda: np.zeros((3, 4), np.float32).T,
    "reversed": lambda: np.zeros((8, 3), np.float32)[::-2],
    "unaligned": lambda: np.zeros((4, 3), [("a", "u1"), ("b", "<f4")])["b"],
}


@pytest.mark.parametrize("which", INDIRECT)
def test_other_memory_is_copied_to(which: str) -> None:
    c = INDIRECT[which]()
    (destination,) = outputs(c)
    destination.written[...] = 7
    assert not c.any()
    destination.finish()
    assert (c == 7).all()


def read_only() -> Any:
    array = np.zeros((4, 3), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "kind", "words"),
    [
        (np.zeros((3, 4), np.float32), ArgumentError, "out has shape (3, 4), but C has shape"),
        (np.zeros((4, 3)), TileTypeError, "out has dtype float64, but C is float32"),
        (np.zeros((4, 3), ">f4"), TileTypeError, "out has dtype >f4, but C is float32"),
        (read_only(), ArgumentError, "out is read-only"),
        (np.broadcast_to(np.float32(0), (4, 3)), ArgumentError, "out is read-only"),
        ([1.0], ArgumentError, "out[0] is a float, which cannot be written in place"),
        (1.0, ArgumentError, "out is a float, which cannot be written in place"),
        (b"", ArgumentError, "out has shape (0,)"),
        ((), ArgumentError, "out has 0 arrays, but there are 1 outputs: C"),
        ({"D": 1}, ArgumentError, "out has the names D; the outputs are C"),
        (np.ma.zeros((4, 3)), ArgumentError, "out is a masked array"),
    ],
)
def test_out_that_does_not_fit(out: Any, kind: type[TilecError], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        outputs(out)


def test_out_that_meets_itself() -> None:
    step = np.lib.stride_tricks.as_strided(np.zeros(20, np.float32), (4, 3), (4, 4))
    with pytest.raises(ArgumentError, match="elements of out share memory"):
        outputs(step)


def test_an_empty_out_meets_nothing() -> None:
    empty = np.ndarray((0, 2), np.float32, np.zeros(4, np.float32).data, 0, (8, 0))
    source = np.zeros((0, 2), np.float32)
    assert tilec.function("C = A + 1")(source, out=empty) is empty


def test_out_that_meets_an_input() -> None:
    memory = np.zeros(24, np.float32)
    c = memory[:12].reshape(4, 3)
    with pytest.raises(ArgumentError, match="out shares memory with argument B"):
        outputs(c, A=np.zeros(3), B=memory[11:])
    outputs(c, A=memory[12:], B=memory[:0])


def test_interleaved_memory_does_not_meet() -> None:
    memory = np.zeros((4, 6), np.float32)
    outputs(memory[:, ::2], A=memory[:, 1::2])


def test_several_outputs() -> None:
    results = (RESULT, Result("D", (2,), np.dtype("i4")))
    c, d = np.zeros((4, 3), np.float32), np.zeros(2, np.int32)
    for out in ((c, d), [c, d], {"D": d, "C": c}):
        first, second = outputs(out, *results)
        assert first.target is c
        assert second.target is d
    with pytest.raises(ArgumentError, match="out is one ndarray, but there are 2 outputs: C, D"):
        outputs(c, *results)
    with pytest.raises(ArgumentError, match=r"out\[1\] has shape"):
        outputs((c, c), *results)
    same = (RESULT, RESULT)
    with pytest.raises(ArgumentError, match=r"out\[1\] shares memory with out\[0\]"):
        outputs((c, c), *same)
