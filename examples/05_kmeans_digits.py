"""k-means in Tile: ten groups among 1797 handwritten digits, without being told the digits."""

from __future__ import annotations

import numpy as np
from data import F32, OUT, TILE, check, digits
from numpy.typing import NDArray
from PIL import Image

import tilec

step = tilec.function((TILE / "kmeans.tile").read_text())


def first_centres(points: F32, count: int, random: np.random.Generator) -> F32:
    """Points far from each other (k-means++): the farther from those before, the likelier."""
    chosen = [int(random.integers(len(points)))]
    while len(chosen) < count:
        gaps = ((points[:, None] - points[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(random.choice(len(points), p=gaps / gaps.sum())))
    return points[chosen]


def by_numpy(points: F32, centres: F32) -> tuple[NDArray[np.float64], float]:
    """One step in double precision: the new centres and the sum of squared distances."""
    wide, old = points.astype(np.float64), centres.astype(np.float64)
    squares = ((wide[:, None] - old) ** 2).sum(axis=2)
    nearest = len(old) - 1 - squares[:, ::-1].argmin(axis=1)  # the last of equally near ones
    means = [
        wide[nearest == k].mean(axis=0) if (nearest == k).any() else old[k] for k in range(len(old))
    ]
    return np.array(means), float(squares.min(axis=1).sum())


def main() -> None:
    """Iterate until nothing moves; every step is compared with NumPy."""
    points, shown = digits()
    centres = first_centres(points, 10, np.random.default_rng(2))
    rounds = 0
    while True:
        nearest, moved, spread = step(points, centres)
        expected, expected_spread = by_numpy(points, centres)
        assert np.allclose(moved, expected, atol=1e-5), "the centres differ from NumPy's"
        assert np.isclose(spread, expected_spread, rtol=1e-5), "the distances differ from NumPy's"
        rounds += 1
        if np.array_equal(moved, centres):
            break
        centres = moved
    check(f"centres after {rounds} rounds", centres, expected, 1e-5)

    names = [int(np.bincount(shown[nearest == k]).argmax()) for k in range(10)]
    right = np.array(names)[nearest] == shown
    print(f"sum of squared distances {float(spread):.0f}")
    print(f"groups named after their most frequent digit: {names}; {right.mean():.1%} fit the name")

    OUT.mkdir(exist_ok=True)
    strip = np.hstack([np.pad(centre.reshape(8, 8), 1) for centre in centres])
    pixels = (255 * (1 - strip.clip(0, 1))).astype(np.uint8)
    picture = Image.fromarray(pixels).resize((pixels.shape[1] * 12, pixels.shape[0] * 12), 0)
    picture.save(OUT / "digits.png")
    print(f"the ten centres are drawn in {OUT / 'digits.png'}")


if __name__ == "__main__":
    main()
