"""Memory of large results is used again, and never while anything can see it."""

from __future__ import annotations

import gc
from threading import Thread
from typing import Any, cast

import numpy as np
import pytest

import tilec
from tilec.errors import ArgumentError
from tilec.options import read_environment
from tilec.runtime.arrays import Array, allocate
from tilec.runtime.pool import FROM_BYTES, Pool, results

SHAPE = (512, 1024)


def fresh() -> Array:
    return allocate(SHAPE, np.dtype(np.float32))


def test_memory_is_used_again() -> None:
    array = fresh()
    before = array.ctypes.data
    assert before % 64 == 0
    assert array.nbytes >= FROM_BYTES
    del array
    gc.collect()
    assert fresh().ctypes.data == before


def test_never_while_a_view_is_alive() -> None:
    array = fresh()
    views = [
        array[3:, ::2].T,
        array.reshape(-1)[5:6],
        np.asarray(array.data),
        np.from_dlpack(cast("Any", array)),
    ]
    before = array.ctypes.data
    array[:] = 7
    del array
    while views:
        other = fresh()
        assert other.ctypes.data != before
        other[:] = 0
        assert np.asarray(views[-1]).max() == 7
        views.pop()
    gc.collect()


def test_results_stay_what_they_are() -> None:
    double = tilec.function("function (A[M, N]) -> (B) { B = A * 2; }")
    inputs = [np.full(SHAPE, value, np.float32) for value in range(4)]
    results = [double(array) for array in inputs]
    for value, result in enumerate(results):
        np.testing.assert_array_equal(np.asarray(result), 2 * value)


def test_no_more_is_kept_than_allowed() -> None:
    pool = Pool(kept_bytes=100)
    leases = [pool.lease(size) for size in (40, 40, 40, 200)]
    leases.clear()
    assert pool.bytes == 80
    assert pool.lease(40) is not None
    assert pool.bytes == 80


def test_the_environment_sets_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_POOL_BYTES", "0")
    results.cache_clear()
    try:
        array = fresh()
        del array
        gc.collect()
        assert not results().waiting
    finally:
        results.cache_clear()
    monkeypatch.setenv("TILEC_POOL_BYTES", "-1")
    with pytest.raises(ArgumentError, match="'-1', which is not a non-negative integer"):
        read_environment()


def test_threads() -> None:
    pool = Pool(kept_bytes=1 << 20)

    def work(number: int) -> None:
        for _ in range(200):
            lease = np.asarray(pool.lease(4096 + 64 * (number % 2)))
            lease[:] = number
            assert (lease == number).all()

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pool.waiting) <= 8
