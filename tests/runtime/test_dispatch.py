"""Signatures, prepared calls, and the bounded table of them."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tilec.dtypes import F32, I32, U8, DType
from tilec.errors import TileTypeError
from tilec.runtime.arrays import Array, addresses_of
from tilec.runtime.dispatch import NativeCall, Recent, signature, signature_by_value
from tilec.runtime.outputs import Result, take_outputs
from tilec.runtime.spec import Spec

F4 = np.dtype("f4")
RESULT = Result("C", (2, 3), F4)


class Recorder:
    """Stands for generated code: notes the addresses of each run."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], list[int]]] = []

    def __call__(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        self.calls.append((list(inputs), list(outputs)))


def prepared(code: Recorder, inputs: Sequence[Any], **changes: Any) -> NativeCall:
    given: dict[str, Any] = {
        "numbers": (),
        "order": range(len(inputs)),
        "constants": (),
        "results": (RESULT,),
        "make": None,
    }
    specs = [Spec((4,), each) if isinstance(each, DType) else each for each in inputs]
    return NativeCall(code, inputs=specs, **(given | changes))


def test_signature_tells_apart_what_needs_other_code() -> None:
    a = np.zeros((4, 4), np.float32)
    different: list[tuple[object, ...]] = [
        (),
        (a,),
        (a, a),
        (a.T,),
        (a[:2],),
        (a[:, ::-1],),
        (a.astype(np.float64),),
        (a.astype(np.int32),),
        (a.astype(">f4"),),
        (np.ones(()),),
        (1,),
        (1.0,),
        (True,),
        (1 << 31,),
        (1 << 63,),
        (1, a),
        (a, 1),
        (a, 1.0),
    ]
    found = [signature(values) for values in different]
    assert None not in found
    assert len(set(found)) == len(different)
    assert signature((a,)) == signature((a.copy(),))
    assert signature((1, 0.5, True)) == signature((-7, 2.5, False))


@pytest.mark.parametrize("value", [np.float32(1), np.ma.zeros(3), [1], None, b"", 1j])
def test_only_plain_arrays_and_numbers_have_a_signature(value: object) -> None:
    assert signature((np.zeros(3), value)) is None


def test_sizes_count_by_value() -> None:
    a = np.zeros(3)
    at = frozenset({1})
    assert signature_by_value((a, 3), at) == signature_by_value((a, 3), at)
    found = {
        signature_by_value((a, value), at)
        for value in (3, 4, True, 1, 1.0, np.array(3), np.array(4), np.array(3, np.int8))
    }
    assert None not in found
    assert len(found) == 8
    assert signature_by_value((a, np.zeros(1, int)), at) is None
    assert signature_by_value((a, np.int64(3)), at) is None


def test_call_passes_addresses_in_order() -> None:
    code = Recorder()
    a, b, w = np.zeros(4, np.float32), np.zeros(4, np.int32), np.zeros(2)
    call = prepared(code, [F32, I32], order=(1, 0), constants=(w,))
    c: Any = call((a, b))
    assert (c.shape, c.dtype) == ((2, 3), F4)
    assert code.calls == [(addresses_of([b, a, w]), addresses_of([c]))]


def test_constants_stay_alive() -> None:
    w: Array | None = np.full(1000, 7.0)
    code = Recorder()
    call = prepared(code, [], constants=(w,))
    w = None
    others = [np.zeros(1000) for _ in range(50)]
    call(())
    ((address,), _) = code.calls[0]
    assert address not in addresses_of(others)


def test_results_are_fresh_each_time() -> None:
    call = prepared(Recorder(), [])
    kept: list[Any] = [call(()) for _ in range(5)]
    assert len(set(addresses_of(kept))) == 5


def as_tuple(*arrays: Any) -> tuple[Any, ...]:
    return arrays


def test_several_results() -> None:
    code = Recorder()
    big = Result("D", (1 << 14,), F4)
    call = prepared(code, [], results=(RESULT, big), make=as_tuple)
    found: Any = call(())
    assert [array.shape for array in found] == [(2, 3), (1 << 14,)]
    assert code.calls[0][1] == addresses_of(found)
    assert code.calls[0][1][1] % 64 == 0


def test_number_becomes_memory_of_its_dtype() -> None:
    seen: list[int] = []

    def read(inputs: Sequence[int], outputs: Sequence[int]) -> None:
        seen.append(ctypes.c_uint8.from_address(inputs[0]).value)

    call = NativeCall(
        read,
        inputs=[Spec((), U8)],
        numbers=[(0, "S")],
        order=(0,),
        constants=(),
        results=(RESULT,),
        make=None,
    )
    call((200,))
    assert seen == [200]
    with pytest.raises(TileTypeError, match="argument S is 300, which u8 cannot hold"):
        call((300,))


def test_unaligned_array_takes_the_slow_path() -> None:
    code = Recorder()
    call = prepared(code, [U8, F32])
    bytes_ = np.zeros(17, np.uint8)
    floats = np.zeros(5, np.float32)
    assert call((bytes_[1:], floats)) is not None  # each dtype by its own size
    unaligned = np.zeros(17, np.uint8)[1:].view(np.float32)
    assert call((bytes_, unaligned)) is None
    assert len(code.calls) == 1


def test_call_into_memory_of_the_caller() -> None:
    code = Recorder()
    c = np.zeros((2, 3), np.float32)
    a = np.zeros(3, np.float32)
    prepared(code, [F32]).into([a], take_outputs(c, (RESULT,), [("A", a)]))
    assert code.calls == [(addresses_of([a]), addresses_of([c]))]


def test_plain_memory_of_the_caller_is_written_at_once() -> None:
    memory = np.zeros(40, np.float32)
    a, c = memory[:4], memory[4:10].reshape(2, 3)
    code = Recorder()
    call = prepared(code, [Spec((4,), F32)])
    assert call.write((a,), c)
    assert code.calls == [(addresses_of([a]), addresses_of([c]))]
    refused: list[Any] = [
        memory[3:9].reshape(2, 3),
        memory[10:22].reshape(2, 6)[:, ::2],
        memory[10:16].reshape(3, 2).T,
        memory[10:16],
        np.zeros((2, 3)),
        np.zeros((2, 3), ">f4"),
        np.ma.zeros((2, 3), np.float32),
        np.broadcast_to(np.float32(0), (2, 3)),
        (c, c),
        (),
        None,
    ]
    assert [call.write((a,), out) for out in refused] == [False] * len(refused)
    assert len(code.calls) == 1
    assert call.write((a,), (c,))
    assert call.write((a,), [c])
    assert code.calls[1:] == code.calls[:1] * 2


def test_reach_of_strided_inputs_counts() -> None:
    memory = np.zeros(40, np.float32)
    a = memory[12:4:-2]  # elements 12, 10, 8 and 6
    call = prepared(Recorder(), [Spec((4,), F32, (-2,))])
    assert call.write((a,), memory[13:19].reshape(2, 3))
    assert call.write((a,), memory[0:6].reshape(2, 3))
    assert not call.write((a,), memory[1:7].reshape(2, 3))
    assert not call.write((a,), memory[12:18].reshape(2, 3))


def test_several_outputs_at_once() -> None:
    memory = np.zeros(40, np.float32)
    c, d = memory[:6].reshape(2, 3), memory[6:10]
    results = (RESULT, Result("D", (4,), F4))
    call = prepared(Recorder(), [], results=results, make=as_tuple)
    assert call.write((), (c, d))
    assert call.write((), [c, d])
    assert not call.write((), (c, memory[5:9]))
    assert not call.write((), {"C": c, "D": d})
    assert not call.write((), (c,))
    assert not call.write((), c)


def test_table_forgets_what_is_unused_for_longest() -> None:
    table: Recent[int] = Recent(3)
    for key in "abc":
        table.put(key, ord(key))
    assert table.get("a") == ord("a")
    table.put("d", 1)
    assert len(table) == 3
    assert table.get("b") is None
    assert table.get("a") == ord("a")
    table.put("a", 2)
    assert table.get("a") == 2
    table.clear()
    assert len(table) == 0


def test_table_in_many_threads() -> None:
    table: Recent[int] = Recent(8)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for step in range(2000):
            key = (seed * step) % 20
            found = table.get(key)
            if found is not None and found != key:
                wrong.append(key)
            table.put(key, key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(table) == 8
