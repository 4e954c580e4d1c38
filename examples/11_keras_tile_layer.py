"""A layer in Tile, with its derived gradient, in a Keras model that learns handwritten digits.

No library has its distances as a layer: the broadcast that stands in for it elsewhere writes a
number for every pixel, prototype and image.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from data import F32, check, digits
from numpy.typing import NDArray

from tilec.keras import TileLayer  # before keras, whose backend tilec becomes

# isort: split
import keras
from keras import layers

DISTANCES = """
function distances(X[N, K], W[M, K]) -> (D) {
  D[n, m : N, M] = +(abs(X[n, k] - W[m, k]));
}
"""
PROTOTYPES, TRAINED, EPOCHS = 40, 1440, 15


def by_numpy(x: F32, weights: list[F32]) -> NDArray[np.float64]:
    """The model in double precision."""
    images, (prototypes, scale, offset, dense, bias) = x.astype(np.float64), weights
    far = abs(images[:, None, :] - prototypes).sum(axis=2)
    middle, spread = far.mean(axis=1, keepdims=True), far.var(axis=1, keepdims=True)
    found = (far - middle) / np.sqrt(spread + 1e-3) * scale + offset
    powers = np.exp(found @ dense + bias)
    return powers / powers.sum(axis=1, keepdims=True)


def main() -> None:
    """Train, and test on digits that were not trained on."""
    random.seed(1)  # where Keras takes the seeds of weights from
    points, labels = digits()
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = points[order], labels[order]
    near = keras.initializers.RandomUniform(0, 1)
    model: Any = keras.Sequential(
        [
            TileLayer(DISTANCES, weights={"W": near}, sizes={"M": PROTOTYPES}),
            layers.LayerNormalization(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images[:TRAINED], labels[:TRAINED], batch_size=48, epochs=EPOCHS, verbose=2)
    unseen = images[TRAINED:]
    _, rate = model.evaluate(unseen, labels[TRAINED:], verbose=0)
    print(f"{PROTOTYPES} prototypes: {rate:.1%} of {len(unseen)} unseen digits are right")
    assert rate > 0.95, rate

    found = model.predict(unseen, verbose=0)
    check("predictions", found, by_numpy(unseen, model.get_weights()), 1e-5)


if __name__ == "__main__":
    main()
