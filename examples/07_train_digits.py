"""Training a network that is written in Tile, with derived gradients, on handwritten digits."""

from __future__ import annotations

import sys
from typing import Any, cast

import numpy as np
from data import F32, OUT, TILE, check, digits
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import Progress

import tilec

PROGRAM = TILE / "digits.tile"
HIDDEN, BATCH, EPOCHS, TESTED = 128, 64, 40, 360
PARAMETERS = ("W", "U", "V", "C")

classify = tilec.function(PROGRAM, name="classify")
step = tilec.value_and_grad(tilec.function(PROGRAM, name="loss"), PARAMETERS)
descend = tilec.function(PROGRAM, name="descend")


def by_numpy(x: F32, shown: F32, parameters: list[F32]) -> list[Any]:
    """The gradients in double precision."""
    w, u, v, c = (each.astype(np.float64) for each in parameters)
    before = x @ w + u
    hidden = np.maximum(before, 0)
    powers = np.exp(hidden @ v + c)
    outer = (powers / powers.sum(axis=1, keepdims=True) - shown) / len(x)
    inner = (outer @ v.T) * (before > 0)
    return [x.T @ inner, inner.sum(axis=0), hidden.T @ outer, outer.sum(axis=0)]


def plot(losses: list[float], rates: list[float]) -> None:
    """The loss (black) and the accuracy on the test set (blue, from 0.8 to 1) over the epochs."""
    width, height = 640, 320
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    across = [20 + at * (width - 40) / (len(losses) - 1) for at in range(len(losses))]

    def draw(values: list[float], low: float, high: float, colour: str) -> None:
        share = [min(max((value - low) / (high - low), 0), 1) for value in values]
        points = [(x, height - 20 - y * (height - 40)) for x, y in zip(across, share, strict=True)]
        pen.line(points, colour, 2)

    pen.rectangle((20, 20, width - 20, height - 20), outline="grey")
    draw(losses, 0, max(losses), "black")
    draw(rates, 0.8, 1, "blue")
    pen.text((30, 25), f"loss 0 to {max(losses):.2f}", "black")
    pen.text((30, 40), "accuracy 0.8 to 1", "blue")
    OUT.mkdir(exist_ok=True)
    picture.save(OUT / "training.png")


def main() -> None:
    """Train, and test on digits that were not trained on."""
    random = np.random.default_rng(0)
    points, labels = digits()
    order = random.permutation(len(points))
    points, labels = points[order], labels[order]
    targets = np.eye(10, dtype=np.float32)[labels]
    x, t = points[TESTED:], targets[TESTED:]
    shapes = [(64, HIDDEN), (HIDDEN,), (HIDDEN, 10), (10,)]
    parameters = [
        (random.normal(size=shape) * (2 / shape[0]) ** 0.5 * (len(shape) > 1)).astype(np.float32)
        for shape in shapes
    ]
    momenta = [np.zeros_like(each) for each in parameters]

    _, *gradients = step(x[:BATCH], t[:BATCH], *parameters)
    for name, found, expected in zip(
        PARAMETERS, gradients, by_numpy(x[:BATCH], t[:BATCH], parameters), strict=True
    ):
        check(f"gradient of {name}", np.asarray(found), expected, 1e-4)

    losses: list[float] = []
    rates: list[float] = []
    with Progress(console=Console(file=sys.stdout)) as bar:
        task = bar.add_task("training", total=EPOCHS)
        for epoch in range(EPOCHS):
            rate = np.float32(0.05 * (1 - epoch / EPOCHS))
            total, batches = 0.0, len(x) // BATCH
            order = random.permutation(len(x))
            for at in range(batches):
                rows = order[at * BATCH : (at + 1) * BATCH]
                value, *gradients = step(x[rows], t[rows], *parameters)
                moved = [
                    descend(w, m, d, rate)
                    for w, m, d in zip(parameters, momenta, gradients, strict=True)
                ]
                parameters = [cast("F32", each.NewW) for each in moved]
                momenta = [cast("F32", each.NewM) for each in moved]
                total += float(value)
            right = classify(points[:TESTED], *parameters).argmax(axis=1) == labels[:TESTED]
            losses.append(total / batches)
            rates.append(float(right.mean()))
            bar.update(task, advance=1, description=f"loss {losses[-1]:.4f}")

    print(f"accuracy on {TESTED} digits that were not trained on: {rates[-1]:.1%}")
    if rates[-1] <= 0.97:
        raise SystemExit("that is less than it should be")
    plot(losses, rates)
    print(f"loss and accuracy are drawn in {OUT / 'training.png'}")


if __name__ == "__main__":
    main()
