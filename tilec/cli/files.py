"""Arrays from and to files: ``.npy``, ``.npz`` and, with Pillow installed, images."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

import click
import numpy as np

from tilec.cli.specs import parse_number
from tilec.dtypes import BY_NAME
from tilec.errors import ArgumentError
from tilec.runtime.arrays import numpy_dtype

if TYPE_CHECKING:
    from types import ModuleType

Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"
Value: TypeAlias = "Array | bool | int | float"

_NPY_MAGIC = b"\x93NUMPY"
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def read_value(text: str, name: str, declared: str | None) -> Value:
    """Read what stands behind ``NAME=`` on the command line.

    Args:
        text: A number, a JSON list, or a path; ``:DTYPE`` may follow, and ``:MEMBER`` after the
            path of an ``.npz`` file.
        name: The input's name, which is also the member of an ``.npz`` file that is looked for.
        declared: The dtype that the program declares for this input.
    """
    body, dtype = _split_dtype(text)
    if not body:
        raise click.UsageError(f"there is no value behind {name}=")
    wanted = dtype or declared
    number = parse_number(body)
    if number is not None:
        return (
            number
            if wanted is None
            else cast("Array", np.array(number, numpy_dtype(BY_NAME[wanted])))
        )
    if body.startswith("["):
        return _read_list(body, name, wanted)
    path, member = _split_member(body)
    if path.suffix.lower() in IMAGES:
        return _read_image(path, wanted)
    array = _read_npz(path, member or name, member is not None) if is_npz(path) else _read_npy(path)
    return array if dtype is None else array.astype(numpy_dtype(BY_NAME[dtype]))


def read_all(path: Path) -> dict[str, Array]:
    """Every array of an ``.npz`` file by name."""
    return {name: _read_npz(path, name, True) for name in _members(path)}


def write_value(path: Path, array: Array) -> None:
    """Write one array as ``.npy`` or as an image, by the file's suffix."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            np.save(path, array)
        elif suffix in IMAGES:
            _pillow().fromarray(to_pixels(array)).save(path)
        else:
            raise click.UsageError(
                f"{path}: results are written as .npy, .npz or an image ({', '.join(IMAGES)})"
            )
    except OSError as error:
        raise ArgumentError(f"cannot write {path}: {_reason(error)}") from error


def write_all(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write several arrays to one ``.npz`` file."""
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    except OSError as error:
        raise ArgumentError(f"cannot write {path}: {_reason(error)}") from error


def to_pixels(array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pixels of an array of shape height x width, or that with 1, 3 or 4 channels.

    Floats run from 0 (black) to 1, integers from 0 to 255; what lies outside is clipped.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if (
        array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (3, 4))
        or not array.size
    ):
        shape = "x".join(map(str, array.shape)) or "a scalar"
        raise ArgumentError(
            f"an array of shape {shape} is no image",
            help="an image has the shape height x width, or that with 1, 3 or 4 channels",
        )
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(array.dtype, np.integer):
        return np.clip(array, 0, 255).astype(np.uint8)
    scaled = np.nan_to_num(array.astype(np.float64)) * 255.0
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _split_dtype(text: str) -> tuple[str, str | None]:
    body, colon, suffix = text.rpartition(":")
    if colon and suffix in BY_NAME and not Path(text).exists():
        return body, suffix
    return text, None


def _split_member(text: str) -> tuple[Path, str | None]:
    body, colon, member = text.rpartition(":")
    if colon and is_npz(Path(body)) and not Path(text).exists():
        return Path(body), member
    return Path(text), None


def is_npz(path: Path) -> bool:
    """True for the path of a file of several arrays."""
    return path.suffix.lower() == ".npz"


def _read_list(text: str, name: str, wanted: str | None) -> Array:
    try:
        values = json.loads(text)
        array = cast("Array", np.array(values))
    except (ValueError, RecursionError, OverflowError) as error:
        raise click.UsageError(
            f"{name}={text}: no list of numbers whose rows have one length"
        ) from error
    if array.dtype.kind not in "biuf":
        raise click.UsageError(f"{name}={text}: no list of numbers")
    if wanted is not None:
        return array.astype(numpy_dtype(BY_NAME[wanted]))
    # The types that Tile gives to literals.
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    fits = array.dtype.kind == "i" and np.array_equal(array, array.astype(np.int32))
    return array.astype(np.int32) if fits else array


def _read_npy(path: Path) -> Array:
    try:
        with path.open("rb") as stream:
            if stream.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
                raise ArgumentError(
                    f"cannot read {path}: it is no .npy file",
                    help=f"arrays are read from .npy, .npz and images ({', '.join(IMAGES)})",
                )
            stream.seek(0)
            return _read_array(stream)
    except (OSError, ValueError, EOFError) as error:
        raise ArgumentError(f"cannot read {path}: {_reason(error)}") from error


def _read_array(stream: IO[bytes]) -> Array:
    # Never unpickles: a file of Python objects could run code.
    return cast("Array", np.lib.format.read_array(stream, allow_pickle=False))


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"cannot read {path}: {_reason(error)}") from error
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _read_npz(path: Path, member: str, exact: bool) -> Array:
    """The array called ``member``; without ``exact``, an only array of another name will do."""
    members = _members(path)
    if member not in members:
        if exact or len(members) != 1:
            known = ", ".join(members) or "none"
            raise ArgumentError(
                f"{path} holds no array {member!r}", help=f"it holds {known}; say {path}:NAME"
            )
        member = members[0]
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as stream:
            return _read_array(stream)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"cannot read {member} of {path}: {_reason(error)}") from error


def _read_image(path: Path, wanted: str | None) -> Array:
    """Height x width (grey) or height x width x channels; u8, or floats from 0 to 1."""
    pillow = _pillow()
    try:
        with pillow.open(path) as picture:
            grey = picture.mode in ("1", "L", "I;16", "I", "F")
            alpha = picture.mode in ("RGBA", "LA", "PA")
            mode = "L" if grey else "RGBA" if alpha else "RGB"
            pixels = cast("Array", np.array(picture.convert(mode)))
    except (OSError, ValueError, pillow.DecompressionBombError) as error:
        raise ArgumentError(f"cannot read {path}: {_reason(error)}") from error
    if wanted is None:
        return pixels
    dtype = numpy_dtype(BY_NAME[wanted])
    if not BY_NAME[wanted].is_float:
        return pixels.astype(dtype)
    return (pixels.astype(np.float32) / np.float32(255)).astype(dtype)


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise click.UsageError(
            "images need the package pillow; install it with: pip install 'tilec[images]'"
        ) from error
    return Image


def _reason(error: Exception) -> str:
    """Why, in one line and without the path, which stands before it already."""
    if "allow_pickle" in str(error):
        return "it holds Python objects, not numbers"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
