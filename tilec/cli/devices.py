"""``tilec devices``."""

from __future__ import annotations

import dataclasses
import json

import click

import tilec
from tilec.cli.report import print_table
from tilec.program.targets import missing_devices


@click.command("devices")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the devices that kernels can run on, beside this processor.

    The first column is what --target and TILEC_TARGET take; a part of a name, as in
    'opencl:nvidia', is enough. A device that cannot be used is listed with the reason.
    """
    found = tilec.devices()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in found], indent=2))
        return
    if found:
        rows = [
            (info.target, info.name, info.kind, "yes" if info.usable else "no", info.can)
            for info in found
        ]
        print_table(("target", "device", "kind", "usable", "what it can do"), rows)
        return
    click.echo("no devices; kernels run on this processor (target llvm)")
    for error in missing_devices():
        click.echo(f"  {error.message}")
        if error.help is not None:
            click.echo(f"  help: {error.help}")
