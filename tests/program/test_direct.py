"""Calls that native code checks: what fits runs, anything else goes the long way."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tilec
from tilec.errors import UserError

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
Floats = NDArray[np.float32]


class Direct:
    """A product of 3 x 4 and 4 x 5, and the prepared call of its executable."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.a: Floats = random.random((3, 4), np.float32)
        self.b: Floats = random.random((4, 5), np.float32)
        self.function = tilec.function(MATMUL)
        self.executable = self.function.compile(self.a, self.b)
        self.executable(self.a, self.b)

    @property
    def call(self) -> Any:
        call: Any = vars(self.executable)["_latest"]
        assert call is not None
        return call

    def rejects(self, *values: object, out: object) -> bool:
        return not self.call.fill(values, out)


@pytest.fixture
def direct() -> Direct:
    return Direct()


def out_array() -> Floats:
    return np.full((3, 5), np.nan, np.float32)


def test_arrays_that_fit_are_computed_with(direct: Direct) -> None:
    out = out_array()
    assert direct.call.fill((direct.a, direct.b), out)
    np.testing.assert_allclose(out, direct.a @ direct.b, rtol=1e-6)
    found = direct.call.fresh((direct.a, direct.b))
    np.testing.assert_array_equal(found, out)
    assert direct.executable(direct.a, direct.b, out=out) is out


def test_arguments_that_do_not_fit_are_left_alone(direct: Direct) -> None:
    a, b, out = direct.a, direct.b, out_array()
    wrong: list[object] = [
        a.astype(np.float64),
        a.astype(">f4"),
        a[:2],
        a[:, :3],
        np.asfortranarray(a),
        a[::-1],
        a.reshape(3, 2, 2),
        a.view(np.ma.MaskedArray),
        a.tolist(),
        None,
        1.5,
        a.view(np.int32),
    ]
    for value in wrong:
        assert direct.rejects(value, b, out=out), value
        assert direct.call.fresh((value, b)) is None
    assert direct.rejects(a, out=out)
    assert direct.rejects(a, b, b, out=out)
    unaligned = np.zeros(49, np.uint8)[1:].view(np.float32).reshape(3, 4)
    assert direct.rejects(unaligned, b, out=out)
    assert np.isnan(out).all()


def test_results_that_do_not_fit_are_left_alone(direct: Direct) -> None:
    a, b = direct.a, direct.b
    locked = out_array()
    locked.flags.writeable = False
    wrong: list[object] = [
        locked,
        (out_array(),),
        {"C": out_array()},
        np.asfortranarray(out_array()),
        np.full((3, 5), np.nan, np.float64),
        np.full((3, 6), np.nan, np.float32)[:, :5],
    ]
    for out in wrong:
        assert direct.rejects(a, b, out=out)
    assert np.isnan(locked).all()
    with pytest.raises(UserError, match="read-only"):
        direct.executable(a, b, out=locked)
    np.testing.assert_allclose(direct.executable(a, b, out=wrong[5]), a @ b, rtol=1e-6)


def test_results_that_share_memory_with_arguments_are_refused(direct: Direct) -> None:
    memory = np.zeros(100, np.float32)
    a = memory[:12].reshape(3, 4)
    for first in (0, 1, 11):
        out = memory[first : first + 15].reshape(3, 5)
        assert direct.rejects(a, direct.b, out=out)
        with pytest.raises(UserError, match="shares memory"):
            direct.executable(a, direct.b, out=out)
    assert not direct.rejects(a, direct.b, out=memory[12:27].reshape(3, 5))


def test_an_axis_of_one_element_may_have_any_stride() -> None:
    function = tilec.function("C = A * 2")
    a = np.ones((1, 4), np.float32)
    executable = function.compile(a)
    executable(a)
    strided = np.lib.stride_tricks.as_strided(a, (1, 4), (1000, 4))
    call: Any = vars(executable)["_latest"]
    assert call.fill((strided,), np.empty((1, 4), np.float32))


def test_negative_strides_reach_down() -> None:
    function = tilec.function("C = A * 2")
    memory = np.arange(20, dtype=np.float32)
    a = memory[9::-1]
    executable = function.compile(a)
    np.testing.assert_array_equal(executable(a), a * 2)
    call: Any = vars(executable)["_latest"]
    assert not call.fill((a,), memory[:10])
    assert call.fill((a,), memory[10:])
    np.testing.assert_array_equal(memory[10:], a * 2)


def test_bound_inputs_stand_between_arguments_and_results(direct: Direct) -> None:
    bound = direct.function.bind(B=direct.b)
    for _ in range(3):
        np.testing.assert_allclose(bound(direct.a), direct.a @ direct.b, rtol=1e-6)
    call: Any = vars(bound)["_latest"]
    assert call is not None
    np.testing.assert_allclose(call.fresh((direct.a,)), direct.a @ direct.b, rtol=1e-6)


def test_a_function_changes_between_signatures(direct: Direct) -> None:
    wide: Floats = np.ones((4, 7), np.float32)
    for _ in range(3):
        for b in (direct.b, wide):
            np.testing.assert_allclose(direct.function(direct.a, b), direct.a @ b, rtol=1e-6)


def test_other_threads_run_meanwhile() -> None:
    n = 1024
    a: Floats = np.ones((n, n), np.float32)
    function = tilec.function(MATMUL)
    out = function(a, a)
    function(a, a, out=out)
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0)

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks
    function(a, a, out=out)
    during = ticks - before
    done.set()
    thread.join()
    assert during > 0
    assert out[0, 0] == n
