"""Programs built by a driver, and what is reported when it refuses one."""

from __future__ import annotations

import re
from contextlib import suppress
from math import prod
from typing import Any, Final

from tilec.errors import GroupError, InternalError
from tilec_opencl import devices
from tilec_opencl.devices import Device
from tilec_opencl.opened import opened
from tilec_opencl.program import Program, launches

_LOG_LINES: Final = 20
_AROUND: Final = 3
"""Lines of the source before and behind the one that a driver complains of."""

# clang and all that descend from it write FILE:LINE:COLUMN; others LINE:COLUMN in brackets.
_PLACE: Final = re.compile(r"[:(](\d+)[:,](\d+)[:)]")


def built(device: Device, source: str, binary: bytes = b"") -> Any:
    """The program, built; from the driver's own binary if it still takes that.

    Raises:
        InternalError: the driver does not compile the source; the message shows where.
    """
    cl: Any = devices.library()
    context = opened(device).context
    # Warnings are of no use to anybody here, and drivers print them.
    options = ["-cl-std=CL1.2", "-w"]
    if device.handle.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
        options.append("-cl-fp32-correctly-rounded-divide-sqrt")
    if binary:
        with suppress(cl.Error):  # of another version of the driver: the source is there, too
            return cl.Program(context, [device.handle], [binary]).build(options)
    program = cl.Program(context, source)
    try:
        return program.build(options, cache_dir=False)
    except cl.Error as error:
        log, code = _log(cl, program, device), devices.status(cl, error)
        raise InternalError(refusal(device.name, code, log, source)) from error


def check_groups(device: Device, program: Any, parts: Program) -> None:
    """See that the device takes as many items in groups as the kernels have.

    Raises:
        GroupError: it takes fewer, for want of registers or local memory.
    """
    cl: Any = devices.library()
    for run in parts.runs:
        for launch in launches(run.steps):
            kernel = cl.Kernel(program, launch.function)
            limit = cl.kernel_work_group_info.WORK_GROUP_SIZE
            most = int(kernel.get_work_group_info(limit, device.handle))
            if prod(launch.local) > most:
                raise GroupError(
                    f"{device.name} takes {most} items in a group of {launch.function}, which has "
                    f"{prod(launch.local)}",
                    most,
                )


def refusal(device: str, code: str, log: str, source: str) -> str:
    """What is said when a driver does not compile a program."""
    complaints = [line for line in log.splitlines() if line.strip()]
    shown = complaints[:_LOG_LINES]
    if len(complaints) > _LOG_LINES:
        shown.append(f"... {len(complaints) - _LOG_LINES} more lines")
    parts = [f"the driver of {device} does not compile a kernel ({code})", *shown]
    return "\n".join([*parts, *excerpt(source, _line(complaints, source))])


def excerpt(source: str, line: int) -> list[str]:
    """The comment that heads the kernel around a line, and the lines next to that."""
    lines = source.splitlines()
    first = max(0, line - 1 - _AROUND)
    at = min(line, len(lines)) - 1
    while at > 0 and not lines[at].startswith("//"):
        at -= 1
    header = at
    while header > 0 and lines[header - 1].startswith("//"):
        header -= 1
    shown = list(range(header, at + 1))
    shown += [n for n in range(first, min(len(lines), line + _AROUND)) if n > at]
    width = len(str(len(lines)))
    return [f"{'>' if n == line - 1 else ' '} {n + 1:{width}} | {lines[n]}" for n in shown]


def _line(complaints: list[str], source: str) -> int:
    """The line of the source that the first error is about; 1 where no line is told."""
    count = source.count("\n") + 1
    for wanted in ("error", ""):
        for complaint in complaints:
            if wanted not in complaint.lower():
                continue
            for found in _PLACE.finditer(complaint):
                if 1 <= int(found[1]) <= count:
                    return int(found[1])
    return 1


def _log(cl: Any, program: Any, device: Device) -> str:
    try:
        return str(program.get_build_info(device.handle, cl.program_build_info.LOG))
    except cl.Error:
        return ""
