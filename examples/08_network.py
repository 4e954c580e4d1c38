"""A network of ``tilec.ops`` learns handwritten digits; a whole training step is one program."""

from __future__ import annotations

from typing import Any

import numpy as np
from data import F32, check, digits
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import tilec
from tilec import Spec, Tensor, ops

BATCH, EPOCHS, TESTED = 64, 12, 360
SHAPES = {
    "k1": (16, 1, 3, 3),
    "b1": (16,),
    "k2": (32, 16, 3, 3),
    "b2": (32,),
    "w": (128, 10),
    "b": (10,),
}


def network(
    x: Tensor, k1: Tensor, b1: Tensor, k2: Tensor, b2: Tensor, w: Tensor, b: Tensor
) -> Tensor:
    """Two layers of convolution, ReLU and pooling, and a dense one: 8x8 pixels to ten scores."""
    y = ops.max_pool(ops.relu(ops.conv(x, k1, b1, padding="same_upper")), 2)
    y = ops.max_pool(ops.relu(ops.conv(y, k2, b2, padding="same_upper")), 2)
    return ops.dense(ops.flatten(y, 1), w, b)


def loss(
    x: Tensor, shown: Tensor, k1: Tensor, b1: Tensor, k2: Tensor, b2: Tensor, w: Tensor, b: Tensor
) -> Tensor:
    """Softmax cross entropy of the scores."""
    return ops.cross_entropy(network(x, k1, b1, k2, b2, w, b), shown)


def training_step() -> tilec.Executable:
    """Pictures, what they show, the rate, weights and momenta to the loss, weights and momenta."""
    data = Spec((BATCH, 1, 8, 8)), Spec((BATCH,), "i64")
    weights = [Spec(shape) for shape in SHAPES.values()]
    text = tilec.trace(loss, *data, *weights).function
    derived = tilec.value_and_grad(text, [name.upper() for name in SHAPES])

    def step(x: Tensor, shown: Tensor, rate: Tensor, *state: Tensor) -> list[Tensor]:
        old, momenta = state[: len(weights)], state[len(weights) :]
        value, *slopes = tilec.apply(derived, x, shown, *old)
        moved = [0.9 * m + slope for m, slope in zip(momenta, slopes, strict=True)]
        return [value, *(w - rate * m for w, m in zip(old, moved, strict=True)), *moved]

    return tilec.compile(step, *data, Spec(()), *weights, *weights)


def by_numpy(pictures: F32, weights: list[F32]) -> NDArray[Any]:
    """The scores in double precision."""
    y = pictures.astype(np.float64)
    k1, b1, k2, b2, w, b = (each.astype(np.float64) for each in weights)
    for filters, bias in ((k1, b1), (k2, b2)):
        windows = sliding_window_view(np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
        y = np.einsum("ncyxij,ocij->noyx", windows, filters, optimize=True)
        y = np.maximum(y + bias[:, None, None], 0)
        count, channels, size, _ = y.shape
        y = y.reshape(count, channels, size // 2, 2, size // 2, 2).max(axis=(3, 5))
    return y.reshape(len(y), -1) @ w + b


def main() -> None:
    """Train, bind the weights, and test on digits that were not trained on."""
    random = np.random.default_rng(0)
    rows, labels = digits()
    order = random.permutation(len(rows))
    pictures, labels = rows[order].reshape(-1, 1, 8, 8), labels[order]
    x, shown = pictures[TESTED:], labels[TESTED:]

    def drawn(shape: tuple[int, ...]) -> F32:
        fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        scale = (2 / fan) ** 0.5 if len(shape) > 1 else 0.0
        return (random.normal(size=shape) * scale).astype(np.float32)

    weights = [drawn(shape) for shape in SHAPES.values()]
    state = [*weights, *map(np.zeros_like, weights)]
    step = training_step()
    print(f"a training step is one program of {len(step.kernels)} calls of kernels")
    for epoch in range(EPOCHS):
        rate = np.float32(0.1 * (1 - epoch / EPOCHS))
        order = random.permutation(len(x))
        total, batches = 0.0, len(x) // BATCH
        for at in range(batches):
            chosen = order[at * BATCH : (at + 1) * BATCH]
            value, *state = step(x[chosen], shown[chosen], rate, *state)
            total += float(value)
        if epoch % 4 == 3:
            print(f"epoch {epoch + 1}: loss {total / batches:.4f}")

    # Weights that are known are constants: what depends on them alone is computed once.
    weights = state[: len(weights)]
    constants = [tilec.tensor(each) for each in weights]

    def known(x: Tensor) -> Tensor:
        return network(x, *constants)

    classify = tilec.compile(known, Spec((TESTED, 1, 8, 8)))
    scores = classify(pictures[:TESTED])
    check("scores", scores, by_numpy(pictures[:TESTED], weights), 1e-4)
    right = float((scores.argmax(axis=1) == labels[:TESTED]).mean())
    print(f"accuracy on {TESTED} digits that were not trained on: {right:.1%}")
    if right <= 0.97:
        raise SystemExit("that is less than it should be")


if __name__ == "__main__":
    main()
