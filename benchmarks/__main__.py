"""The command: ``python -m benchmarks run SET ...`` and ``python -m benchmarks list``.

Libraries read their number of threads when they are loaded, and NumPy comes with tilec: a set is
measured by a process that has begun with the numbers set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.peers import NAMES, set_threads
from tilec.cli.program import method_option
from tilec.options import read_environment
from tilec.target.cores import usable_cores

EXIT_WRONG = 1


@dataclass(frozen=True, slots=True)
class _How:
    """The options that every set of a run shares."""

    quick: bool
    everything: bool
    only: str | None
    threads: int
    names: str
    plaidml: str | None
    conv: str | None

    @property
    def peers(self) -> list[str]:
        return [name.strip() for name in self.names.split(",") if name.strip()]

    def options(self) -> list[str]:
        """What says the same on a command line."""
        found = ["--threads", str(self.threads), "--peers", self.names]
        found += ["--quick"] * self.quick + ["--all"] * self.everything
        found += ["--only", self.only] if self.only is not None else []
        found += ["--conv", self.conv] if self.conv is not None else []
        return found + (["--plaidml", self.plaidml] if self.plaidml is not None else [])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure tilec against this machine's limits and against other libraries."""


@main.command(name="list")
def show() -> None:
    """List the sets."""
    from benchmarks import report, sets

    report.print_sets([sets.load(name) for name in sets.names()])


@main.command()
@click.argument("names", metavar="SET...", nargs=-1, required=True)
@click.option("--quick", is_flag=True, help="Few rows and short samples: does everything work?")
@click.option("--all", "everything", is_flag=True, help="Rows that take long, too.")
@click.option("--only", metavar="PATTERN", help="Rows whose name has this in it, or fits it.")
@click.option("--threads", type=click.IntRange(1), help="Threads of each; default: all cores.")
@click.option("--peers", default=",".join(NAMES), help="Which peers, by name; '' is none.")
@click.option(
    "--plaidml", metavar="PYTHON", help="The interpreter of an environment that has PlaidML 0.7."
)
@method_option
@click.option("--json", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option(
    "--pictures", type=click.Path(file_okay=False, path_type=Path), help="Draw into this folder."
)
def run(
    names: tuple[str, ...],
    quick: bool,
    everything: bool,
    only: str | None,
    threads: int | None,
    peers: str,
    plaidml: str | None,
    conv: str | None,
    to: Path | None,
    pictures: Path | None,
) -> None:
    """Measure one or more SETs; "all" is every set.

    Each set has a process of its own. The exit code is 1 when a result is wrong.
    """
    wanted = _names(names)
    how = _How(quick, everything, only, threads or usable_cores(), peers, plaidml, conv)
    unknown = sorted(set(how.peers) - set(NAMES))
    if unknown:
        raise click.UsageError(f"no peer is called {unknown[0]!r}; there are {', '.join(NAMES)}")
    is_ready = set_threads(how.threads)
    alone = is_ready and len(wanted) == 1
    documents, code = _run_one(wanted[0], how) if alone else _run_each(wanted, how)
    if to is not None:
        text = json.dumps(documents[0] if len(documents) == 1 else documents, indent=1)
        to.write_text(text + "\n")
    if pictures is not None and documents:
        _draw(documents, pictures)
    sys.exit(code)


@main.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def summary(files: tuple[Path, ...]) -> None:
    """Print what JSON FILES of 'run' say, a line for each set, as a table in Markdown."""
    from benchmarks.summary import table

    click.echo(table(json.loads(path.read_text()) for path in files))


def _names(given: tuple[str, ...]) -> list[str]:
    from benchmarks import sets

    known = sets.names()
    wanted = known if given == ("all",) else list(given)
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"there is no set {name!r}; there are {', '.join(known)}")
    return wanted


def _run_one(name: str, how: _How) -> tuple[list[dict[str, Any]], int]:
    from benchmarks import report, sets
    from benchmarks.document import document
    from benchmarks.peers import find
    from benchmarks.session import Session
    from tilec.bench.measure import QUICK, Plan

    chosen = sets.load(name)
    cases, skipped = sets.choose(chosen, only=how.only, everything=how.everything, quick=how.quick)
    if not cases:
        raise click.UsageError(f"no row of {name} is left to measure")
    with closing(find(how.peers, how.threads, how.plaidml)) as found, report.progress() as tell:
        plan, options = QUICK if how.quick else Plan(), read_environment().options
        options = replace(options, conv=how.conv or options.conv)
        session = Session(plan, how.threads, found, how.quick, tell, options)
        result = session.run(chosen, cases, skipped)
    made = document(result, found, how.threads, quick=how.quick, conv=options.conv)
    report.print_document(made)
    return [made], EXIT_WRONG if report.wrong(made) else 0


def _run_each(names: list[str], how: _How) -> tuple[list[dict[str, Any]], int]:
    """Each set in a fresh process, so that none inherits the memory or the threads of another."""
    documents: list[dict[str, Any]] = []
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            file = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", "benchmarks", "run", name, *how.options()]
            finished = subprocess.run([*command, "--json", str(file)], check=False)
            code = code or finished.returncode
            if file.exists():
                documents.append(json.loads(file.read_text()))
            else:
                click.echo(f"{name}: not measured (exit code {finished.returncode})", err=True)
    return documents, code


def _draw(documents: list[dict[str, Any]], folder: Path) -> None:
    try:
        from benchmarks.pictures import draw
    except ImportError as error:
        click.echo(f"no pictures: {error}; pip install 'tilec[bench]'", err=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for made in documents:
        for path in draw(made, folder):
            click.echo(str(path))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
