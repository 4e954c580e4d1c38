"""``tilec grad``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

import tilec
from tilec.cli.program import program_options, read_source
from tilec.program.gradients import TieRule

_MODES: Final = {
    "reverse": tilec.grad,
    "value": tilec.value_and_grad,
    "forward": tilec.jvp,
}


@click.command("grad")
@click.argument("file", required=False, type=click.Path(), metavar="[FILE | -]")
@program_options
@click.option(
    "--wrt",
    metavar="NAME[,NAME]",
    help="The inputs to differentiate for; by default all floats.",
)
@click.option(
    "--mode",
    type=click.Choice(list(_MODES)),
    default="reverse",
    show_default=True,
    help="Gradients from cotangents, value and gradients of a scalar, or tangents from tangents.",
)
@click.option(
    "--ties",
    type=click.Choice(["all", "share"]),
    default="all",
    show_default=True,
    help="What equal extremes of > and < receive: each the whole cotangent, or a share of it.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the text to a file.")
def command(
    file: str | None,
    expression: str | None,
    function_name: str | None,
    wrt: str | None,
    mode: str,
    ties: TieRule,
    output: Path | None,
) -> None:
    """Print the derivative of a Tile program, which is a Tile program again.

    \b
    Examples:
      tilec grad -e 'C[i, j : M, N] = +(A[i, k] * B[k, j])'
      tilec grad layer.tile --wrt W,B -o layer_grad.tile
      tilec grad loss.tile --mode value
    """
    function = tilec.function(read_source(file, expression), name=function_name)
    names = None if wrt is None else [name.strip() for name in wrt.split(",")]
    text = _MODES[mode](function, names, ties=ties).source
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", "utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}") from error
