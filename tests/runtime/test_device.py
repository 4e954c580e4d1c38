"""Arrays on devices: the processor, and every OpenCL device that is found."""

from __future__ import annotations

from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.llvm.conftest import targets
from tilec.dtypes import ALL, BF16
from tilec.errors import ArgumentError, TargetError, TileTypeError
from tilec.runtime.arrays import numpy_dtype

OPENCL = [name for name in targets() if name != "llvm"]
DEVICES = ["cpu", *OPENCL]
ONE = np.arange(6, dtype=np.float32).reshape(2, 3)
SUM = tilec.function("function (A[M, N], B[M, N], S) -> (C) { C = A + B * S; }")
PARTS = tilec.function("function (A[M, N]) -> (S, D) { S[i : M] = +(A[i, j]); D = A * 2; }")

needs_device = pytest.mark.skipif(not OPENCL, reason="there is no OpenCL device")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_array_comes_back_as_it_was(device: str) -> None:
    for dtype in ALL:
        given = np.arange(12).reshape(3, 4).astype(numpy_dtype(dtype))[::-1, ::2]
        there = tilec.array(given, device)
        assert (there.shape, there.ndim, there.dtype) == ((3, 2), 2, given.dtype)
        assert (there.device, there.nbytes) == (device, 6 * dtype.bytes)
        assert there.numpy().tobytes() == given.tobytes()
    assert numpy_dtype(BF16) == np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_arrays_without_axes_or_elements(device: str, shape: tuple[int, ...]) -> None:
    there = tilec.array(np.ones(shape, np.float32), device)
    assert there.numpy().shape == shape
    double = tilec.function("function (X) -> (Y) { Y = X * 2; }")
    assert np.array_equal(double(there).numpy(), np.full(shape, 2, np.float32))


def test_a_number_becomes_an_array(device: str) -> None:
    assert tilec.array(3, device).numpy() == np.int32(3)


def test_what_is_given_is_copied(device: str) -> None:
    given = ONE.copy()
    there = tilec.array(given, device)
    again = tilec.array(there, device)
    given[:] = 0
    back = there.numpy()
    back[:] = 0
    assert (there.numpy() == ONE).all()
    there.close()
    assert (again.numpy() == ONE).all()


def test_results_stay_on_the_device(device: str) -> None:
    a = tilec.array(ONE, device)
    expected = ONE
    for step in range(4):
        a = SUM(a, ONE, float(step))  # an array of the host and a number among them
        expected = expected + ONE * np.float32(step)
        assert isinstance(a, tilec.DeviceArray)
        assert a.device == device
    assert (a.numpy() == expected).all()
    result = PARTS(a)
    assert (result.S.numpy() == expected.sum(1)).all()
    assert (np.asarray(PARTS(result.D).D) == expected * 4).all()
    assert (np.asarray(PARTS(A=result.D).D) == expected * 4).all()


def test_strided_arrays_of_the_host_among_them(device: str) -> None:
    a = tilec.array(ONE, device)
    turned = np.asfortranarray(ONE)
    for _ in range(2):
        assert (SUM(a, turned, 1).numpy() == 2 * ONE).all()


def test_results_go_where_out_says(device: str) -> None:
    a, out = tilec.array(ONE, device), tilec.array(np.zeros((2, 3), np.float32), device)
    for factor in (2, 3):
        assert SUM(a, a, factor, out=out) is out
        assert (out.numpy() == ONE * (1 + factor)).all()
    s = tilec.array(np.zeros(2, np.float32), device)
    for given in ((s, out), {"D": out, "S": s}):
        PARTS(a, out=given)
        assert (s.numpy() == ONE.sum(1)).all()
        assert (out.numpy() == ONE * 2).all()
    with pytest.raises(ArgumentError, match="shares memory"):
        SUM(a, out, 1, out=out)
    with pytest.raises(ArgumentError, match="has shape"):
        SUM(a, a, 1, out=s)
    with pytest.raises(TileTypeError, match="has dtype"):
        SUM(a, a, 1, out=tilec.array(np.zeros((2, 3)), device))


def test_bound_inputs_and_executables(device: str) -> None:
    part = SUM.bind(B=ONE)
    a = tilec.array(ONE, device)
    executable = part.compile(a, 2.0)
    assert executable.target == ("llvm" if device == "cpu" else device)
    for _ in range(2):
        for call in (part, executable):
            assert (call(a, 2.0).numpy() == ONE * 3).all()
    with pytest.raises(tilec.ShapeError, match="was compiled for"):
        executable(tilec.array(ONE[:1], device), 2.0)
    with pytest.raises(ArgumentError, match="1 arguments were given"):
        executable(a)


