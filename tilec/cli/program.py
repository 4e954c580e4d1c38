"""The options by which every command is given a program, and reading it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tilec.errors import ArgumentError
from tilec.options import CONVOLUTIONS, Options
from tilec.source import Source

_Command = TypeVar("_Command", bound=Callable[..., Any])


def program_options(command: _Command) -> _Command:
    """Adds ``-e TEXT`` and ``--function NAME``."""
    command = click.option(
        "-e", "--expression", metavar="TEXT", help="The program itself, instead of a file."
    )(command)
    return click.option(
        "--function",
        "function_name",
        metavar="NAME",
        help="Which function of the program; by default the last.",
    )(command)


def size_options(command: _Command) -> _Command:
    """Adds ``--shape NAME=SIZES:DTYPE`` and ``--set NAME=NUMBER``, both as often as wanted."""
    command = click.option(
        "--set",
        "numbers",
        multiple=True,
        metavar="NAME=NUMBER",
        help="The value of a scalar input that the program uses as a size.",
    )(command)
    return click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar="NAME=SIZES:DTYPE",
        help="Sizes and dtype of an input, e.g. A=1024x1024:f32, or S=:f32 for a scalar. Once per "
        "input; an input whose sizes follow from the others may be left out. The dtype is f32 "
        "unless the program or this says otherwise.",
    )(command)


def target_option(command: _Command) -> _Command:
    """Adds ``--target NAME``."""
    return click.option(
        "--target",
        metavar="NAME",
        shell_complete=_complete_target,
        help="What to compile for; 'tilec targets' lists them.  [default: llvm]",
    )(command)


def read_source(file: str | None, expression: str | None) -> Source:
    """The program's text: of a file, of standard input (``-``), or given on the command line."""
    if expression is not None:
        if file is not None:
            raise click.UsageError(f"the program is given twice: -e and {file}")
        return Source("<command line>", expression)
    if file is None:
        raise click.UsageError("no program: name a file, '-' for standard input, or use -e TEXT")
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error
    name = "<standard input>" if file == "-" else file
    try:
        return Source(name, data.decode())
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"{name} is no text: byte {error.start} is 0x{data[error.start]:02x}, "
            "which is not UTF-8"
        ) from error


def complete_stage(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Completes the last of some stages that commas separate."""
    import tilec  # loads the backends; only when someone presses tab

    before, comma, last = incomplete.rpartition(",")
    stages = dict.fromkeys(stage for info in tilec.targets() for stage in info.stages)
    return [before + comma + stage for stage in stages if stage.startswith(last)]


def method_option(command: _Command) -> _Command:
    """Adds ``--conv METHOD``."""
    return click.option(
        "--conv",
        type=click.Choice(CONVOLUTIONS),
        help=f"The method of convolutions.  [default: {Options().conv}]",
    )(command)


def _complete_target(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    import tilec

    return [info.name for info in tilec.targets() if info.name.startswith(incomplete)]
