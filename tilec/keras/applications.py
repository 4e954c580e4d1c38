"""``python -m tilec.keras.applications``: every model of ``keras.applications`` against torch.

Each model is built with random weights at its smallest legal size, here and in a process of its own
with another backend, and both predict the same images.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias, cast

import click
import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

_FAMILIES: Final = {
    32: (
        *(f"ConvNeXt{each}" for each in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *(f"DenseNet{each}" for each in (121, 169, 201)),
        *(f"EfficientNetB{each}" for each in range(8)),
        *(f"EfficientNetV2{each}" for each in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *(f"MobileNet{each}" for each in ("", "V2", "V3Small", "V3Large")),
        *(f"NASNet{each}" for each in ("Mobile", "Large")),
        *(f"ResNet{each}{version}" for each in (50, 101, 152) for version in ("", "V2")),
        *(f"VGG{each}" for each in (16, 19)),
    ),
    71: ("Xception",),
    75: ("InceptionV3", "InceptionResNetV2"),
}
"""The models by the smallest pictures that they take."""

SIZES: Final = {name: size for size, names in _FAMILIES.items() for name in names}
"""The smallest pictures that each model takes."""

QUICK: Final = ("MobileNetV2", "VGG16")
"""Two small models, of 52 and of 13 convolutions."""

TOLERANCE: Final = 1e-4
"""How far results may differ, relative to the largest of them."""

_CLASSES: Final = 10


def predicted(name: str) -> Array:
    """What a model says to an image, with weights that follow from their places alone."""
    found: Any = import_module("keras.applications")
    size = SIZES[name]
    model = getattr(found, name)(
        weights=None,
        input_shape=(size, size, 3),
        classes=_CLASSES,
        classifier_activation=None,
    )
    model.set_weights([_weight(at, each) for at, each in enumerate(model.weights)])
    image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype(np.float32)
    return np.asarray(model.predict(image, verbose=0))


def _weight(place: int, weight: Any) -> Array:
    """Numbers that keep the sizes of what flows through a network, and no weight like another."""
    rng, shape = np.random.default_rng(place), tuple(weight.shape)
    name: str = weight.path.rsplit("/", 1)[-1]
    if name in ("gamma", "variance", "moving_variance"):
        found = rng.uniform(0.8, 1.2, shape)
    elif "kernel" in name:
        inputs = shape[:-2] if "depthwise" in name else shape[:-1]
        found = rng.standard_normal(shape) * (2 / np.prod(inputs)) ** 0.5
    else:
        found = rng.standard_normal(shape) * 0.1
    return found.astype(np.float32)


def elsewhere(names: Sequence[str], backend: str) -> dict[str, Array]:
    """The same of several models with another backend of Keras, in a process of its own."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "found.npz"
        command = [sys.executable, "-m", "tilec.keras.applications", "--save", str(file), *names]
        subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend})
        with np.load(file) as loaded:
            return {name: cast("Array", loaded[name]) for name in names}


def difference(found: Array, wanted: Array) -> float:
    """The largest one, relative to the largest of the results."""
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-30))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--quick", is_flag=True, help="Two small models.")
@click.option("--against", default="torch", show_default=True, help="The other backend of Keras.")
@click.option("--save", type=click.Path(path_type=Path), help="Only predict, and write results.")
def main(names: Sequence[str], quick: bool, against: str, save: Path | None) -> None:
    """Predict with models of keras.applications, all or some, and compare with another backend."""
    chosen = [*names] or [*(QUICK if quick else SIZES)]
    if save is not None:
        np.savez(save, **cast("dict[str, Any]", {name: predicted(name) for name in chosen}))
        return
    wrong = 0
    for name in chosen:
        wanted = elsewhere([name], against)[name]
        apart = difference(predicted(name), wanted)
        is_right = apart <= TOLERANCE
        wrong += not is_right
        click.echo(f"{name:20} {apart:8.1e} {'' if is_right else 'differs'}".rstrip())
    click.echo(f"{len(chosen) - wrong} of {len(chosen)} models agree with {against}")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
