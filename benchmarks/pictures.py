"""Pictures of a run: a roofline plot, and bars for each row beside the limit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from benchmarks.peers import NAMES
from benchmarks.plot import figure, save
from benchmarks.session import TILEC

_COLOURS: Final = {
    TILEC: "#d1495b",
    "numpy": "#8d99ae",
    "torch": "#e8a33d",
    "torch-compile": "#b5723b",
    "jax": "#3d7ea6",
}
_MARKS: Final = {TILEC: "o", "numpy": "s", "torch": "^", "torch-compile": "v", "jax": "D"}
_ROOF: Final = "#444444"
_BAR_ROWS: Final = 30


def draw(made: dict[str, Any], folder: Path) -> list[Path]:
    """Draw both pictures of a document; where they are."""
    paths = [folder / f"{made['set']}-roofline.png"]
    _roofline(made, paths[0])
    rows = made["rows"]
    pages = max(1, -(-len(rows) // _BAR_ROWS))
    length = -(-len(rows) // pages)
    for page in range(pages):
        number = f"-{page + 1}" if pages > 1 else ""
        paths.append(folder / f"{made['set']}-bars{number}.png")
        _bars(made, rows[page * length : (page + 1) * length], paths[-1])
    return paths


def _contenders(rows: list[dict[str, Any]]) -> list[str]:
    names = (TILEC, *NAMES)
    return [name for name in names if any(name in row["contenders"] for row in rows)]


def _roofline(made: dict[str, Any], path: Path) -> None:
    """Speed over operations per compulsory byte, under the roofs that were measured."""
    rows = made["rows"]
    peak = made["limits"]["flops"]["best"] / 1e9
    made_figure, axes = figure(9, 6)
    speeds = [each["gflops"] for row in rows for each in row["contenders"].values()]
    levels = made["limits"]["levels"]
    # A point stands below the roof of its own level; levels that hold no row are left out.
    used = {level["name"] for level in levels if _holds(level, levels, rows)}
    shown = [level for level in levels if level["name"] in used]
    intensities = [row["intensity"] for row in rows]
    ridges = [peak * 1e9 / level["read"]["best"] for level in shown]
    left = min([*intensities, *ridges]) / 2
    right = max([*intensities, *ridges]) * 2
    for level in shown:
        rate = level["read"]["best"] / 1e9
        ridge = peak / rate
        axes.plot([left, ridge], [left * rate, peak], color=_ROOF, linewidth=1, zorder=1)
    first = min(ridges, default=left)
    axes.plot([first, right], [peak, peak], color=_ROOF, linewidth=1.5, zorder=1)
    axes.annotate(
        f"{peak:.0f} GFLOP/s", (right, peak), xytext=(-4, 4), textcoords="offset points",
        ha="right", color=_ROOF, fontsize=9,
    )  # fmt: skip
    for name in reversed(_contenders(rows)):
        points = [
            (row["intensity"], row["contenders"][name]["gflops"])
            for row in rows
            if name in row["contenders"]
        ]
        own = name == TILEC
        axes.scatter(
            [x for x, _ in points], [y for _, y in points], label=name, marker=_MARKS[name],
            s=46 if own else 22, color=_COLOURS[name], alpha=0.95 if own else 0.6,
            edgecolors="white", linewidths=0.6, zorder=3 if own else 2,
        )  # fmt: skip
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(left, right),
        ylim=(min(speeds, default=1) / 1.6, max([peak, *speeds]) * 1.6),
        xlabel="operations per compulsory byte",
        ylabel="GFLOP/s",
    )
    _name_slopes(made_figure, axes, shown, left)
    axes.grid(which="major", color="#e4e4e4", linewidth=0.6, zorder=0)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9, loc="lower right")
    _title(made, made_figure, axes)
    save(made_figure, str(path))


def _name_slopes(made_figure: Any, axes: Any, levels: list[dict[str, Any]], left: float) -> None:
    """Write the bandwidths along their roofs; the angle follows from the scales."""
    made_figure.canvas.draw()  # only now the layout is known
    box = axes.get_window_extent()
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    angle = math.degrees(
        math.atan2(box.height / math.log10(y1 / y0), box.width / math.log10(x1 / x0))
    )
    for level in levels:
        rate = level["read"]["best"] / 1e9
        axes.annotate(
            f"{level['name']} {rate:.0f} GB/s", (left, left * rate), xytext=(8, 8),
            textcoords="offset points", color=_ROOF, fontsize=8, rotation=angle,
            rotation_mode="anchor",
        )  # fmt: skip


def _holds(level: dict[str, Any], levels: list[dict[str, Any]], rows: list[dict[str, Any]]) -> bool:
    """True when the traffic of some row goes to this level."""
    return any(
        next(
            (each for each in levels if each["capacity"] and row["bytes"] <= each["capacity"]),
            levels[-1],
        )
        is level
        for row in rows
    )


def _bars(made: dict[str, Any], rows: list[dict[str, Any]], path: Path) -> None:
    """For each row, the share of the limit that each contender reaches."""
    names = _contenders(rows)
    thickness = 0.82 / len(names)
    made_figure, axes = figure(10, 1.4 + len(rows) * (0.11 + 0.12 * len(names)))
    for at, name in enumerate(names):
        places: list[float] = []
        shares: list[float] = []
        errors: tuple[list[float], list[float]] = ([], [])
        for number, row in enumerate(rows):
            each = row["contenders"].get(name)
            if each is None:
                continue
            share = float(each["fraction"])
            places.append(number + (at - (len(names) - 1) / 2) * thickness)
            shares.append(share)
            errors[0].append(share - share * each["median"] / each["high"])
            errors[1].append(share * each["median"] / each["low"] - share)
        bars = axes.barh(
            places, shares, thickness * 0.9, label=name, color=_COLOURS[name],
            xerr=errors, error_kw={"elinewidth": 0.7, "ecolor": "#555555"},
        )  # fmt: skip
        if name == TILEC:
            axes.bar_label(
                bars, [f"{each:.0%}" for each in shares], padding=6, fontsize=7, color="#333333"
            )
    axes.axvline(1, color=_ROOF, linewidth=1.2)
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    reached = [each["fraction"] for row in rows for each in row["contenders"].values()]
    axes.set_xlim(0, max(1.08, *(1.1 * share for share in reached)))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("of the limit that binds each row; lines show the 10 % and 90 % quantiles")
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    made_figure.legend(
        *axes.get_legend_handles_labels(), frameon=False, fontsize=9, ncols=len(names),
        loc="outside lower center",
    )  # fmt: skip
    _title(made, made_figure, axes)
    save(made_figure, str(path))


def _row_label(row: dict[str, Any]) -> str:
    return f"{row['name']}  ({row['roof']})"


def _title(made: dict[str, Any], made_figure: Any, axes: Any) -> None:
    machine = made["machine"]
    quick = "; --quick: these figures mean nothing" if made["quick"] else ""
    made_figure.suptitle(made["title"], x=0.01, ha="left", fontsize=12, fontweight="bold")
    about = (
        f"{machine['model']}, {made['threads']} threads, f32, medians, {made['made'][:10]}" + quick
    )
    axes.set_title(about, loc="left", fontsize=8.5, color="#555555")
