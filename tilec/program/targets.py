"""What code can be run on here."""

from __future__ import annotations

from contextlib import suppress

from tilec.errors import TargetError, TilecError
from tilec.options import Options
from tilec.program.boundary import public
from tilec.records import dataclass
from tilec.runtime.backend import DeviceBackend, DeviceInfo, find_backend, known_backends


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """One target.

    Attributes:
        name: What ``target=`` says.
        available: True when it can be used.
        stages: What ``Executable.source`` can show for it.
        details: Versions and hardware; when it is not available, the reason.
    """

    name: str
    available: bool
    stages: tuple[str, ...]
    details: str


@public
def targets() -> tuple[TargetInfo, ...]:
    """Every target that is installed, in the order of their names, and what it is or lacks."""
    reference = TargetInfo(
        "reference", True, ("tile", "tensor"), "the specification, in NumPy; slow"
    )
    found = [_describe(name) for name in known_backends()]
    return tuple(sorted([*found, reference], key=lambda info: info.name))


def _describe(name: str) -> TargetInfo:
    stages: tuple[str, ...] = ()
    try:
        backend = find_backend(name)
        stages = ("tile", "tensor", "kernel", *backend.stages)
        details = backend.fingerprint(Options(target=name))
    except TilecError as error:
        return TargetInfo(name, False, stages, error.message)
    except ImportError as error:
        return TargetInfo(name, False, stages, str(error))
    return TargetInfo(name, True, stages, details)


@public
def devices() -> tuple[DeviceInfo, ...]:
    """Every device that a backend found, usable or not; none where there are none.

    ``missing_devices`` says why there are none.
    """
    found: list[DeviceInfo] = []
    for name in known_backends():
        with suppress(TargetError, ImportError):
            found += _devices_of(name)
    return tuple(found)


def missing_devices() -> tuple[TargetError, ...]:
    """Why a backend for devices finds none, and what to install."""
    missing: list[TargetError] = []
    for name in known_backends():
        try:
            _devices_of(name)
        except TargetError as error:
            missing.append(error)
        except ImportError:
            continue  # a backend that is not there at all is shown by ``targets``
    return tuple(missing)


def _devices_of(name: str) -> tuple[DeviceInfo, ...]:
    backend = find_backend(name)
    return backend.devices() if isinstance(backend, DeviceBackend) else ()
