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
from typing import Final

import numpy as np

from tilec.errors import ArgumentError, CacheError
from tilec.program.code import compiled_from_entry, compiled_to_entry
from tilec.program.engine import Engine, NativeEngine, engine
from tilec.program.frontend import Frontend
from tilec.program.recipe import Recipe
from tilec.program.written import recipe_from_manifest, recipe_to_manifest
from tilec.records import dataclass
from tilec.runtime.arrays import Array, numpy_dtype
from tilec.runtime.backend import find_backend
from tilec.runtime.container import Contents, Manifest, field, pack, unpack
from tilec.runtime.stored import Known, elements
from tilec.version import __version__

_FORMAT: Final = 3
_BOUND: Final = "bound/"


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What an executable is made of."""

    text: Frontend
    recipe: Recipe
    bound: Mapping[str, Known]
    engine: Engine


def write(path: Path, given: Ingredients) -> None:
    """Write an executable to a file.

    Raises:
        ArgumentError: the file cannot be written.
    """
    recipe = given.recipe
    lost = [each.name for each in recipe.arguments if each.bound and each.name not in given.bound]
    if lost:
        raise ArgumentError(
            f"this was loaded from a library, which has the array {lost[0]} only as the code "
            "takes it",
            help="copy the folder of the library",
        )
    manifest: dict[str, object] = {
        "format": _FORMAT,
        "version": __version__,
        **recipe_to_manifest(recipe),
    }
    blobs: dict[str, bytes] = {}
    if isinstance(given.engine, NativeEngine):
        code, binaries = compiled_to_entry(given.engine.code)
        manifest |= {"key": recipe.key(find_backend(recipe.options.target)), **code}
        blobs |= binaries
    for name, known in given.bound.items():
        blobs[_BOUND + name] = elements(known).tobytes()
    write_whole(path, pack(manifest, blobs))


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
        text, recipe = _checked(contents.manifest)
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


def _checked(manifest: Manifest) -> tuple[Frontend, Recipe]:
    if field(manifest, "format", int) != _FORMAT:
        raise CacheError(
            f"it was written by tilec {manifest.get('version')}, this is {__version__}"
        )
    return recipe_from_manifest(manifest)


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


def write_whole(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
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
