"""``tilec explain``."""

from __future__ import annotations

import json
from dataclasses import replace

import click

import tilec
from tilec.cli.program import (
    method_option,
    program_options,
    read_source,
    size_options,
    target_option,
)
from tilec.cli.specs import inputs_from_options, parse_numbers, parse_shapes
from tilec.options import read_environment
from tilec.version import __version__


@click.command("explain")
@click.argument("file", required=False, type=click.Path(), metavar="[FILE | -]")
@program_options
@size_options
@target_option
@method_option
@click.option("--cpu", metavar="NAME", help="LLVM's name of another CPU; nothing runs then.")
@click.option("--schedule", metavar="TEXT", help="A schedule instead of the chosen one.")
@click.option(
    "--what-if",
    metavar="LOOP=SIZE[,LOOP=SIZE]",
    help="Another size of the register tile, e.g. i=6,j=64.",
)
@click.option("--no-run", is_flag=True, help="Measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    file: str | None,
    expression: str | None,
    function_name: str | None,
    shapes: tuple[str, ...],
    numbers: tuple[str, ...],
    target: str | None,
    conv: str | None,
    cpu: str | None,
    schedule: str | None,
    what_if: str | None,
    no_run: bool,
    as_json: bool,
) -> None:
    """Say why each kernel of a program takes the time it takes.

    The chosen schedule and the best of those that lost, the predicted and the measured time,
    the roof that binds, and the share of the machine's speed of light that was reached. The
    limits are those that 'tilec calibrate' measured, else those of the processor's description.

    \b
    Examples:
      tilec explain matmul.tile --shape A=512x512 --shape B=512x512
      tilec explain matmul.tile --shape A=512x512 --shape B=512x512 --what-if i=6,j=64
    """
    function = tilec.function(read_source(file, expression), name=function_name)
    inputs = inputs_from_options(function, parse_shapes(shapes), parse_numbers(numbers))
    options = read_environment().options
    options = replace(options, target=target or options.target, conv=conv or options.conv, cpu=cpu)
    executable = function.compile(*inputs, options=options, schedule=schedule)
    found = executable.explain(measure=not no_run)
    other = None if what_if is None else executable.explain(what_if=what_if, measure=not no_run)
    if as_json:
        facts = {"version": __version__, **found.as_json()}
        if other is not None:
            facts["what_if"] = other.as_json()["kernels"]
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(str(found))
    if other is not None:
        click.echo(f"\nwhat if {what_if}:")
        for kernel in other.kernels:
            click.echo(str(kernel))
