"""How the command line writes: errors, lints, headings, tables; colours on terminals only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Final, cast

import click

import tilec
from tilec.errors import TilecError
from tilec.options import read_environment

_PATIENCE: Final = 1.0
"""Seconds of compiling from which on a bar is worth it."""


def coloured(stream: IO[str]) -> bool:
    """True when ``stream`` is a terminal and the user has not switched colours off."""
    return stream.isatty() and not no_color()


def no_color() -> bool:
    """True when the user wants no colours anywhere."""
    try:
        return read_environment().no_color
    except TilecError:  # reported by whoever needs the options
        return False


def print_error(error: TilecError) -> None:
    """Write an error and those raised with it to standard error."""
    colour = coloured(sys.stderr)
    for one in error.all():
        text = one.render()
        if one.span is None:
            text = f"error: {text}"
        click.echo(_paint(text) if colour else text, err=True, color=colour)


def print_lint(text: str) -> None:
    """Write a rendered lint to standard output."""
    colour = coloured(sys.stdout)
    click.echo(_paint(text) if colour else text, color=colour)


def note(text: str) -> None:
    """Write something about the work, which is not its result, to standard error."""
    click.echo(text, err=True)


def print_code(text: str, language: str | None) -> None:
    """Write program text, with its syntax in colours on a terminal.

    Args:
        text: The text.
        language: Name of a Pygments lexer, or None for plain text.
    """
    if language is None or not coloured(sys.stdout):
        click.echo(text.rstrip("\n"))
        return
    click.echo(_highlight(text, language).rstrip("\n"), color=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    err: bool = False,
) -> None:
    """Write a table whose columns are as wide as their contents.

    Args:
        columns: Heading of each column.
        rows: Text of each cell.
        right: Numbers of the columns that are set flush right.
        err: Write to standard error.
    """
    from rich.box import SIMPLE_HEAD  # slow to import, and few commands have a table
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stderr if err else sys.stdout
    colour = coloured(stream)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at in right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    width = None if stream.isatty() else 10_000  # a file has no width to fit into
    console = Console(
        file=stream, width=width, force_terminal=colour, no_color=not colour, highlight=False
    )
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), err=err, color=colour)


@contextmanager
def compile_bar() -> Generator[None, None, None]:
    """A bar on standard error once compiling has taken a while, if that is a terminal."""
    with ExitStack() as stack:
        begin = time.monotonic()
        show: Callable[[str, float, float], None] | None = None

        def told(step: str, done: int, total: int) -> None:
            nonlocal show
            if show is None and time.monotonic() - begin > _PATIENCE:
                show = stack.enter_context(progress_bar("compiling"))
            if show is not None:
                show(step, done, total)

        if sys.stderr.isatty():
            stack.enter_context(tilec.progress(told))
        yield


@contextmanager
def progress_bar(title: str) -> Generator[Callable[[str, float, float], None] | None, None, None]:
    """A bar on standard error, which is told what is done now, how much is done, and of how much.

    None where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # slow to import
    from rich.progress import Progress

    console = Console(file=sys.stderr, no_color=not coloured(sys.stderr))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(step: str, done: float, total: float) -> None:
            bar.update(task, description=step, completed=done, total=total)

        yield show


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Write names and values, one pair a line, the values below each other."""
    colour = coloured(sys.stdout)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        label = click.style(name.ljust(width), bold=True) if colour else name.ljust(width)
        click.echo(f"{label}  {value}".rstrip(), color=colour)


def size_text(count: int) -> str:
    """A number of bytes for people, e.g. ``1.5 MiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if size.is_integer() else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def _highlight(text: str, language: str) -> str:
    # Slow to import, and only for terminals. Pygments is typed in part.
    import pygments
    from pygments import formatters, lexers
    from pygments.util import ClassNotFound

    find = cast("Callable[[str], object]", lexers.get_lexer_by_name)  # pyright: ignore[reportUnknownMemberType]
    highlight = cast("Callable[..., str]", pygments.highlight)  # pyright: ignore[reportUnknownMemberType]
    try:
        lexer = find(language)
    except ClassNotFound:  # a checkout that is not installed registers no lexer
        return text
    return highlight(text, lexer, formatters.TerminalFormatter[str]())


def _paint(rendered: str) -> str:
    """Colours for a rendered message: position bold, carets red, help cyan."""
    lines = rendered.split("\n")
    painted = [click.style(lines[0], bold=True)]
    for line in lines[1:]:
        gutter, bar, rest = line.partition(" | ")
        if line.startswith("  help:"):
            painted.append(click.style(line, fg="cyan"))
        elif bar and rest.strip() and not rest.strip().strip("^"):
            painted.append(gutter + bar + click.style(rest, fg="red", bold=True))
        else:
            painted.append(line)
    return "\n".join(painted)
