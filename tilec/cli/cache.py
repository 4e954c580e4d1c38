"""``tilec cache``."""

from __future__ import annotations

import json

import click

from tilec.cli.report import print_facts, size_text
from tilec.runtime import cache


@click.group("cache")
def command() -> None:
    """Look after the disk cache of compiled kernels.

    \b
    Where it is and how large it may grow is said by environment variables:
      TILEC_CACHE         a folder, or "off"
      TILEC_CACHE_BYTES   the bound; the entries unused for longest go first
    """


@command.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Show where the cache is and what it holds."""
    found = cache.info()
    if as_json:
        facts = {
            "folder": None if found.folder is None else str(found.folder),
            "entries": found.entries,
            "bytes": found.bytes,
            "limit_bytes": found.limit_bytes,
            "problem": found.problem,
        }
        click.echo(json.dumps(facts, indent=2))
        return
    rows = [
        ("folder", "switched off" if found.folder is None else str(found.folder)),
        ("entries", str(found.entries)),
        ("size", f"{size_text(found.bytes)} of at most {size_text(found.limit_bytes)}"),
    ]
    if found.problem is not None:
        rows.append(("problem", found.problem))
    print_facts(rows)


@command.command("clear")
def clear() -> None:
    """Remove all entries."""
    removed = cache.clear()
    click.echo(f"removed {_entries(removed)}")


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(as_json: bool) -> None:
    """Read every entry and remove what is damaged.

    Damage does no harm: a damaged entry is compiled anew when it is needed.
    """
    report = cache.verify()
    if as_json:
        facts = {
            "checked": report.checked,
            "damaged": [{"entry": name, "reason": why} for name, why in report.damaged],
            "abandoned": report.abandoned,
        }
        click.echo(json.dumps(facts, indent=2))
        return
    for name, why in report.damaged:
        click.echo(f"removed {name}: {why}")
    if report.abandoned:
        click.echo(f"removed {report.abandoned} files that killed processes had left")
    click.echo(f"checked {_entries(report.checked)}, {len(report.damaged)} damaged")


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"
