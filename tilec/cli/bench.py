"""``tilec bench``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from tilec.bench.engines import ENGINES, INSTALL, NAMES, Engine
from tilec.bench.measure import Plan
from tilec.bench.race import Race, race
from tilec.bench.report import COLUMNS, RIGHT, as_json, rows
from tilec.bench.subject import Subject, file, network
from tilec.cli.report import note, print_table, progress_bar
from tilec.errors import ArgumentError
from tilec.networks import NETWORKS, OPERATIONS
from tilec.options import read_environment
from tilec.target.cores import usable_cores

_SHORT: Final = ("f16", "bf16")
_DTYPES: Final = (*_SHORT, "f32", "f64")


@click.command("bench")
@click.argument("kind", type=click.Choice(["onnx", "ops"]))
@click.argument("names", nargs=-1, metavar="[NAME | FILE]...")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write result.json there.",
)
@click.option("--batch", type=click.IntRange(min=1), help="Examples at once.")
@click.option(
    "--train/--inference", default=False, show_default="inference", help="What to measure."
)
@click.option(
    "--dtype", type=click.Choice(_DTYPES), help="Of weights and pictures; f32 if left out."
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(NAMES),
    help="Only this one; can be given several times.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Turns of each backend; in a turn it runs once or more often.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each backend.")
@click.option("--json", "print_json", is_flag=True, help="Print JSON.")
def command(
    kind: str,
    names: tuple[str, ...],
    results: Path | None,
    batch: int | None,
    train: bool,
    dtype: str | None,
    backends: tuple[str, ...],
    runs: int,
    threads: int | None,
    print_json: bool,
) -> int:
    """Time networks in tilec and in other engines, and compare their results.

    \b
    'onnx' takes names of networks and ONNX files; the networks are made with random
    weights, and nothing is downloaded:
      alexnet vgg16 vgg19 googlenet inception_v3 resnet50 resnet152 densenet121
      mobilenet_v1 mobilenet_v2 squeezenet1_0 squeezenet1_1 shufflenet xception nin
      lstm transformer
    'ops' takes names of single operations, or measures all of them:
      conv7x7 conv3x3_56 conv3x3_14 conv1x1_56 conv1x1_14 depthwise_56 depthwise_14
      dense_1024 dense_1 max_pool softmax layer_norm gelu tanh transpose

    All backends run in turns in one process, and what is reported are medians. ONNX
    Runtime says what is right; without it small models are computed by definition.

    \b
    Examples:
      tilec bench onnx resnet50
      tilec bench --results DIR onnx mobilenet_v1 model.onnx --batch 8
      tilec bench ops conv3x3_56 --backend tilec --backend onnxruntime

    Exit status: 1 if tilec fails, or computes something else than what is right.
    """
    if train and dtype in _SHORT:
        raise click.UsageError(f"--train is for f32 and f64: in {dtype} gradients vanish")
    chosen = [each for each in ENGINES if not backends or each.name in backends]
    count = threads or read_environment().num_threads or usable_cores()
    plan = Plan(rounds=runs, turn=0.1, slow=1.0, slow_rounds=min(3, runs))
    wanted = _wanted(kind, names)
    races: list[Race] = []
    with progress_bar("bench") as show:
        for number, name in enumerate(wanted):
            if show is not None:
                show(name, number, len(wanted))
            subject = _subject(kind, name, batch, dtype)
            races.append(race(subject.in_training() if train else subject, chosen, count, plan))
    facts = json.dumps(as_json(races, chosen, count), indent=2)
    if results is not None:
        _write(results, facts)
    if print_json:
        click.echo(facts)
    else:
        print_table(COLUMNS, rows(races), right=RIGHT)
    _explain(races, chosen)
    return int(any(each.failed() for each in races))


def _wanted(kind: str, names: Sequence[str]) -> Sequence[str]:
    if kind == "ops":
        unknown = [name for name in names if name not in OPERATIONS]
        if unknown:
            raise click.UsageError(
                f"there is no operation {unknown[0]!r}; there are {', '.join(OPERATIONS)}"
            )
        return names or tuple(OPERATIONS)
    if not names:
        raise click.UsageError(f"no network: name a file, or one of {', '.join(NETWORKS)}")
    for name in names:
        if name not in NETWORKS and not Path(name).is_file():
            raise click.UsageError(
                f"{name!r} is no file and no network; the networks are {', '.join(NETWORKS)}"
            )
    return names


def _subject(kind: str, name: str, batch: int | None, dtype: str | None) -> Subject:
    if kind == "ops" or name in NETWORKS:
        return network(name, batch, dtype or "f32")
    if dtype is not None:
        raise click.UsageError(f"--dtype is for networks that are made here; {name} has its own")
    return file(name, batch)


def _write(folder: Path, facts: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(facts + "\n", encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"cannot write to {folder}: {error.strerror}") from error
    note(f"wrote {folder / 'result.json'}")


def _explain(races: Sequence[Race], engines: Sequence[Engine]) -> None:
    """Say what is missing from the table."""
    training = any(each.subject.training for each in races)
    left_out = [*filter(None, (each.missing(training) for each in engines))]
    for line in left_out:
        note(line)
    for each in races:
        for lap in each.laps:
            if lap.failure is not None and lap.failure not in left_out:
                note(f"{each.subject.name}: {lap.engine} failed: {lap.failure}")
        if each.golden is None:
            note(f"{each.subject.name}: nothing to compare with; {INSTALL} brings the others")
