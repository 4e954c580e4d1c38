"""The libraries that tilec is measured against: which are here, and how many threads they get."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from benchmarks.case import Case, Inputs, Work

INSTALL: Final = "pip install 'tilec[bench]'"


@dataclass(frozen=True, slots=True)
class Peer:
    """A contender other than tilec.

    Attributes:
        name: As reports call it.
        module: What is imported and handed to a kind.
        what: One line for reports.
    """

    name: str
    module: str
    what: str


class Outside(Protocol):
    """A peer in a process of its own, which runs the Tile program itself."""

    def prepare(self, case: Case, inputs: Inputs) -> Work:
        """The case, ready to run."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


PEERS: Final = (
    Peer("numpy", "numpy", "NumPy with its OpenBLAS; einsum with an optimised path"),
    Peer("torch", "torch", "PyTorch, eager, oneDNN with repacked weights and fused epilogues"),
    Peer("torch-compile", "torch", "torch.compile, weights frozen"),
    Peer("jax", "jax", "JAX, jit, CPU"),
)
PLAIDML: Final = "plaidml"
NAMES: Final = (*(peer.name for peer in PEERS), PLAIDML)

_THREAD_VARIABLES: Final = (
    "TILEC_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",  # the thread pool of XLA
)


@dataclass(frozen=True, slots=True)
class Found:
    """What looking for peers has found.

    Attributes:
        modules: The peers that can run in this process, with their modules.
        outside: Those that run in another.
        absent: The others, and the reason with the remedy.
        versions: Version of each library.
    """

    modules: Mapping[str, Any]
    absent: Mapping[str, str]
    versions: Mapping[str, str]
    outside: Mapping[str, Outside] = field(default_factory=dict[str, Outside])

    def close(self) -> None:
        """End the processes of peers outside."""
        for peer in self.outside.values():
            peer.close()


def set_threads(threads: int) -> bool:
    """Give every contender as many threads; whether the process began like that.

    If it did not, a child process does.
    """
    before = dict(os.environ)
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=" + str(threads > 1).lower()
    os.environ["JAX_PLATFORMS"] = "cpu"
    # Compilation is part of what is reported, so nothing comes from the disk cache.
    os.environ["TILEC_CACHE"] = "off"
    os.environ["TILEC_TUNED"] = "0"
    return before == dict(os.environ)


def find(wanted: Iterable[str], threads: int, plaidml: str | None = None) -> Found:
    """Import the peers that are wanted and present.

    Args:
        wanted: Their names.
        threads: Threads of each.
        plaidml: An interpreter that has PlaidML.
    """
    modules: dict[str, Any] = {}
    absent: dict[str, str] = {}
    versions: dict[str, str] = {}
    chosen = set(wanted)
    for peer in PEERS:
        if peer.name not in chosen:
            continue
        try:
            module: Any = importlib.import_module(peer.module)
            if peer.module == "torch":
                module.set_num_threads(threads)
            if peer.name == "torch-compile":
                importlib.import_module("torch._inductor.config")
        except ImportError as error:
            absent[peer.name] = f"not installed ({error}); {INSTALL}"
            continue
        except (RuntimeError, OSError) as error:
            absent[peer.name] = f"cannot be loaded: {error}"
            continue
        modules[peer.name] = module
        versions[peer.module] = importlib.metadata.version(peer.module)
    outside: dict[str, Outside] = {}
    if PLAIDML in chosen:
        try:
            outside[PLAIDML] = _start_plaidml(plaidml, threads)
            versions[PLAIDML] = "0.7"
        except (RuntimeError, OSError) as error:
            absent[PLAIDML] = str(error)
    return Found(modules, absent, versions, outside)


def _start_plaidml(python: str | None, threads: int) -> Outside:
    if python is None:
        raise RuntimeError(
            "needs an environment of its own, whose interpreter --plaidml names; "
            "docs/benchmarks.md says how to make one"
        )
    from benchmarks.plaidml_peer import PlaidML

    return PlaidML(python, threads)
