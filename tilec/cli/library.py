"""Libraries on the command line: ``tilec compile --aot``, and ``tilec compile`` of ONNX models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import tilec
from tilec.cli.report import compile_bar
from tilec.cli.specs import ShapeOption
from tilec.options import Options
from tilec.version import __version__

if TYPE_CHECKING:
    from tilec.onnx import Input


def is_model(file: str | None) -> bool:
    """True for the name of an ONNX file."""
    return file is not None and file.lower().endswith(".onnx")


def compiled_model(
    file: str, shapes: Mapping[str, ShapeOption], options: Options
) -> tilec.Executable:
    """The program of an ONNX model, all of whose sizes have to be known."""
    from tilec import onnx  # Tile programs do not need it

    typed = [name for name, option in shapes.items() if option.dtype is not None]
    if typed:
        raise click.UsageError(f"--shape {typed[0]}: the dtypes of a model are in its file")
    sizes = {name: option.shape for name, option in shapes.items()}
    with compile_bar():
        found = onnx.load(file, shapes=sizes, options=options)
    if isinstance(found, tilec.Executable):
        return found
    known = {*sizes, *(found.shapes or {})}
    still = [each for each in found.inputs if each.name not in known and not _is_sized(each)]
    if not still:
        raise click.UsageError(f"elements of an input decide about sizes in {file}")
    example = "x".join(
        str(each) if isinstance(each, int) else "1" for each in still[0].dims or (1,)
    )
    raise click.UsageError(
        f"the sizes of the input {still[0]} are not known: "
        f"add them, e.g. --shape {still[0].name}={example}"
    )


def model_name(file: str) -> str:
    """A name for the library of a model, from that of its file."""
    found = re.sub(r"[^A-Za-z0-9_]", "_", Path(file).stem)
    return found if found[:1].isalpha() and found.isascii() else f"model_{found}"


def _is_sized(given: Input) -> bool:
    return given.dims is not None and all(isinstance(size, int) for size in given.dims)


def export(executable: tilec.Executable, folder: Path, name: str | None, *, as_json: bool) -> None:
    """Write a library, and say which files it has."""
    files = executable.export(folder, name=name)
    if not as_json:
        for file in files:
            click.echo(str(file))
        return
    memory = executable.memory
    facts = {
        "version": __version__,
        "files": [str(file) for file in files],
        "memory": {**asdict(memory), "peak": memory.peak},
    }
    click.echo(json.dumps(facts, indent=2))
