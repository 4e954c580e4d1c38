"""Hello, VGG-19: a network of ``keras.applications`` predicts photographs with tilec.

Its weights are random here, so that nothing has to be loaded: what it says means nothing, and how
fast it says it is what it would be. ``12_keras_vgg.py 224`` takes pictures of full size.
"""

from __future__ import annotations

import random
import sys
from time import perf_counter
from typing import Any

import numpy as np
from data import check, photo

import tilec.keras  # before keras, whose backend tilec becomes

# isort: split
import keras

SIZE = int(sys.argv[1]) if len(sys.argv) > 1 else 64
"""Rows and columns of the pictures; VGG-19 was made for 224."""


def main() -> None:
    """Build, predict once to compile, and predict again."""
    random.seed(1)  # where Keras takes the seeds of weights from
    images = np.stack([photo(name)[:SIZE, :SIZE] for name in ("china", "flower")])
    networks: Any = keras.applications
    model = networks.VGG19(
        weights=None, input_shape=(SIZE, SIZE, 3), classes=10, classifier_activation=None
    )
    print(f"VGG-19 on {tilec.keras.BACKEND}: {model.count_params() / 1e6:.1f} million weights")
    began = perf_counter()
    found = model.predict(images, verbose=0)
    print(f"first prediction: {perf_counter() - began:.2f} s, with compilation")
    began = perf_counter()
    again = model.predict(images[::-1], verbose=0)
    print(f"second: {1e3 * (perf_counter() - began):.0f} ms")
    check("predictions", again[::-1], found.astype(np.float64), 1e-5)


if __name__ == "__main__":
    main()
