"""What code can be run on here."""

from __future__ import annotations

from tilec.errors import TilecError
from tilec.options import Options
from tilec.program.boundary import public
from tilec.records import dataclass
from tilec.runtime.backend import find_backend, known_backends


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
    try:
        backend = find_backend(name)
        details = backend.fingerprint(Options(target=name))
    except TilecError as error:
        return TargetInfo(name, False, (), error.message)
    except ImportError as error:
        return TargetInfo(name, False, (), str(error))
    stages = ("tile", "tensor", "kernel", *backend.stages)
    return TargetInfo(name, True, stages, details)
