"""Programs as libraries: machine code with a C interface, weights, a header and a manifest.

A folder holds ``NAME.o``, ``NAME.h``, ``NAME.weights`` (if there are any) and ``manifest.json``.
Constants that are computed once lie in the weights as the code takes them, so nothing is computed
when a library is opened.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, cast

import numpy as np

from tilec.errors import ArgumentError, CacheError, TargetError
from tilec.program.boundary import compiler_lock
from tilec.program.code import (
    Facts,
    KernelFacts,
    facts_from_manifest,
    facts_to_manifest,
    spec_to_manifest,
)
from tilec.program.engine import Engine, NativeEngine, Numbers, result_maker, results
from tilec.program.frontend import Frontend
from tilec.program.recipe import Recipe
from tilec.program.saved import write_whole
from tilec.program.written import recipe_from_manifest, recipe_to_manifest
from tilec.records import dataclass
from tilec.runtime.arrays import Array
from tilec.runtime.backend import Runner, find_backend
from tilec.runtime.container import Manifest, field, parse_manifest
from tilec.runtime.dispatch import Call, NativeCall
from tilec.runtime.library import ABI, Interface, LibraryBackend, Port
from tilec.runtime.spec import Spec
from tilec.version import __version__

MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OTHER: Final = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Exported:
    """A library that was read.

    Attributes:
        text: The Tile text.
        recipe: What it was compiled for.
        engine: Runs it.
    """

    text: Frontend
    recipe: Recipe
    engine: LibraryEngine


def write(
    folder: Path, text: Frontend, recipe: Recipe, engine: Engine, wanted: str | None
) -> tuple[Path, ...]:
    """Write a library to a folder, which is made if it is not there; returns the files.

    Args:
        folder: The folder.
        text: The function.
        recipe: What it was compiled for.
        engine: Its code.
        wanted: What the symbols begin with; by default the name of the function.

    Raises:
        TargetError: there are no libraries for the target or processor.
        ArgumentError: something cannot be written.
    """
    backend = library_backend(recipe.options.target)
    if not isinstance(engine, NativeEngine):
        raise ArgumentError("this was loaded from a library", help="copy the folder it came from")
    name = _prefix(wanted, text.header.name)
    module, facts, constants = engine.final()
    inputs = _ports(recipe)
    names = [port.name for port in inputs]
    interface = Interface(
        name=name,
        inputs=inputs,
        outputs=tuple(Port(each, spec) for each, spec in facts.outputs),
        order=tuple(names.index(each) for each in facts.inputs),
        constants=tuple(map(_bytes_of, constants)),
    )
    with compiler_lock():
        made = backend.library(module, interface, recipe.options)
    weights_bytes = sum(map(len, made.weights))
    files: dict[str, tuple[str, Iterable[bytes | memoryview]]] = {
        "object": (f"{name}.o", [made.object]),
        "header": (f"{name}.h", [made.header.encode()]),
    }
    if weights_bytes:
        files["weights"] = (f"{name}.weights", made.weights)
    manifest: dict[str, object] = {
        "format": _FORMAT,
        "version": __version__,
        "abi": ABI,
        "name": name,
        "system": "linux",
        "architecture": made.architecture,
        "cpu": made.cpu,
        "features": list(made.features),
        "inputs": [_described(port) for port in inputs],
        "outputs": [_described(port) for port in interface.outputs],
        "workspace_bytes": made.workspace_bytes,
        "thread_bytes": made.worker_bytes,
        "weights_bytes": weights_bytes,
        "weights_checksum": f"{made.checksum:016x}",
        "object_sha256": hashlib.sha256(made.object).hexdigest(),
        "files": {kind: file for kind, (file, _) in files.items()},
        "code": facts_to_manifest(facts),
        "recipe": recipe_to_manifest(recipe),
    }
    # The manifest is the last: who finds it finds the others.
    files["manifest"] = (MANIFEST, [f"{json.dumps(manifest, indent=2)}\n".encode()])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"{folder} cannot be made: {error.strerror}") from error
    for file, pieces in files.values():
        write_whole(folder / file, pieces)
    return tuple(folder / file for file, _ in files.values())


def library_backend(target: str) -> LibraryBackend:
    """The backend of a target, if it makes libraries.

    Raises:
        TargetError: it does not.
    """
    backend = None if target == "reference" else find_backend(target)
    if not isinstance(backend, LibraryBackend):
        raise TargetError(
            f"the target {target} makes no libraries", help="compile for the target llvm"
        )
    return backend


def read(folder: Path) -> Exported:
    """Read what ``write`` wrote, and load its code.

    Raises:
        ArgumentError: something is missing or damaged, or the folder holds no library.
        TargetError: this machine lacks what the code needs.
    """
    try:
        manifest = parse_manifest(_contents(folder / MANIFEST))
        if (field(manifest, "format", int), field(manifest, "abi", int)) != (_FORMAT, ABI):
            raise CacheError(
                f"it was written by tilec {manifest.get('version')}, this is {__version__}"
            )
        text, recipe = recipe_from_manifest(_part(manifest, "recipe"))
        facts = facts_from_manifest(_part(manifest, "code"))
        files, name = _part(manifest, "files"), field(manifest, "name", str)
        architecture = field(manifest, "architecture", str)
        weights_bytes = field(manifest, "weights_bytes", int)
        object_file = _file(folder, files, "object")
        code = _contents(object_file)
        if hashlib.sha256(code).hexdigest() != field(manifest, "object_sha256", str):
            raise CacheError(f"{object_file.name} is damaged, or belongs to another library")
        weights = str(_file(folder, files, "weights")) if weights_bytes else ""
    except CacheError as error:
        raise ArgumentError(
            f"{folder} holds no library that this version of tilec can load: {error.message}"
        ) from error
    runner = library_backend(recipe.options.target).open_library(code, name, architecture, weights)
    return Exported(text, recipe, LibraryEngine(text, recipe, facts, weights_bytes, runner))


class LibraryEngine:
    """A library that was loaded."""

    stages = ()
    held_bytes = 0
    reading_bytes = 0

    def __init__(
        self, text: Frontend, recipe: Recipe, facts: Facts, weights_bytes: int, runner: Runner
    ) -> None:
        self._title = text.header.name
        self._passed = [given for given in recipe.arguments if not given.bound]
        self._facts = facts
        self._runner = runner
        self.constants_bytes = weights_bytes

    @property
    def outputs(self) -> tuple[tuple[str, Spec], ...]:
        """See ``Engine``."""
        return self._facts.outputs

    @property
    def kernels(self) -> tuple[KernelFacts, ...]:
        """See ``Engine``."""
        return self._facts.kernels

    @property
    def workspace_bytes(self) -> int:
        """See ``Engine``."""
        return self._facts.workspace_bytes + self._facts.scratch_bytes

    @property
    def temporaries(self) -> tuple[int, ...]:
        """See ``Engine``."""
        return self._facts.temporaries

    def source(self, stage: str) -> str:
        """See ``Engine``."""
        raise ArgumentError(f"a library has no {stage}", help="compile its Tile text")

    def call(self, numbers: Numbers) -> NativeCall:
        """See ``Engine``."""
        return NativeCall(
            self._runner.run,
            inputs=[given.spec for given in self._passed],
            numbers=numbers,
            order=[at for at, given in enumerate(self._passed) if given.value is None],
            constants=(),
            results=results(self._facts.outputs),
            make=result_maker(self._title, self._facts.outputs),
        )

    def call_there(self) -> Call:
        """See ``Engine``."""
        raise TargetError("a library works on arrays of the processor")


def _prefix(wanted: str | None, title: str | None) -> str:
    """What the symbols of a library begin with."""
    if wanted is None:
        found = _OTHER.sub("_", (title or "program").replace("'", "_prime"))
        return found if _IDENTIFIER.fullmatch(found) else f"program{found}"
    if not _IDENTIFIER.fullmatch(wanted):
        raise ArgumentError(
            f"a library cannot be called {wanted!r}",
            help="the names of its functions in C begin with that: letters, digits and _",
        )
    return wanted


def _ports(recipe: Recipe) -> tuple[Port, ...]:
    """The arrays that callers pass; a number that is a size is fixed, and part of the code."""
    passed = [given for given in recipe.arguments if not given.bound and given.value is None]
    return tuple(Port(given.name, given.spec) for given in passed)


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _described(port: Port) -> Manifest:
    return {"name": port.name, "bytes": port.spec.bytes, **spec_to_manifest(port.spec)}


def _part(manifest: Manifest, name: str) -> Manifest:
    return cast("Manifest", field(manifest, name, dict))


def _file(folder: Path, files: Manifest, kind: str) -> Path:
    name = field(files, kind, str)
    if Path(name).name != name:
        raise CacheError(f"its file {name!r} lies elsewhere")
    return folder / name


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CacheError(f"{path.name} cannot be read: {error.strerror}") from error
