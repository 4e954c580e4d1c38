"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.peers import NAMES
from benchmarks.session import TILEC, WRONG
from benchmarks.sets import Set
from tilec.cli.report import no_color

_WIDTH = 100


@contextmanager
def progress() -> Generator[Callable[[str], None]]:
    """Gives a function that shows what is being done, on a terminal only."""
    console = Console(stderr=True, no_color=no_color())
    if not console.is_terminal:
        yield lambda line: None
        return
    with console.status("") as status:
        # A spinner that turns would use the core that is being measured.
        status.stop()
        yield lambda line: console.print(line, style="dim", end="\r", soft_wrap=True)


def print_sets(sets: Sequence[Set], console: Console | None = None) -> None:
    """One line for each set."""
    table = Table(box=None, pad_edge=False)
    for heading in ("set", "kind", "rows", ""):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    for each in sets:
        table.add_row(each.name, each.kind, str(len(each.rows)), each.title)
    (console or _console()).print(table)


def print_document(made: dict[str, Any], console: Console | None = None) -> None:
    """Everything that a run of one set found."""
    out = console or _console()
    out.print(Text(f"{made['title']}", style="bold"))
    out.print(Text(f"{made['source']}", style="dim"))
    for note in made["notes"]:
        out.print(Text(note, style="dim"))
    out.print(_limits(made))
    out.print(_table(made))
    _print_faults(made, out)
    for line in _summary(made):
        out.print(line, highlight=False)
    if made["conv"] != "auto":
        out.print(f"tilec's convolutions: {made['conv']}")
    if made["quick"]:
        out.print("--quick: these figures only show that everything works", style="yellow")


def wrong(made: dict[str, Any]) -> list[str]:
    """Rows on which tilec failed or computed something else."""
    faulty: list[str] = []
    for row in made["rows"]:
        own = row["contenders"].get(TILEC)
        if own is None or not own["error"] <= WRONG:
            faulty.append(row["name"])
    return faulty


def _table(made: dict[str, Any]) -> Table:
    present = [name for name in NAMES if any(name in row["contenders"] for row in made["rows"])]
    table = Table(box=None, pad_edge=False, header_style="bold", row_styles=("", "dim"))
    table.add_column("row", no_wrap=True)
    for heading in ("time", "±", "GFLOP/s", "GB/s", "limit", "of"):
        table.add_column(heading, justify="left" if heading == "of" else "right", no_wrap=True)
    turned = any(row.get("turning_seconds") for row in made["rows"])
    if turned:
        table.add_column("turning", justify="right", no_wrap=True)
    for name in present:
        table.add_column(f"vs {name}", justify="right", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    for row in made["rows"]:
        own = row["contenders"].get(TILEC)
        if own is None:
            table.add_row(row["name"], Text("failed", style="bold red"))
            continue
        cells: list[str | Text] = [
            row["name"],
            seconds(own["median"]),
            f"{(own['high'] - own['low']) / own['median'] / 2:.0%}",
            f"{own['gflops']:.1f}",
            f"{own['gbytes']:.1f}",
            f"{own['fraction']:.0%}",
            row["roof"],
        ]
        if turned:
            turning = row.get("turning_seconds")
            cells.append(f"{turning / own['median']:.0%}" if turning else Text("-", style="dim"))
        cells += [_ratio(row["contenders"].get(name)) for name in present]
        style = "bold red" if not own["error"] <= WRONG else ""
        cells.append(Text(f"{own['error']:.0e}", style=style))
        table.add_row(*cells)
    return table


def _ratio(contender: dict[str, Any] | None) -> Text:
    """How many times faster tilec is than a peer."""
    if contender is None:
        return Text("-", style="dim")
    ratio = contender["ratio"]
    return Text(f"{ratio:.2f}", style="green" if ratio >= 1 else "red")


def _limits(made: dict[str, Any]) -> str:
    limits = made["limits"]
    levels = ", ".join(
        f"{each['name']} {each['read']['best'] / 1e9:.0f}" for each in limits["levels"]
    )
    return (
        f"Limits on {made['threads']} threads: {limits['flops']['best'] / 1e9:.0f} GFLOP/s "
        f"({limits['vector_bits']}-bit FMA); reading, GB/s: {levels}"
    )


def _print_faults(made: dict[str, Any], out: Console) -> None:
    for name, reason in made["absent"].items():
        out.print(Text(f"{name} is absent: {reason}", style="yellow"))
    for row in made["rows"]:
        for name, reason in row["failures"].items():
            out.print(Text(f"{row['name']}: {name} failed: {reason}", style="red"))
        for name, each in row["contenders"].items():
            if not each["error"] <= WRONG:
                text = f"{row['name']}: {name} is wrong, relative error {each['error']:.1e}"
                out.print(Text(text, style="bold red"))
    if made["skipped"]:
        count = len(made["skipped"])
        reasons = sorted({why.rpartition("; ")[2] for why in made["skipped"].values()})
        out.print(Text(f"{count} rows not measured: {', '.join(reasons)}", style="dim"))


def _summary(made: dict[str, Any]) -> list[str]:
    found = made["summary"]
    lines: list[str] = []
    shares = [f"{name} {value:.0%}" for name, value in found["fraction"].items() if value]
    lines.append(f"Fraction of the limit, geometric means: {', '.join(shares)}")
    if found["best_ratio"] is not None:
        ratios = [f"{name} {value:.2f}" for name, value in found["ratio"].items() if value]
        lines.append(
            f"tilec is faster by, geometric means: {', '.join(ratios)}; "
            f"the best peer of each row {found['best_ratio']:.2f}"
        )
        worst = [f"{name} {value:.2f}" for name, value in found["worst_ratios"]]
        lines.append(f"Worst against the best peer: {', '.join(worst)}")
    worst = [f"{name} {value:.0%}" for name, value in found["worst_fractions"]]
    lines.append(f"Farthest from the limit: {', '.join(worst)}")
    if found["compile_median"] is not None:
        lines.append(
            f"Compilation, cold: median {seconds(found['compile_median'])}, worst "
            f"{seconds(found['compile_worst'])}; largest workspace "
            f"{found['workspace_worst'] / 2**20:.1f} MiB"
        )
    return lines


def seconds(value: float) -> str:
    """A time in a unit that suits it."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if value * factor < 1000:
            return f"{value * factor:.3g} {unit}"
    return f"{value:.3g} s"


def _console() -> Console:
    console = Console(no_color=no_color())
    # Tables are not folded to fit a file.
    return console if console.is_terminal else Console(width=160, no_color=True)
