"""What a backend is, and how the installed ones are found.

A backend is one package that registers an object of type ``Backend`` under the entry-point group
``tilec.backends``. It prints kernel IR as code for its target and runs that code; it knows neither
the passes nor the language.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol, cast, runtime_checkable

from tilec.errors import TargetError
from tilec.kernel.ir import Module
from tilec.options import Options

GROUP = "tilec.backends"


class Runner(Protocol):
    """Loaded code of one module, ready to run. Safe to call from several threads at once."""

    def run(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Run the module once.

        Args:
            inputs: Address of the first element of each input, in the module's order.
            outputs: The same for each output.
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

    def compile(self, module: Module, options: Options) -> bytes:
        """Turn a module into loadable code."""
        ...

    def text(self, module: Module, stage: str, options: Options) -> str:
        """The code of a module in readable form; ``stage`` is one of ``stages``."""
        ...

    def load(self, code: bytes, module_name: str, workspace_bytes: int) -> Runner:
        """Make what ``compile`` returned runnable in this process."""
        ...


@cache
def backends() -> dict[str, Backend]:
    """The installed backends by name, loaded once."""
    found: dict[str, Backend] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        backend = cast("object", point.load())
        if not isinstance(backend, Backend):
            raise TargetError(
                f"the backend {point.name!r} ({point.value}) does not have the backend interface",
                help=f"update or uninstall the package that provides {point.value}",
            )
        found[point.name] = backend
    return found


def find_backend(name: str) -> Backend:
    """The backend called ``name``.

    Raises:
        TargetError: there is none; the message lists those that exist.
    """
    known = backends()
    if name not in known:
        names = ", ".join(sorted({*known, "reference"}))
        raise TargetError(f"there is no target {name!r}", help=f"known targets: {names}")
    return known[name]
