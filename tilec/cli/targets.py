"""``tilec targets``."""

from __future__ import annotations

import dataclasses
import json

import click

import tilec
from tilec.cli.calibrate import COLUMNS, RIGHT, rows
from tilec.cli.report import print_facts, print_table, size_text
from tilec.runtime.calibrations import stored
from tilec.target.core import Core, described
from tilec.target.host import Cache, Host, host
from tilec.version import __version__

_WIDEST = 80


@click.command("targets")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the targets and describe this machine.

    The last part is what 'tilec calibrate' measured here, if it did.

    A target that cannot be used is listed with the reason. TILEC_TARGET says which one is
    used when a command or a call names none.
    """
    found, machine = tilec.targets(), host()
    core, measured = described(machine), stored()
    if as_json:
        facts = {
            "version": __version__,
            "targets": [dataclasses.asdict(info) for info in found],
            "host": dataclasses.asdict(machine),
            "description": dataclasses.asdict(core),
            "calibration": None if measured is None else measured.as_json(),
        }
        click.echo(json.dumps(facts, indent=2))
        return
    listed = [
        (info.name, "yes" if info.available else "no", ", ".join(info.stages), _brief(info.details))
        for info in found
    ]
    print_table(("target", "usable", "stages", "details"), listed)
    click.echo()
    print_facts([*_host_facts(machine), *_core_facts(core)])
    click.echo()
    if measured is None:
        click.echo("not calibrated: 'tilec calibrate' measures what this machine reaches")
    else:
        print_table(COLUMNS, rows(measured), right=RIGHT)


def _brief(details: str) -> str:
    """The first of some facts that commas separate; --json has all of them."""
    if len(details) <= _WIDEST:
        return details
    return details[:_WIDEST].rpartition(",")[0] + ", ..."


def _host_facts(machine: Host) -> list[tuple[str, str]]:
    vectors = f"{machine.vector_bits} bits" if machine.vector_bits else "none"
    return [
        ("processor", f"{machine.model or machine.architecture} ({machine.cpu})"),
        ("system", f"{machine.system}, {machine.architecture}"),
        ("cores", _cores(machine)),
        ("vectors", vectors),
        ("caches", ", ".join(map(_cache, machine.caches)) or "the system does not say"),
        ("features", " ".join(machine.features) or "LLVM does not say"),
    ]


def _core_facts(core: Core) -> list[tuple[str, str]]:
    flops = f"{core.peak_flops(4) / 1e9:.0f} GFLOP/s in f32"
    vectors = f"{core.registers} registers of {core.vector_bytes} bytes"
    rates = f"{core.fma_per_cycle:g} FMAs and {core.loads_per_cycle:g} loads per cycle"
    memory = f"{core.memory_gigabytes:g} GB/s from memory"
    return [("description", f"{core.name}: {vectors}, {rates}, {flops}, {memory}")]


def _cores(machine: Host) -> str:
    if machine.cores == machine.allowed_cores:
        return str(machine.cores)
    return f"{machine.cores} by quota, {machine.allowed_cores} by affinity"


def _cache(cache: Cache) -> str:
    shared = f" shared by {cache.cores} cores" if cache.cores > 1 else ""
    return f"L{cache.level} {size_text(cache.bytes)}{shared}"
