"""Softmax: the probabilities of a classifier for handwritten digits, in Tile."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from data import TILE, check, digits
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import tilec

classify = tilec.function((TILE / "softmax.tile").read_text(), name="classify")


def main() -> None:
    """Fit on half of the digits with scikit-learn, classify the others with tilec."""
    images, shown = digits()
    half = len(images) // 2
    model: Any = LogisticRegression(C=2.0, max_iter=1000)
    model.fit(images[:half], shown[:half])
    weights = cast("NDArray[np.float64]", model.coef_).astype(np.float32)
    bias = cast("NDArray[np.float64]", model.intercept_).astype(np.float32)

    probabilities = classify(images[half:], weights, bias)
    expected = cast("NDArray[np.float64]", model.predict_proba(images[half:]))
    check("probabilities", probabilities, expected, 1e-5)
    right = probabilities.argmax(axis=1) == shown[half:]
    print(f"{right.mean():.1%} of {len(right)} digits are recognised")
    doubtful = int(probabilities.max(axis=1).argmin())
    first, second = np.argsort(probabilities[doubtful])[::-1][:2]
    print(
        f"the most doubtful one is {first} with {probabilities[doubtful, first]:.0%} "
        f"or {second} with {probabilities[doubtful, second]:.0%}; it is {shown[half + doubtful]}"
    )


if __name__ == "__main__":
    main()
