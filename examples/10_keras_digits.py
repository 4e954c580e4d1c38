"""A convolutional network in Keras, trained on handwritten digits with tilec as its backend."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from data import F32, check, digits
from numpy.typing import NDArray

import tilec.keras  # before keras, whose backend tilec becomes

# isort: split
import keras
from keras import layers

TRAINED, EPOCHS = 1440, 12


def network() -> keras.Sequential:
    """Two layers of 3x3 filters and two dense ones."""
    return keras.Sequential(
        [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def by_numpy(x: F32, weights: list[F32]) -> NDArray[np.float64]:
    """The network in double precision."""
    first, u, second, v, hidden, b, last, c = (each.astype(np.float64) for each in weights)
    found = x.astype(np.float64)
    for filters, bias in ((first, u), (second, v)):
        around = np.pad(found, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2))
        found = np.maximum(np.einsum("nyxcij,ijco->nyxo", windows, filters) + bias, 0)
    n, height, width, channels = found.shape
    pooled = found.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    dense = np.maximum(pooled.reshape(n, -1) @ hidden + b, 0) @ last + c
    powers = np.exp(dense - dense.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def main() -> None:
    """Train, and test on digits that were not trained on."""
    random.seed(1)  # where Keras takes the seeds of weights from
    points, labels = digits()
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = points[order].reshape(-1, 8, 8, 1), labels[order]
    model: Any = network()
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images[:TRAINED], labels[:TRAINED], batch_size=48, epochs=EPOCHS)
    _, rate = model.evaluate(images[TRAINED:], labels[TRAINED:], verbose=0)
    shown = f"{rate:.1%} of {len(labels) - TRAINED} unseen digits are right"
    print(f"Keras {keras.__version__} on {tilec.keras.BACKEND}: {shown}")
    assert rate > 0.98, rate

    unseen = images[TRAINED:]
    found = model.predict(unseen, verbose=0)
    check("predictions", found, by_numpy(unseen, model.get_weights()), 1e-5)


if __name__ == "__main__":
    main()
