"""What is said when a driver refuses something."""

from __future__ import annotations

from typing import Any

import pytest

from tests.llvm.conftest import targets
from tilec.errors import GroupError, InternalError, TargetError
from tilec_opencl.build import built, check_groups, refusal
from tilec_opencl.devices import choose, library
from tilec_opencl.opened import opened
from tilec_opencl.program import HostLoop, Launch, Program, Run

DEVICES = [name for name in targets() if name != "llvm"]
SOURCE = """// main, for a device

int tilec_helper(int a) { return a; }

// C[i] = +(A[i, k])
// schedule: loops
__kernel void first(__global float* a) {
  int unused = 0;
  float other = 1.0f;
  a[0] = 1.0f;
  a[1] = 2.0f;
  a[2] = wrong;
}

// the next one
__kernel void second() {}"""
EXCERPT = [
    "   5 | // C[i] = +(A[i, k])",
    "   6 | // schedule: loops",
    "   9 |   float other = 1.0f;",
    "  10 |   a[0] = 1.0f;",
    "  11 |   a[1] = 2.0f;",
    "> 12 |   a[2] = wrong;",
    "  13 | }",
    "  14 | ",
    "  15 | // the next one",
]
needs_device = pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")


@pytest.mark.parametrize(
    "log",
    [
        "error: /home/x/tempfile_a1.cl:12:10: use of undeclared identifier 'wrong'",  # PoCL
        "<kernel>:12:10: error: use of undeclared identifier 'wrong'",  # NVIDIA
        "/tmp/comgr-1-0/input/CompileSource:12:10: error: use of 'wrong'",  # AMD
        "<program source>:12:10: error: use of undeclared identifier",  # Apple
        "warning: t.cl:3:1: odd\n1:12:10: error: undeclared identifier 'wrong'",  # Intel
        "(12:0) : error : undefined variable 'wrong'",  # Mali
    ],
)
def test_the_place_of_an_error_is_shown_under_the_header_of_its_kernel(log: str) -> None:
    shown = refusal("Quick", "BUILD_PROGRAM_FAILURE", log, SOURCE).splitlines()
    assert shown[0] == "the driver of Quick does not compile a kernel (BUILD_PROGRAM_FAILURE)"
    assert shown[1:] == [*log.splitlines(), *EXCERPT]


def test_a_log_without_a_place_is_shown_with_the_head_of_the_source() -> None:
    for log in ("it failed", "", "t.cl:999:1: error: beyond the end"):
        shown = refusal("Quick", "OUT_OF_RESOURCES", log, SOURCE).splitlines()
        assert shown[-4] == ">  1 | // main, for a device"


def test_a_long_log_is_cut() -> None:
    shown = refusal("Quick", "FAILURE", "\n".join(f"line {n}" for n in range(50)), SOURCE)
    assert "line 19\n... 30 more lines" in shown


@needs_device
def test_a_driver_that_refuses_is_reported_with_the_source() -> None:
    with pytest.raises(InternalError, match=r"does not compile a kernel \(BUILD_") as raised:
        built(choose(""), SOURCE)
    assert "'wrong'" in str(raised.value)
    assert "\n".join(EXCERPT) in str(raised.value)


@needs_device
def test_the_limit_of_the_built_kernel_is_asked_for() -> None:
    device = choose("")
    cl: Any = library()
    made = built(device, "__kernel void f() {}")
    wanted = cl.kernel_work_group_info.WORK_GROUP_SIZE
    most = int(cl.Kernel(made, "f").get_work_group_info(wanted, device.handle))

    def program(items: int) -> Program:
        launch = Launch("f", (), (), (items,), (items,), "int")
        return Program("", (Run((HostLoop("i", 0, 2, 1, (launch,)),), {}),), ())

    check_groups(device, made, program(most))
    with pytest.raises(GroupError, match=f"takes {most} items in a group of f, which") as raised:
        check_groups(device, made, program(most + 1))
    assert raised.value.most == most


@needs_device
def test_errors_of_launches_have_names() -> None:
    cl: Any = library()
    device = opened(choose(""))
    kernel = cl.Kernel(built(device.device, "__kernel void f() {}"), "f")
    with pytest.raises(cl.Error) as raised:
        cl.enqueue_nd_range_kernel(device.queue, kernel, (16,), (3,))
    found = device.failure(raised.value, 0)
    assert isinstance(found, TargetError)
    assert "clEnqueueNDRangeKernel answers INVALID_WORK_GROUP_SIZE" in str(found)
    assert "tilec devices" in str(found)
