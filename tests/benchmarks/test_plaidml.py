"""The process that runs PlaidML, with a stand-in for the library that multiplies by NumPy."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.case import Case, Row, make_case
from benchmarks.peers import Found, find
from benchmarks.plaidml_peer import PlaidML, PlaidMLError
from benchmarks.session import Session
from tilec.bench.measure import QUICK

STAND_IN = '''
"""What the worker uses of PlaidML."""
import os, time
from contextlib import contextmanager
import numpy as np

class Context: ...
class DType:
    FLOAT32 = np.float32
class Device:
    def __init__(self, context, config): ...
def devices(context, limit, return_all):
    return (["cpu"], [])
class Function:
    def __init__(self, text):
        if "B[j, k]" in text:
            raise ValueError("no transposes here")
        if "A[k, i]" in text:
            os._exit(7)
class Shape:
    def __init__(self, context, dtype, *dims):
        self.dims = dims
class Tensor:
    def __init__(self, device, shape):
        self.data = np.zeros(shape.dims, np.float32)
    @contextmanager
    def mmap_current(self):
        yield self
    @contextmanager
    def mmap_discard(self, context):
        yield self
    def copy_from_ndarray(self, array):
        self.data[...] = array
    def copy_to_ndarray(self, array):
        array[...] = self.data
    def writeback(self): ...
class Invoker:
    def __init__(self, context, function, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs
    def invoke(self):
        a, b = self.inputs["A"].data, self.inputs["B"].data
        if a.shape[0] == 13:
            time.sleep(60)
        self.outputs["C"].data[...] = a @ b
        print("chatter on standard output")
'''


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has the stand-in."""
    folder = tmp_path_factory.mktemp("plaidml")
    (folder / "plaidml.py").write_text(STAND_IN)
    start = (
        f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); "
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    script.chmod(0o700)
    return str(script)


@pytest.fixture
def peer(python: str) -> Iterator[PlaidML]:
    found = PlaidML(python, 1, patience=5)
    yield found
    found.close()


def product(**facts: object) -> Case:
    return make_case("gemm", Row({"m": 5, "n": 3, "k": 7, **facts}))


def test_results_and_times_come_back(peer: PlaidML) -> None:
    case = product()
    work = peer.prepare(case, case.inputs())
    assert work.seconds is not None
    assert 0 < work.seconds(3) < 1
    np.testing.assert_allclose(work.result(), case.reference(case.inputs()), rtol=1e-5)


def test_a_refused_program_is_told(peer: PlaidML) -> None:
    case = product(b_t=True)
    with pytest.raises(PlaidMLError, match="ValueError: no transposes here"):
        peer.prepare(case, case.inputs())
    case = product()
    peer.prepare(case, case.inputs())


def test_a_process_that_dies_is_started_again(peer: PlaidML) -> None:
    case = product(a_t=True)
    with pytest.raises(PlaidMLError, match="exit code 7"):
        peer.prepare(case, case.inputs())
    case = product()
    peer.prepare(case, case.inputs())


def test_a_process_that_hangs_is_ended(python: str) -> None:
    peer = PlaidML(python, 1, patience=2)
    case = product(m=13)
    with pytest.raises(PlaidMLError, match="no answer for 2 s"):
        peer.prepare(case, case.inputs())
    peer.close()


def test_a_set_is_measured_with_it(python: str) -> None:
    found = find(("plaidml",), 1, python)
    row = Session(QUICK, 1, found, True, lambda line: None).row(product(), lambda: 1e9)
    found.close()
    assert row.contenders["plaidml"].error < 1e-5


def test_an_interpreter_without_it() -> None:
    found = find(("plaidml",), 1, sys.executable)
    assert found == Found({}, found.absent, {})
    assert "No module named 'plaidml'" in found.absent["plaidml"]
    assert "nowhere" in find(("plaidml",), 1, "/nowhere/python").absent["plaidml"]
