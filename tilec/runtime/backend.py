"""What a backend is, and how the installed ones are found.

A backend is one package that registers an object of type ``Backend`` under the entry-point group
``tilec.backends``. It prints kernel IR as code for its target and runs that code; it knows neither
the passes nor the language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast, runtime_checkable

from tilec.errors import TargetError
from tilec.options import Options
from tilec.records import dataclass

if TYPE_CHECKING:
    from tilec.kernel.ir import Module
    from tilec.runtime.arrays import Array
    from tilec.runtime.spec import Spec
    from tilec.target.core import Core

GROUP = "tilec.backends"

OWN: Final[Mapping[str, str]] = {
    "llvm": "tilec_llvm:backend",
    "opencl": "tilec_opencl:backend",
}
"""The entry points of tilec itself. They stand here too because reading the metadata of all
installed packages takes longer than everything else that a call of cached code does; a test holds
them against ``pyproject.toml``."""


class Runner(Protocol):
    """Loaded code of one module, ready to run. Safe to call from several threads at once."""

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """Run the module once.

        Args:
            inputs: Address of the first element of each input, in the module's order.
            outputs: The same for each output.
            num_threads: Threads that the call may use; by default as many as the backend finds
                right. Results do not depend on it.
        """
        ...


Direct: TypeAlias = "Callable[[bytes], int]"
"""Runs code on arrays, given as the addresses of the NumPy objects, inputs before outputs; returns
0, and has done nothing, when one of them is not what the code was prepared for."""


@runtime_checkable
class DirectRunner(Runner, Protocol):
    """A runner that can take array objects as they are."""

    def direct(
        self,
        inputs: Sequence[Spec],
        constants: Sequence[int],
        outputs: Sequence[Spec],
        num_threads: int | None,
    ) -> Direct | None:
        """Prepare calls for arrays of these types; None where that is not possible.

        Args:
            inputs: Types of the arrays that callers pass, in the order of the code.
            constants: Addresses of the inputs that follow them.
            outputs: Types of the results, which are row-major.
            num_threads: As for ``run``.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device that a backend found.

    Attributes:
        target: What ``target=`` says to mean it.
        name: Its name.
        kind: ``cpu``, ``gpu`` or ``accelerator``.
        usable: True when tilec can run kernels on it.
        can: What it can do: types, memory, compute units; when it is not usable, the reason.
        version: Versions of the interface and of the driver.
    """

    target: str
    name: str
    kind: str
    usable: bool
    can: str
    version: str


class DeviceMemory(Protocol):
    """The memory of a device, in which arrays stay between calls.

    What it hands out is given back when nothing refers to it any more. Safe to use from several
    threads at once.

    Attributes:
        target: What ``target=`` says to mean the device.
    """

    target: str

    def empty(self, spec: Spec) -> object:
        """Memory for a row-major array.

        Raises:
            OutOfMemoryError: there is no room for it.
        """
        ...

    def lend(self, array: Array) -> object:
        """Memory with the elements of a row-major array, for the next call alone."""
        ...

    def write(self, held: object, array: Array) -> None:
        """Copy a row-major array there; it may change when this returns."""
        ...

    def read(self, held: object, array: Array) -> None:
        """Copy from there into a row-major array, when all that was begun before is done."""
        ...

    def wait(self) -> None:
        """Wait until all that was begun is done."""
        ...


@runtime_checkable
class DeviceRunner(Runner, Protocol):
    """A runner that works on the memory of a device."""

    def begin(self, inputs: Sequence[object], outputs: Sequence[object]) -> None:
        """Begin to run the module once, after all that was begun before.

        Args:
            inputs: What the memory of the device handed out for each input.
            outputs: The same for each output.
        """
        ...


@runtime_checkable
class DeviceBackend(Protocol):
    """A backend that runs kernels on devices of several kinds."""

    def memory(self, target: str) -> DeviceMemory:
        """The memory of the device that ``target`` means; one object for each device.

        Raises:
            TargetError: there is no such device.
        """
        ...

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Every device that is found, usable or not.

        Raises:
            TargetError: none can be looked for; the help says what to install.
        """
        ...


@runtime_checkable
class Backend(Protocol):
    """The interface of a target.

    Attributes:
        name: Name under which ``target=`` finds it.
        stages: Names of the texts it can print, from first to last, e.g. ``("llvm", "asm")``.
    """

    name: str
    stages: tuple[str, ...]

    def fingerprint(self, options: Options) -> str:
        """Everything about versions and hardware that changes the code, as one line of text."""
        ...

    def core(self, options: Options) -> Core:
        """What the optimiser tunes code for."""
        ...

    def compile(self, module: Module, options: Options) -> bytes:
        """Turn a module into loadable code."""
        ...

    def text(self, module: Module, stage: str, options: Options) -> str:
        """The code of a module in readable form; ``stage`` is one of ``stages``."""
        ...

    def load(self, code: bytes, module_name: str, workspace_bytes: int) -> Runner:
        """Make what ``compile`` returned runnable in this process."""
        ...


@runtime_checkable
class ClockedBackend(Protocol):
    """A backend whose code fills the clock of a ``Module``.

    Attributes:
        clocked: Whether it does.
    """

    clocked: bool


@cache
def _installed() -> Mapping[str, str]:
    """Where each installed backend is, as ``module:attribute``, by name."""
    from importlib.metadata import entry_points  # slow to import

    found = {point.name: point.value for point in entry_points(group=GROUP)}
    return dict(sorted({**found, **OWN}.items()))


def known_backends() -> tuple[str, ...]:
    """Names of the installed backends, none of which is loaded for that."""
    return tuple(_installed())


def backends() -> dict[str, Backend]:
    """The installed backends by name, loaded."""
    return {name: find_backend(name) for name in known_backends()}


def find_backend(name: str) -> Backend:
    """The backend called ``name``, loaded once; what follows a colon is the backend's own.

    Raises:
        TargetError: there is none (the message lists those that exist), or it is not usable.
    """
    name = name.partition(":")[0]
    where = OWN.get(name) or _installed().get(name)
    if where is None:
        names = ", ".join(sorted({*known_backends(), "reference"}))
        raise TargetError(f"there is no target {name!r}", help=f"known targets: {names}")
    return _load(name, where)


@cache
def _load(name: str, where: str) -> Backend:
    module_name, _, attribute = where.partition(":")
    backend: object = import_module(module_name)
    for part in attribute.split("."):
        backend = cast("object", getattr(backend, part, None))
    if not isinstance(backend, Backend):
        raise TargetError(
            f"the backend {name!r} ({where}) does not have the backend interface",
            help=f"update or uninstall the package that provides {module_name}",
        )
    return backend
