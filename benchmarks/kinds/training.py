"""A training step: loss, gradients of all parameters, and parameters after a step against them.

Columns: batch, size (of square pictures), channels (of the two pairs of 3x3 convolutions), dense.

Each pair of convolutions with bias and ReLU is followed by the maxima of 2x2 windows, the last one
by a dense layer with ReLU, one for ten classes, and the logarithm of their probabilities. The
gradients are those that ``tilec.value_and_grad`` derives from the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

import tilec
from benchmarks.case import Array, Case, Inputs, Row, RowError, Work

RATE = 0.1
COLOURS, CLASSES = 3, 10

_HEADER = """K1[3, 3, C, E], B1[E], K2[3, 3, E, E], B2[E], K3[3, 3, E, F], B3[F],
  K4[3, 3, F, F], B4[F], V[Y, Z, F, D], U[D], G[D, L], O[L]"""

PARAMETERS = ("K1", "B1", "K2", "B2", "K3", "B3", "K4", "B4", "V", "U", "G", "O")

LOSS = f"""function layer(X[N, H, W, C], K[3, 3, C, F], B[F]) -> (R) {{
  S[n, y, x, f : N, H, W, F] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c, f]);
  R = relu(S + B);
}}
function halve(X[N, H, W, C]) -> (P) {{
  P[n, y, x, c : N, H / 2, W / 2, C] = >(X[n, 2*y + i, 2*x + j, c]), i < 2, j < 2;
}}
function loss(X[N, H, W, C], T[N, L], {_HEADER}) -> (Loss) {{
  P1 = halve(layer(layer(X, K1, B1), K2, B2));
  P2 = halve(layer(layer(P1, K3, B3), K4, B4));
  S[n, d : N, D] = +(P2[n, y, x, f] * V[y, x, f, d]);
  R = relu(S + U);
  Q[n, l : N, L] = +(R[n, d] * G[d, l]);
  P = builtin_logsoftmax(Q + O, N, L);
  M[] = +(T[n, l] * P[n, l]);
  Loss = -M / N;
}}"""


def case(row: Row) -> Case:
    batch, size, dense = row.integer("batch"), row.integer("size"), row.integer("dense")
    channels = row.integers("channels")
    if len(channels) != 2 or size % 4:
        raise RowError("there are two numbers of channels, and the size is a multiple of 4")
    e, f = channels
    quarter = size // 4
    shapes = {
        "X": (batch, size, size, COLOURS),
        "T": (batch, CLASSES),
        "K1": (3, 3, COLOURS, e),
        "B1": (e,),
        "K2": (3, 3, e, e),
        "B2": (e,),
        "K3": (3, 3, e, f),
        "B3": (f,),
        "K4": (3, 3, f, f),
        "B4": (f,),
        "V": (quarter, quarter, f, dense),
        "U": (dense,),
        "G": (dense, CLASSES),
        "O": (CLASSES,),
    }
    pixels = batch * size * size
    first = pixels * 9 * COLOURS * e
    others = pixels * 9 * e * e + pixels // 4 * 9 * (e + f) * f
    others += batch * dense * (quarter * quarter * f + CLASSES)
    return Case(
        name=f"{batch}x{size}x{size} {e},{f} dense {dense}",
        program=program(),
        shapes=shapes,
        output=(1 + sum(prod(shapes[name]) for name in PARAMETERS),),
        # Forward, by the data, by the weights; pictures have no gradient.
        flop=2 * (2 * first + 3 * others),
        reference=_reference,
        peers={"torch": _with_torch},
        scales={name: _scale(shapes[name]) for name in PARAMETERS},
    )


def program() -> str:
    """The step, with derived gradients."""
    step = tilec.value_and_grad(tilec.function(LOSS, name="loss"), PARAMETERS)
    passed = ", ".join(("X", "T", *PARAMETERS))
    found = "\n".join(
        f"  New{name} = {name} - {RATE} * element(Found, {at});"
        for at, name in enumerate(PARAMETERS, 1)
    )
    results = ", ".join(f"New{name}" for name in PARAMETERS)
    return f"""{step.source}
