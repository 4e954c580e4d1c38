"""An LSTM in Keras reads texts, as in Keras's example of film reviews, with tilec as its backend.

The texts are made up, since no reviews come with Python: each word has a hidden mood, the word
"not" turns that of the next one around, and a text is good if the sum is positive.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from data import F32, check
from numpy.typing import NDArray

import tilec.keras  # before keras, whose backend tilec becomes

# isort: split
import keras
from keras import layers

WORDS, LENGTH, UNITS, NOT = 60, 12, 24, 0
TRAINED, UNSEEN, EPOCHS = 4096, 512, 6


def texts(count: int, rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Texts of words by number, and which of them are good."""
    moods = np.where(np.arange(WORDS) % 2, 1, -1)
    moods[NOT] = 0
    words = rng.integers(0, WORDS, (count, LENGTH), np.int32)
    words[rng.random(words.shape) < 0.15] = NOT
    turned = np.pad(words[:, :-1] == NOT, ((0, 0), (1, 0)), constant_values=False)
    total = (moods[words] * np.where(turned, -1, 1)).sum(axis=1)
    return words, (total > 0).astype(np.int32)


def by_numpy(words: NDArray[np.int32], weights: list[F32]) -> NDArray[np.float64]:
    """The network in double precision."""
    table, kernel, turn, bias, dense, last = (each.astype(np.float64) for each in weights)
    h = c = np.zeros((len(words), UNITS))
    for step in table[words].swapaxes(0, 1):
        gates = step @ kernel + h @ turn + bias
        i, f, new, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
    return sigmoid(h @ dense + last)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 1."""
    return 1 / (1 + np.exp(-x))


def main() -> None:
    """Train, and test on texts that were not trained on."""
    random.seed(1)  # where Keras takes the seeds of weights from
    words, good = texts(TRAINED + UNSEEN, np.random.default_rng(0))
    model: Any = keras.Sequential(
        [layers.Embedding(WORDS, 16), layers.LSTM(UNITS), layers.Dense(1, activation="sigmoid")]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=["accuracy"]
    )
    model.fit(words[:TRAINED], good[:TRAINED], batch_size=64, epochs=EPOCHS, verbose=2)
    unseen = words[TRAINED:]
    _, rate = model.evaluate(unseen, good[TRAINED:], verbose=0)
    print(f"Keras on {tilec.keras.BACKEND}: {rate:.1%} of {UNSEEN} unseen texts are right")
    assert rate > 0.9, rate

    found = model.predict(unseen, verbose=0)
    check("predictions", found, by_numpy(unseen, model.get_weights()), 1e-4)


if __name__ == "__main__":
    main()
