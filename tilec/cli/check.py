"""``tilec check``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
import numpy as np

import tilec
from tilec.cli.program import read_source, size_options
from tilec.cli.report import print_error, print_lint
from tilec.cli.specs import ShapeOption, inputs_from_options, parse_numbers, parse_shapes
from tilec.errors import GradientError, TilecError, UserError
from tilec.program.function import functions
from tilec.program.sample import sample_arguments
from tilec.program.shrink import fill
from tilec.runtime.spec import Number, Spec
from tilec.source import Source, Span

if TYPE_CHECKING:
    from tilec.lang.finding import Lint


@click.command("check")
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE | -]...")
@click.option("-e", "--expression", metavar="TEXT", help="The program itself, instead of a file.")
@size_options
@click.option(
    "--function",
    "function_name",
    metavar="NAME",
    help="Look at this function only; with sizes, by default the last.",
)
@click.option(
    "--grad",
    "with_grad",
    is_flag=True,
    help="Hold the gradient against finite differences in float64, on small arrays.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    files: tuple[str, ...],
    expression: str | None,
    shapes: tuple[str, ...],
    numbers: tuple[str, ...],
    function_name: str | None,
    with_grad: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Report errors and suspicious spots of Tile programs.

    Errors go to standard error and make the exit status 1. Warnings go to standard output:
    they are about programs that are legal and probably not what was meant, such as an
    index that nothing bounds, or output elements that nothing writes.

    \b
    Examples:
      tilec check *.tile
      tilec check --grad layer.tile
      tilec check -e 'function (A[N]) -> (O) { O[i : N - 1] = >(A[i + j]); }' --shape A=10
    """
    if expression is not None and files:
        raise click.UsageError(f"the program is given twice: -e and {files[0]}")
    sizes, values = parse_shapes(shapes), parse_numbers(numbers)
    errors: list[TilecError] = []
    lints: list[Lint] = []
    for file in files or (None,):
        source = read_source(file, expression)
        try:
            lints += _lints(source, function_name, sizes, values)
            if with_grad:
                _check_gradient(source, function_name, sizes, values)
        except UserError as error:
            if error.span is None:
                raise  # about the command line, not about the program
            errors += error.all()
            if not as_json:
                print_error(error)
    if as_json:
        click.echo(json.dumps([*map(_error_facts, errors), *map(_lint_facts, lints)], indent=2))
    else:
        for lint in lints:
            print_lint(lint.render())
    return 1 if errors or (strict and lints) else 0


def _lints(
    source: Source,
    name: str | None,
    sizes: Mapping[str, ShapeOption],
    values: Mapping[str, Number],
) -> Sequence[Lint]:
    if sizes or values:
        function = tilec.function(source, name=name)
        return function.check(*inputs_from_options(function, sizes, values))
    wanted = functions(source) if name is None else (tilec.function(source, name=name),)
    found = [lint for function in wanted for lint in function.check()]
    return list(dict.fromkeys(found))  # a function that others call is looked at once more


def _check_gradient(
    source: Source,
    name: str | None,
    sizes: Mapping[str, ShapeOption],
    values: Mapping[str, Number],
) -> None:
    function = tilec.function(source, name=name)
    if sizes or values:
        random = np.random.default_rng(0)
        given = inputs_from_options(function, sizes, values)
        arrays = [fill(each, random) if isinstance(each, Spec) else each for each in given]
    else:
        arrays = sample_arguments(function)
        if arrays is None:
            raise GradientError(
                "no small sizes were found that suit the program",
                help="give sizes with --shape",
            )
    try:
        tilec.check_grad(function, *arrays)
    except GradientError as error:
        if error.span is None:
            error.span = Span(source, 0, len(source.text.splitlines()[0]))
        raise


def _error_facts(error: TilecError) -> dict[str, object]:
    kind = type(error).__name__
    return _facts("error", kind, error.message, error.span, error.help)


def _lint_facts(lint: Lint) -> dict[str, object]:
    return _facts("warning", lint.id, lint.message, lint.span, lint.help)


def _facts(
    severity: str, kind: str, message: str, span: Span | None, help: str | None
) -> dict[str, object]:
    place = (
        {}
        if span is None
        else {
            "file": span.source.name,
            "line": span.line,
            "column": span.column,
            "length": span.end - span.start,
        }
    )
    return {"severity": severity, "kind": kind, **place, "message": message, "help": help}
