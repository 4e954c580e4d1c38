"""One step of training: forward, a loss, the gradients of all weights, and plain descent.

The rate is so large that what it is multiplied by is all that remains of new weights: comparing
these compares the gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import tilec
import tilec.onnx
from tilec import Stored, Tensor, ops
from tilec.bench.subject import Array, Subject
from tilec.errors import ArgumentError
from tilec.options import read_environment

if TYPE_CHECKING:
    from onnx import ValueInfoProto

RATE: Final = 2.0**40


def right_classes(sizes: Sequence[int]) -> Array | None:
    """A class for each example, where an output of these sizes is logits; else None."""
    if len(sizes) < 2 or sizes[1] == 1 or any(size != 1 for size in sizes[2:]):
        return None
    random = np.random.default_rng(sizes[0])
    return random.integers(0, sizes[1], sizes[0])


def right_values(sizes: Sequence[int], dtype: str) -> Array:
    """What an output of these sizes should be, where it is no logits."""
    return np.random.default_rng(len(sizes)).standard_normal(sizes).astype(dtype)


def first_output(subject: Subject) -> ValueInfoProto:
    """The output that the loss is about.

    Raises:
        ArgumentError: there are others beside it.
    """
    outputs = subject.model.graph.output
    if len(outputs) != 1:
        raise ArgumentError("a model with several outputs: its loss is unknown")
    return outputs[0]


def tilec_step(subject: Subject, threads: int) -> Callable[[], Sequence[Array]]:
    """Tilec, with the target that the environment names."""
    return _step(subject, read_environment().options, threads)


def reference_step(subject: Subject) -> Callable[[], Sequence[Array]]:
    """What the definition says, without any compiler."""
    return _step(subject, dataclasses.replace(read_environment().options, target="reference"), 1)


def _step(subject: Subject, options: tilec.Options, threads: int) -> Callable[[], Sequence[Array]]:
    model = tilec.onnx.read(subject.model)
    wanted = first_output(subject).name
    weights = {
        name: each.read() if isinstance(each, Stored) else each
        for name, each in model.weights.items()
    }
    passed = [*subject.inputs.values()]

    def step(rate: Tensor, *arrays: Tensor) -> dict[str, Tensor]:
        inputs, old = arrays[: len(passed)], arrays[len(passed) :]
        found = model.apply(*inputs, weights=dict(zip(weights, old, strict=True)), training=True)
        loss = _loss(found.pop(wanted), subject.dtype)
        slopes = tilec.gradients(loss, old)
        new = {
            f"new_{at}": weight if slope is None else weight - rate * slope
            for at, (weight, slope) in enumerate(zip(old, slopes, strict=True))
        }
        return {"loss": loss, **new, **found}

    rate: Any = np.array(RATE, subject.dtype)
    given = [rate, *passed, *weights.values()]
    chosen = dataclasses.replace(options, num_threads=threads)
    program = tilec.compile(step, *given, options=chosen)
    results: list[Array] = [*program(*given)]

    def run() -> Sequence[Array]:
        program(*given, out=results)
        return results[: 1 + len(weights)]  # what is behind are moving statistics

    return run


def _loss(found: Tensor, dtype: str) -> Tensor:
    classes = right_classes(found.shape)
    if classes is None:
        return ops.mean_squared_error(found, right_values(found.shape, dtype))
    return ops.cross_entropy(ops.reshape(found, found.shape[:2]), classes)
