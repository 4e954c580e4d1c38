"""One line for each set that was measured, as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.peers import NAMES
from benchmarks.session import TILEC

_HEADER: Final = ("set", "rows", "share of the limit", "times as fast as", "the best", "worst rows")
_WORST: Final = 2


def table(documents: Iterable[dict[str, Any]]) -> str:
    """The sets in the order given; all figures are geometric means over the rows of a set."""
    rows = [_HEADER, ("---",) * len(_HEADER), *map(_row, documents)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(made: dict[str, Any]) -> Sequence[str]:
    summary = made["summary"]
    peers = [name for name in NAMES if name in summary["ratio"]]
    how = "" if made["conv"] == "auto" else f" ({made['conv']})"
    shares = {name: summary["fraction"][name] for name in (TILEC, *peers)}
    best = summary["best_ratio"]
    return (
        made["set"] + how,
        str(len(made["rows"])),
        ", ".join(f"{name} {share:.2f}" for name, share in shares.items()),
        ", ".join(f"{name} {summary['ratio'][name]:.2f}" for name in peers),
        "" if best is None else f"{best:.2f}",
        ", ".join(f"{name} {ratio:.2f}" for name, ratio in summary["worst_ratios"][:_WORST]),
    )
