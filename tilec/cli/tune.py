"""``tilec tune``."""

from __future__ import annotations

import json
from dataclasses import replace

import click

import tilec
from tilec.cli.program import program_options, read_source, size_options, target_option
from tilec.cli.report import note, progress_bar
from tilec.cli.specs import inputs_from_options, parse_numbers, parse_shapes
from tilec.options import read_environment
from tilec.version import __version__


@click.command("tune")
@click.argument("file", required=False, type=click.Path(), metavar="[FILE | -]")
@program_options
@size_options
@target_option
@click.option(
    "--budget",
    default="60s",
    show_default=True,
    metavar="TIME",
    help="Time for all kernels together: 90, 60s, 5m or 1h.",
)
@click.option("--seed", default=0, show_default=True, help="Of the numbers that kernels run on.")
@click.option("--no-keep", is_flag=True, help="Keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    file: str | None,
    expression: str | None,
    function_name: str | None,
    shapes: tuple[str, ...],
    numbers: tuple[str, ...],
    target: str | None,
    budget: str,
    seed: int,
    no_keep: bool,
    as_json: bool,
) -> None:
    """Look for faster schedules by running them on this machine.

    Starts from what the cost model chose, tries what the model ranked next and what lies near
    the best, in a child process, and keeps what is faster beyond doubt for later compilations
    on this machine. Let nothing else run meanwhile. An interrupt (Ctrl-C) keeps what was found
    until then.

    \b
    Examples:
      tilec tune matmul.tile --shape A=512x512 --shape B=512x512
      tilec tune matmul.tile --shape A=512x512 --shape B=512x512 --budget 5m
    """
    function = tilec.function(read_source(file, expression), name=function_name)
    inputs = inputs_from_options(function, parse_shapes(shapes), parse_numbers(numbers))
    options = read_environment().options
    options = replace(options, target=target or options.target)
    with progress_bar("tuning") as show:

        def tell(kernel: str, tried: int, share: float, used: float) -> None:
            if show is not None:
                show(f"{kernel}: {tried} tried, {1 / share:.2f} x as fast", used, 1.0)

        try:
            found = tilec.tune(
                function,
                *inputs,
                budget=budget,
                seed=seed,
                options=options,
                keep=not no_keep,
                progress=tell,
            )
        except KeyboardInterrupt:
            note("interrupted; see 'tilec tunings list' for what was found until then")
            raise
    if as_json:
        click.echo(json.dumps({"version": __version__, **found.as_json()}, indent=2))
        return
    click.echo(str(found))
    if not no_keep and found.kernels and not found.kept:
        note("not kept: see 'tilec tunings list'")
