"""Everything that decides what code comes out of a compilation, as one value with a digest."""

from __future__ import annotations

import json
from typing import TypeAlias

from tilec.options import Options
from tilec.program.frontend import COMPILER_PACKAGES
from tilec.records import dataclass
from tilec.runtime.backend import Backend
from tilec.runtime.cache import digest
from tilec.runtime.spec import Number, Spec
from tilec.runtime.stamp import source_stamp
from tilec.schedule.values import Schedule
from tilec.source import Source
from tilec.target.host import system_key
from tilec.version import __version__

Plain: TypeAlias = "Number | None"


@dataclass(frozen=True, slots=True)
class Argument:
    """What is known of one input.

    Attributes:
        name: Its name in the text.
        spec: Shape, dtype and strides.
        value: Its number, for an input that the program uses as a size; else None.
        bound: True when it is known now, so that callers do not pass it.
    """

    name: str
    spec: Spec
    value: Plain = None
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """One function, the arguments it is compiled for, and the options.

    Attributes:
        source: The text.
        function: Name of the function, or None for the last of the text.
        arguments: All inputs, in the order of the header.
        options: The options.
        schedule: What the caller wants of some kernels.
    """

    source: Source
    function: str | None
    arguments: tuple[Argument, ...]
    options: Options
    schedule: Schedule | None = None

    def values(self) -> dict[str, Number]:
        """The numbers of the inputs that the program uses as sizes."""
        return {given.name: given.value for given in self.arguments if given.value is not None}

    def key(self, backend: Backend) -> str:
        """Under which the code is kept on disk."""
        arguments = [
            [
                given.name,
                given.spec.dtype.name,
                list(given.spec.shape),
                list(given.spec.strides),
                repr(given.value),
                given.bound,
            ]
            for given in self.arguments
        ]
        package = type(backend).__module__.partition(".")[0]
        return digest(
            "code",
            __version__,
            source_stamp(*COMPILER_PACKAGES, package),
            backend.name,
            backend.fingerprint(self.options),
            # Descriptions of processors are among the stamped sources.
            system_key() if self.options.cpu is None else "",
            json.dumps([arguments, list(self.options.code_key()), str(self.schedule or "")]),
            self.function or "",
            self.source.text,
        )