function step(X[N, H, W, C], T[N, L], {_HEADER}) -> (Loss, {results}) {{
  Found = loss_value_and_grad({passed});
  Loss = element(Found, 0);
{found}
}}"""


def _scale(shape: Sequence[int]) -> float:
    """He et al. 2015, so that values neither grow nor vanish from layer to layer."""
    return (2 / prod(shape[:-1])) ** 0.5 if len(shape) > 1 else 0.1


def _with_torch(torch: Any, inputs: Inputs) -> Work:
    last = torch.channels_last

    def image(array: Array, axes: tuple[int, ...]) -> Any:
        moved = torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))
        return moved.contiguous(memory_format=last)

    x, target = image(inputs["X"], (0, 3, 1, 2)), torch.from_numpy(inputs["T"])
    axes = (3, 2, 0, 1)
    made: list[Any] = []
    for name in PARAMETERS:
        array = inputs[name]
        made.append(image(array, axes) if name[0] == "K" else torch.from_numpy(array.copy()))
    made[8] = made[8].flatten(0, 2)
    for each in made:
        each.requires_grad_(True)
    functional, held = torch.nn.functional, list[Any]()

    def call() -> None:
        k1, b1, k2, b2, k3, b3, k4, b4, v, u, g, o = made
        inner = torch.relu(functional.conv2d(x, k1, b1, padding=1))
        inner = torch.relu(functional.conv2d(inner, k2, b2, padding=1))
        inner = functional.max_pool2d(inner, 2)
        inner = torch.relu(functional.conv2d(inner, k3, b3, padding=1))
        inner = torch.relu(functional.conv2d(inner, k4, b4, padding=1))
        flat = functional.max_pool2d(inner, 2).permute(0, 2, 3, 1).flatten(1)
        logits = torch.addmm(o, torch.relu(torch.addmm(u, flat, v)), g)
        loss = -(target * torch.log_softmax(logits, 1)).sum() / len(target)
        slopes = torch.autograd.grad(loss, made)
        with torch.no_grad():
            held[:] = [loss, *(each - RATE * d for each, d in zip(made, slopes, strict=True))]

    def result() -> Array:
        arrays = [each.detach().numpy() for each in held]
        moved = [a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for a in arrays]
        return np.concatenate([each.ravel() for each in moved])

    return Work(call, result)


def _reference(inputs: Inputs) -> Array:
    """The step in float64, written out by hand."""
    of = {name: array.astype(np.float64) for name, array in inputs.items()}
    layers: list[tuple[Array, Array]] = []  # what went into a convolution, and what came out

    def layer(x: Array, number: int) -> Array:
        out = np.maximum(_convolve(x, of[f"K{number}"]) + of[f"B{number}"], 0)
        layers.append((x, out))
        return out

    pooled = [_halve(layer(layer(of["X"], 1), 2))]
    pooled.append(_halve(layer(layer(pooled[0], 3), 4)))
    flat, v = pooled[1].reshape(len(of["X"]), -1), of["V"].reshape(-1, of["V"].shape[-1])
    hidden = np.maximum(flat @ v + of["U"], 0)
    logits = hidden @ of["G"] + of["O"]
    logits -= logits.max(1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target, count = of["T"], len(of["X"])
    slopes: dict[str, Array] = {}
    d = (np.exp(logs) * target.sum(1, keepdims=True) - target) / count
    slopes["G"], slopes["O"] = hidden.T @ d, d.sum(0)
    d = (d @ of["G"].T) * (hidden > 0)
    slopes["V"], slopes["U"] = (flat.T @ d).reshape(of["V"].shape), d.sum(0)
    d = (d @ v.T).reshape(pooled[1].shape)
    for number in (4, 3, 2, 1):
        x, out = layers[number - 1]
        if number % 2 == 0:
            small = pooled[number // 2 - 1]
            d = np.where(out == _doubled(small), _doubled(d), 0)
        d = d * (out > 0)
        slopes[f"B{number}"] = d.sum((0, 1, 2))
        d, slopes[f"K{number}"] = _back(x, of[f"K{number}"], d)
    found = [-(target * logs).sum() / count, *(of[n] - RATE * slopes[n] for n in PARAMETERS)]
    return np.concatenate([np.ravel(each) for each in found])


def _taps(x: Array) -> list[tuple[int, int, Array]]:
    """What a 3x3 window sees at each of its taps."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    _, h, w, _ = x.shape
    return [(i, j, wide[:, i : i + h, j : j + w]) for i in range(3) for j in range(3)]


def _convolve(x: Array, k: Array) -> Array:
    total = np.zeros((*x.shape[:3], k.shape[3]))
    for i, j, part in _taps(x):
        total += part @ k[i, j]
    return total


def _back(x: Array, k: Array, d: Array) -> tuple[Array, Array]:
    """The gradients by the data and by the weights."""
    by_data = _convolve(d, k[::-1, ::-1].transpose(0, 1, 3, 2))
    by_weights = np.zeros_like(k)
    for i, j, part in _taps(x):
        by_weights[i, j] = part.reshape(-1, part.shape[3]).T @ d.reshape(-1, d.shape[3])
    return by_data, by_weights


def _halve(x: Array) -> Array:
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def _doubled(x: Array) -> Array:
    return x.repeat(2, 1).repeat(2, 2)