def test_gradients_stay_on_the_device(device: str) -> None:
    product = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    a, b = (tilec.array(each, device) for each in (ONE, ONE.T))
    value, pull = tilec.vjp(product, a, b)
    left, right = pull(value)
    expected = ONE @ ONE.T
    assert {value.device, left.device, right.device} == {device}
    np.testing.assert_allclose(left.numpy(), expected @ ONE)
    np.testing.assert_allclose(right.numpy(), ONE.T @ expected)


def test_sizes_on_the_device(device: str) -> None:
    rows = tilec.function("function (A[N], K) -> (B) { B[i, k : N, K] = =(A[i]); }")
    a = tilec.array(np.ones(3, np.float32), device)
    assert rows(a, tilec.array(2, device)).shape == (3, 2)
    assert rows(a, tilec.array(4, device)).shape == (3, 4)
    executable = rows.compile(a, 2)
    assert executable(a, tilec.array(2, device)).shape == (3, 2)
    with pytest.raises(ArgumentError, match="was compiled for"):
        executable(a, tilec.array(4, device))


def test_closed_arrays_are_refused(device: str) -> None:
    with tilec.array(ONE, device) as a:
        result = SUM(a, a, 1)
    assert a.closed
    a.close()
    assert (result.numpy() == ONE * 2).all()
    for use in (lambda: SUM(a, a, 1), lambda: SUM(result, a, 1), a.numpy, a.wait):
        with pytest.raises(ArgumentError, match="used after it was closed"):
            use()
    assert "closed" in repr(a)


def test_numpy_reads_them(device: str) -> None:
    a = tilec.array(ONE, device).wait()
    assert (np.asarray(a) == ONE).all()
    assert np.asarray(a, np.float64).dtype == np.float64
    assert (np.array(a) == ONE).all()
    assert np.array(a).flags.writeable
    assert np.asarray(a).flags.writeable == (device != "cpu")
    if device != "cpu":
        with pytest.raises(ValueError, match="copied to be read"):
            np.asarray(a, copy=False)


def test_dlpack(device: str) -> None:
    a = tilec.array(ONE, device)
    if device == "cpu":
        assert (np.from_dlpack(cast("Any", a)) == ONE).all()
        assert a.__dlpack_device__() == (1, 0)
        return
    assert a.__dlpack_device__() == (4, int(device[-1]))
    with pytest.raises(BufferError, match=r"numpy\(\) copies it"):
        a.__dlpack__()
    assert a.__dlpack__(dl_device=(1, 0)) is not None


@needs_device
def test_devices_are_not_mixed() -> None:
    here, there = tilec.array(ONE, "cpu"), tilec.array(ONE, OPENCL[0])
    with pytest.raises(ArgumentError, match="A lies on cpu, and B on opencl:0") as raised:
        SUM(here, there, 1)
    assert "B.to('cpu')" in str(raised.value)
    assert (SUM(here, there.to("cpu"), 1).numpy() == 2 * ONE).all()
    assert (SUM(here.to("opencl"), there, 1).numpy() == 2 * ONE).all()
    assert there.to(OPENCL[0]) is there
    with pytest.raises(ArgumentError, match="A lies on opencl:0, and the target is llvm"):
        SUM(there, there, 1, target="llvm")
    with pytest.raises(ArgumentError, match="out lies on cpu"):
        SUM(there, there, 1, out=here)
    with pytest.raises(ArgumentError, match="out lies on the processor"):
        SUM(there, there, 1, out=ONE.copy())
    with pytest.raises(ArgumentError, match="the target is opencl:0"):
        SUM.compile(there, there, 1)(here, here, 1)
    assert (SUM(there, there, 1, target="opencl").numpy() == 2 * ONE).all()


def test_the_reference_works_on_arrays_of_the_processor() -> None:
    a = tilec.array(ONE, "reference")
    assert (SUM(a, a, 1, target="reference").numpy() == 2 * ONE).all()


def test_the_environment_names_the_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_TARGET", "llvm" if device == "cpu" else device)
    assert tilec.array(ONE).device == device
    here = tilec.array(ONE, "cpu")  # what it lies on goes before what is usual
    function = tilec.function("function (A[N, M]) -> (B) { B = A - 1; }")
    assert function(here).device == "cpu"


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(TargetError, match="there is no target 'nowhere'"):
        tilec.array(ONE, "nowhere")
    with pytest.raises(TileTypeError, match="no array"):
        tilec.array(cast("Any", object()))
