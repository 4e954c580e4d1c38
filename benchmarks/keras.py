"""Times Keras on tilec beside Keras on other backends, and beside tilec's own way to run networks.

    python -m benchmarks.keras                                 # all rows, on tilec, torch and jax
    python -m benchmarks.keras mobilenet_v1 --backends tilec,onnx
    python -m benchmarks.keras --json keras.json

Each backend runs in a process of its own, which prepares its model and then waits for its turns.
The backends take turns: one call that is not counted, since caches are full of somebody else's
data, then some that are. ``onnx`` is the same network as an ONNX model, run by tilec.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np

PAUSE = 0.05
"""Seconds before a turn: threads of the backend before may still look for work for some time."""

NETWORKS: Final = {"resnet50": "ResNet50", "vgg19": "VGG19", "mobilenet_v1": "MobileNet"}
"""Networks of ``keras.applications`` whose predictions for one image are timed."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """One backend in one row.

    Attributes:
        row: What was timed: one call of ``predict``, or one epoch of ``fit``.
        backend: Of Keras, or ``onnx``.
        milliseconds: Medians of turns.
        first: Seconds of the first call in the process, in which programs are made.
    """

    row: str
    backend: str
    milliseconds: tuple[float, ...]
    first: float

    @property
    def median(self) -> float:
        """The median over all turns."""
        return statistics.median(self.milliseconds)


def predicting(name: str, backend: str) -> Run:
    """One call of ``predict`` for one image."""
    image = np.random.default_rng(0).standard_normal((1, 224, 224, 3)).astype(np.float32)
    if backend == "onnx":
        networks, onnx = import_module("tilec.networks"), import_module("tilec.onnx")
        run: Any = onnx.load(networks.build(name, 1).SerializeToString())
        first = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        return lambda: run(first)
    model: Any = getattr(import_module("keras.applications"), NETWORKS[name])(weights=None)
    return lambda: model.predict(image, verbose=0)


def digits() -> Run:
    """An epoch of a convolutional network on 1440 images of 8 x 8."""
    keras: Any = import_module("keras")
    layers, rng = keras.layers, np.random.default_rng(0)
    images = rng.random((1440, 8, 8, 1), np.float32)
    labels = rng.integers(0, 10, 1440)
    model: Any = keras.Sequential(
        [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return lambda: model.fit(images, labels, batch_size=48, verbose=0)


def reviews() -> Run:
    """An epoch of an LSTM on 512 texts of 80 words out of 20000, as in Keras's imdb example."""
    keras: Any = import_module("keras")
    layers, rng = keras.layers, np.random.default_rng(0)
    words, labels = rng.integers(0, 20000, (512, 80)), rng.integers(0, 2, 512)
    model: Any = keras.Sequential(
        [layers.Embedding(20000, 128), layers.LSTM(128), layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return lambda: model.fit(words, labels, batch_size=32, verbose=0)


FITS: Final[Mapping[str, Callable[[], Run]]] = {"digits-cnn": digits, "imdb-lstm": reviews}
"""Networks of which an epoch of ``fit`` is timed."""

ROWS: Final = (*NETWORKS, *FITS)


def work(row: str, backend: str) -> None:
    """Be the process of a backend: a line with the number of calls is a turn."""
    if backend == "tilec":
        import_module("tilec.keras")
    run = FITS[row]() if row in FITS else predicting(row, backend)
    began = time.perf_counter()
    run()
    print(time.perf_counter() - began, flush=True)
    run()
    for line in sys.stdin:
        times: list[float] = []
        for _ in range(int(line) + 1):
            began = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - began))
        print(statistics.median(times[1:]), flush=True)


class Worker:
    """The process of a backend, seen from outside."""

    def __init__(self, row: str, backend: str, home: str) -> None:
        variables = {"KERAS_HOME": home, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if backend != "onnx":
            variables["KERAS_BACKEND"] = backend
        command = [sys.executable, "-m", "benchmarks.keras", "--worker", row, backend]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._answer()

    def turn(self, calls: int) -> float:
        """Milliseconds of a call, the median of a turn."""
        assert self._process.stdin is not None
        time.sleep(PAUSE)
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException("the process of a backend has ended; its error stands above")
        return float(line)


def measure(row: str, backends: Sequence[str], turns: int, calls: int, home: str) -> list[Timed]:
    """Time a row on some backends in turns."""
    workers = {each: Worker(row, each, home) for each in backends}
    times: dict[str, list[float]] = {each: [] for each in backends}
    for _ in range(turns):
        for each, worker in workers.items():
            times[each].append(worker.turn(calls))
    for worker in workers.values():
        worker.close()
    return [Timed(row, each, tuple(times[each]), workers[each].first) for each in backends]


def shown(timed: Sequence[Timed]) -> str:
    """A row of the table: milliseconds, and how many times those of the first backend they are."""
    ours = timed[0].median
    cells = [f"{each.median:9.2f} ({each.median / ours:5.2f})" for each in timed]
    return f"{timed[0].row:12}" + " ".join(cells) + f"  first {timed[0].first:.2f} s"


@click.command()
@click.argument("rows", nargs=-1, metavar=f"[{'|'.join(ROWS)}]...")
@click.option("--backends", default="tilec,torch,jax", show_default=True)
@click.option("--turns", default=7, show_default=True)
@click.option("--calls", default=3, show_default=True, help="Calls of a turn that count.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all times there.")
@click.option("--worker", is_flag=True, hidden=True)
def main(
    rows: Sequence[str], backends: str, turns: int, calls: int, file: Path | None, worker: bool
) -> None:
    """Time ``predict`` and ``fit`` of Keras on several backends."""
    if worker:
        row, backend = rows
        work(row, backend)
        return
    found: list[Timed] = []
    names = backends.split(",")
    click.echo(f"{'ms':12}" + " ".join(f"{each:>17}" for each in names))
    with TemporaryDirectory() as home:
        for row in rows or ROWS:
            able = [each for each in names if each != "onnx" or row in NETWORKS]
            timed = measure(row, able, turns, calls, home)
            click.echo(shown(timed))
            found += timed
    if file is not None:
        about = {"python": platform.python_version(), "processors": os.cpu_count()}
        text = json.dumps({**about, "rows": [asdict(each) for each in found]}, indent=1)
        file.write_text(text + "\n")


if __name__ == "__main__":
    main()
