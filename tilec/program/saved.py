"""Executables in files.

A file holds the Tile text, the arguments it was compiled for, the bound arrays and the code. Its
checksum finds damage, but it does not say who made the file, and machine code can do anything. So
the text is compiled again (or found in the disk cache, which is private) and the code is not
touched, unless the caller says that the file can be trusted and the code was made by this version
of tilec for this CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import numpy as np

from tilec.errors import ArgumentError, CacheError, UserError
from tilec.options import Options
from tilec.program.code import (
    compiled_from_entry,
    compiled_to_entry,
    spec_from_manifest,
    spec_to_manifest,
)
from tilec.program.engine import Engine, NativeEngine, engine
from tilec.program.frontend import Frontend, frontend
from tilec.program.recipe import Argument, Recipe
from tilec.records import dataclass
from tilec.runtime.arrays import Array, numpy_dtype
from tilec.runtime.backend import find_backend
from tilec.runtime.container import (
    Contents,
    Manifest,
    field,
    objects,
    pack,
    strings,
    unpack,
)
from tilec.schedule.values import Schedule
from tilec.source import Source
from tilec.version import __version__

_FORMAT: Final = 1
_BOUND: Final = "bound/"


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What an executable is made of."""

    text: Frontend
    recipe: Recipe
    bound: Mapping[str, Array]
    engine: Engine


def write(path: Path, given: Ingredients) -> None:
    """Write an executable to a file.

    Raises:
        ArgumentError: the file cannot be written.
    """
    recipe = given.recipe
    manifest: dict[str, object] = {
        "format": _FORMAT,
        "version": __version__,
        "text": recipe.source.text,
        "text_name": recipe.source.name,
        "function": recipe.function or "",
        "arguments": [_argument_to_manifest(each) for each in recipe.arguments],
        "options": {
            "target": recipe.options.target,
            "disable": list(recipe.options.disable),
            "cpu": recipe.options.cpu or "",
            "workspace_bytes": recipe.options.workspace_bytes,
        },
        "schedule": str(recipe.schedule or ""),
    }
    blobs: dict[str, bytes] = {}
    if isinstance(given.engine, NativeEngine):
        code, binaries = compiled_to_entry(given.engine.code)
        manifest |= {"key": recipe.key(find_backend(recipe.options.target)), **code}
        blobs |= binaries
    for name, array in given.bound.items():
        blobs[_BOUND + name] = array.tobytes()
    _write(path, pack(manifest, blobs))


def read(path: Path, *, trust: bool) -> Ingredients:
    """Read what ``write`` wrote; see ``tilec.load``.

    Raises:
        ArgumentError: the file cannot be read, is damaged, or is no saved executable.
        UserError: its program cannot be compiled here.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}") from error
    try:
        contents = unpack(data)
        text, recipe = _recipe(contents.manifest)
        bound = _bound_arrays(recipe, contents)
        made = _trusted(text, recipe, bound, contents) if trust else None
    except CacheError as error:
        raise ArgumentError(
            f"{path} is no executable that this version of tilec can load: {error.message}"
        ) from error
    return Ingredients(text, recipe, bound, made or engine(text, recipe, bound, None))


def _trusted(
    text: Frontend, recipe: Recipe, bound: Mapping[str, Array], contents: Contents
) -> Engine | None:
    """The code of the file; None when it is for another version or CPU."""
    if recipe.options.target == "reference":
        return None
    backend = find_backend(recipe.options.target)
    if contents.manifest.get("key") != recipe.key(backend):
        return None
    code = compiled_from_entry(contents, backend, recipe.options)
    return NativeEngine(text, recipe, bound, backend, code)


def _recipe(manifest: Manifest) -> tuple[Frontend, Recipe]:
    if field(manifest, "format", int) != _FORMAT:
        raise CacheError(
            f"it was written by tilec {manifest.get('version')}, this is {__version__}"
        )
    options = cast("Manifest", field(manifest, "options", dict))
    name = field(manifest, "function", str) or None
    text = frontend(Source(field(manifest, "text_name", str), field(manifest, "text", str)), name)
    arguments = tuple(_argument(item) for item in objects(manifest, "arguments"))
    wanted = tuple((each.name, each.specialised) for each in text.header.inputs)
    if wanted != tuple((given.name, given.value is not None) for given in arguments):
        raise CacheError("its arguments are not those of its text")
    return text, Recipe(
        text.source,
        name,
        arguments,
        Options(
            target=field(options, "target", str),
            disable=strings(options, "disable"),
            cpu=field(options, "cpu", str) or None,
            workspace_bytes=field(options, "workspace_bytes", int),
        ),
        _schedule(field(manifest, "schedule", str)),
    )


def _schedule(text: str) -> Schedule | None:
    try:
        return Schedule.parse(text) if text else None
    except UserError as error:
        raise CacheError(error.message) from error


def _argument_to_manifest(given: Argument) -> Manifest:
    return {
        "name": given.name,
        "value": given.value,
        "bound": given.bound,
        **spec_to_manifest(given.spec),
    }


def _argument(item: Manifest) -> Argument:
    value = item.get("value")
    if not isinstance(value, bool | int | float | None):
        raise CacheError("it has an argument with a wrong value")
    try:
        spec = spec_from_manifest(item)
    except CacheError:
        raise
    except UserError as error:
        raise CacheError(error.message) from error
    return Argument(field(item, "name", str), spec, value, field(item, "bound", bool))


def _bound_arrays(recipe: Recipe, contents: Contents) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for given in recipe.arguments:
        if not given.bound:
            continue
        data = contents.blobs.get(_BOUND + given.name)
        if data is None or len(data) != given.spec.bytes or not given.spec.is_row_major:
            raise CacheError(f"its array {given.name} is missing or of the wrong size")
        flat = np.frombuffer(data, numpy_dtype(given.spec.dtype))
        # A copy: bytes are aligned to nothing in particular.
        array = flat.reshape(given.spec.shape).copy()
        array.flags.writeable = False
        found[given.name] = array
    return found


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file as a whole: a failure leaves the old file, if there was one."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ArgumentError(f"{path} cannot be written: {error.strerror}") from error
