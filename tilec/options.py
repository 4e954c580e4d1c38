"""Options of a compilation, and the only place that reads environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Final, NoReturn

from tilec.errors import ArgumentError
from tilec.records import dataclass

CONVOLUTIONS: Final = (
    "auto",
    "direct",
    "winograd",
    "fft",
    "lowering-1",
    "lowering-2",
    "lowering-3",
)
"""Methods of convolutions that ``Options.conv`` names."""

PRODUCTS: Final = ("auto", "direct", "strassen")
"""Methods of products of matrices that ``Options.product`` names."""

KERAS_EAGER: Final = ("evaluate", "compile")
"""What ``TILEC_KERAS_EAGER`` may say."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose about a compilation.

    Fields marked ``code`` change the code and are part of the cache key; the others are not.

    Attributes:
        target: ``llvm``, ``reference``, or the name of an installed backend.
        num_threads: Threads a kernel may use; None takes the affinity and cgroup limits.
        debug: Verify every IR after every pass and keep compiler tracebacks.
        disable: Names of passes to switch off, to see what each is worth.
        cpu: LLVM name of the CPU to compile for; None is this machine. Other CPUs can be
            compiled for and printed, not run.
        gpu: Name of a description of GPUs, or a file with one, to compile for; None is what the
            device is. Without a device code can be printed, not run.
        group_items: Items of a group on a GPU, at most; None leaves it to the device.
        workspace_bytes: Scratch memory that a kernel may take, all threads together.
        constants_bytes: Memory that constants may take in the form in which kernels read them, as
            far as there is a choice: convolutions whose transformed weights gain least for each
            byte take the weights as they are. None sets no bound.
        conv: Method of convolutions: ``auto`` takes the one that is the fastest by prediction,
            ``direct`` the definition; ``winograd`` and ``fft`` transforms of tiles, and
            ``lowering-1`` to ``lowering-3`` copies or sums around one product of matrices,
            wherever they can be used.
        product: Method of products of matrices: ``auto`` takes the one that is the fastest by
            prediction, ``direct`` the definition, ``strassen`` seven products of quarters wherever
            all sizes are even.
        tuned: Take the schedules that ``tilec.tune`` found on this machine, where there are any.
    """

    target: str = field(default="llvm", metadata={"code": True})
    num_threads: int | None = field(default=None, metadata={"code": False})
    debug: bool = field(default=False, metadata={"code": False})
    disable: tuple[str, ...] = field(default=(), metadata={"code": True})
    cpu: str | None = field(default=None, metadata={"code": True})
    gpu: str | None = field(default=None, metadata={"code": True})
    group_items: int | None = field(default=None, metadata={"code": True})
    workspace_bytes: int = field(default=32 << 20, metadata={"code": True})
    constants_bytes: int | None = field(default=None, metadata={"code": True})
    conv: str = field(default="auto", metadata={"code": True})
    product: str = field(default="auto", metadata={"code": True})
    tuned: bool = field(default=True, metadata={"code": True})

    def code_key(self) -> tuple[tuple[str, object], ...]:
        """Name and value of each field that changes the code, for the cache key."""
        return tuple(
            (item.name, getattr(self, item.name)) for item in fields(self) if item.metadata["code"]
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment variables say.

    Attributes:
        target: ``TILEC_TARGET``, the default target.
        gpu: ``TILEC_GPU``: name of a description of GPUs, or a file with one.
        num_threads: ``TILEC_NUM_THREADS``.
        debug: ``TILEC_DEBUG`` is set and not 0: compiler tracebacks are kept, IRs verified.
        cache: ``TILEC_CACHE``: folder of the disk cache, or ``off``; None for the user's default.
        cache_bytes: ``TILEC_CACHE_BYTES``: bound of the disk cache.
        pool_bytes: ``TILEC_POOL_BYTES``: memory of large results that waits to be used again, at
            most; 0 gives all of it back to the system.
        device_bytes: ``TILEC_DEVICE_BYTES``: memory that arrays and scratch may take on each
            device, at most; 0, the default, is all that it has.
        tuned: ``TILEC_TUNED`` is not 0: what the tuner found on this machine is used.
        no_color: ``NO_COLOR`` is set and not empty: the command line writes without colours.
        keras_eager: ``TILEC_KERAS_EAGER``: what operations of Keras on known tensors do:
            ``evaluate`` runs small ones on the reference evaluator and compiles the others;
            ``compile`` compiles all of them.
    """

    target: str = "llvm"
    gpu: str | None = None
    num_threads: int | None = None
    debug: bool = False
    cache: str | None = None
    cache_bytes: int = 1 << 30
    pool_bytes: int = 256 << 20
    device_bytes: int = 0
    tuned: bool = True
    no_color: bool = False
    keras_eager: str = "evaluate"

    @property
    def options(self) -> Options:
        """The options that hold when a caller gives none."""
        return Options(
            target=self.target,
            gpu=self.gpu,
            num_threads=self.num_threads,
            debug=self.debug,
            tuned=self.tuned,
        )


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read ``TILEC_*`` from ``variables``, by default the environment of the process.

    Raises:
        ArgumentError: a variable holds something that cannot be read.
    """
    source = os.environ if variables is None else variables
    threads = source.get("TILEC_NUM_THREADS")
    return Environment(
        target=source.get("TILEC_TARGET") or "llvm",
        gpu=source.get("TILEC_GPU") or None,
        num_threads=None if not threads else _positive("TILEC_NUM_THREADS", threads),
        debug=source.get("TILEC_DEBUG", "0") not in ("", "0"),
        cache=source.get("TILEC_CACHE") or None,
        cache_bytes=_positive("TILEC_CACHE_BYTES", source.get("TILEC_CACHE_BYTES") or str(1 << 30)),
        pool_bytes=_whole("TILEC_POOL_BYTES", source.get("TILEC_POOL_BYTES") or str(256 << 20)),
        device_bytes=_whole("TILEC_DEVICE_BYTES", source.get("TILEC_DEVICE_BYTES") or "0"),
        tuned=source.get("TILEC_TUNED", "1") != "0",
        no_color=bool(source.get("NO_COLOR")),
        keras_eager=_one_of(
            "TILEC_KERAS_EAGER", source.get("TILEC_KERAS_EAGER") or KERAS_EAGER[0], KERAS_EAGER
        ),
    )


def keras_backend() -> str | None:
    """``KERAS_BACKEND``: the backend that Keras will take, or None if nobody chose one."""
    return os.environ.get("KERAS_BACKEND") or None


def default_cache_folder(variables: Mapping[str, str] | None = None) -> Path:
    """The user's cache folder by the convention of the platform."""
    source = os.environ if variables is None else variables
    base = source.get("XDG_CACHE_HOME") or source.get("LOCALAPPDATA")
    return Path(base) / "tilec" if base else Path.home() / ".cache" / "tilec"


def _positive(name: str, text: str) -> int:
    number = _whole(name, text, "a positive")
    if number == 0:
        _refuse(name, text, "a positive")
    return number


def _whole(name: str, text: str, kind: str = "a non-negative") -> int:
    if not text.isascii() or not text.isdigit():
        _refuse(name, text, kind)
    return int(text)


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise ArgumentError(
            f"{name} is {text!r}, which is none of {', '.join(known)}",
            help=f"unset {name}, or set it to {known[0]}",
        )
    return text


def _refuse(name: str, text: str, kind: str) -> NoReturn:
    raise ArgumentError(
        f"{name} is {text!r}, which is not {kind} integer",
        help=f"unset {name}, or set it to a number such as 2",
    )
