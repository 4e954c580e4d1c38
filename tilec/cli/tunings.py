"""``tilec tunings``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tilec.cli.report import print_table
from tilec.errors import ArgumentError, CacheError
from tilec.runtime.tunings import Tunings, from_text, to_text, tunings


@click.group("tunings")
def command() -> None:
    """Look after what 'tilec tune' found.

    It lies beside the disk cache, in the folder that TILEC_CACHE names, and counts for the
    machine on which it was found. TILEC_TUNED=0 compiles without it.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as 'export' does.")
def show(as_json: bool) -> None:
    """Show what was found, for which kernels and machines."""
    found = _store().findings()
    if as_json:
        click.echo(to_text(found), nl=False)
        return
    rows = [
        (
            each.key[:12],
            f"{each.first_seconds / each.seconds:.2f} x",
            f"{each.seconds * 1e6:.1f} us",
            each.kernel.splitlines()[0],
            each.schedule,
        )
        for each in found
    ]
    print_table(("key", "gain", "time", "kernel", "schedule"), rows, right=(1, 2))


@command.command("export")
@click.argument("file", required=False, type=click.Path(dir_okay=False), metavar="[FILE]")
def export(file: str | None) -> None:
    """Write everything as text, to FILE or standard output."""
    text = to_text(_store().findings())
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{file} cannot be written: {error.strerror}") from error


@command.command("import")
@click.argument("file", type=click.Path(), metavar="FILE | -")
def merge(file: str) -> None:
    """Add what 'export' wrote. Of two findings for a kernel the faster stays."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        found = from_text(data.decode())
    except OSError as error:
        raise ArgumentError(f"{file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, CacheError) as error:
        reason = error.message if isinstance(error, CacheError) else "it is not UTF-8"
        raise ArgumentError(f"{file} holds no tunings: {reason}") from error
    added = _store().merge(found)
    click.echo(f"added {added} of {len(found)} findings")


@command.command("clear")
def clear() -> None:
    """Remove everything."""
    removed = _store().clear()
    click.echo(f"removed {removed} {'finding' if removed == 1 else 'findings'}")


def _store() -> Tunings:
    found = tunings()
    if found is None:
        raise ArgumentError(
            "there are no tunings, because TILEC_CACHE is off",
            help="set TILEC_CACHE to a folder",
        )
    return found
