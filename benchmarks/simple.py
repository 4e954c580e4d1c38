"""What kinds share whose peers compute a row by one function of some arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Inputs, Maker, Shape, Work, aligned


@dataclass(frozen=True, slots=True)
class Definition:
    """One operation, in every contender's words.

    Attributes:
        program: Tile text.
        shapes: Shape of each input, in the order of the program.
        output: Shape of the result.
        flop: Operations per element that is read, roughly; the rows are bound by memory.
        torch: The result, given the module, the tensors and where to put it; what is returned
            counts, so an operator that cannot write into an array returns one of its own.
        jax: The result, given the module ``jax`` and the arrays.
        reference: The result in float64.
        turns: Whether it is a permutation that moves the last axis.
    """

    program: str
    shapes: Mapping[str, Shape]
    output: Shape
    flop: int
    torch: Callable[[Any, Sequence[Any], Any], Any]
    jax: Callable[[Any, Sequence[Any]], Any]
    reference: Callable[[Sequence[Array]], Array]
    turns: bool = False


def gelu(x: Array) -> Array:
    """The Gaussian error linear unit, by the error function."""
    error_function = np.vectorize(math.erf, otypes=[np.float64])
    return 0.5 * x * (1 + error_function(x * math.sqrt(0.5)))


def make(name: str, what: Definition) -> Case:
    """The case of a definition."""

    def reference(inputs: Inputs) -> Array:
        return np.asarray(what.reference([a.astype(np.float64) for a in inputs.values()]))

    peers: dict[str, Maker] = {
        "torch": lambda torch, inputs: _eager(torch, what, inputs),
        "torch-compile": lambda torch, inputs: _compiled(torch, what, inputs),
        "jax": lambda jax, inputs: _jitted(jax, what, inputs),
    }
    return Case(
        name, what.program, what.shapes, what.output, what.flop, reference, peers, what.turns
    )


def _eager(torch: Any, what: Definition, inputs: Inputs) -> Work:
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    out = torch.from_numpy(aligned(what.output))

    def run() -> Any:
        with torch.inference_mode():
            return what.torch(torch, tensors, out)

    return Work(run, lambda: run().numpy())


def _compiled(torch: Any, what: Definition, inputs: Inputs) -> Work:
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    out = torch.from_numpy(aligned(what.output))
    torch._dynamo.reset()  # or shapes that differ from the last row's would become dynamic

    def compute(out: Any, *given: Any) -> None:
        out.copy_(what.torch(torch, given, None))

    function = torch.compile(compute, dynamic=False)

    def run() -> Any:
        with torch.inference_mode():
            function(out, *tensors)

    return Work(run, out.numpy)


def _jitted(jax: Any, what: Definition, inputs: Inputs) -> Work:
    arrays = [jax.device_put(array) for array in inputs.values()]

    def compute(*given: Any) -> Any:
        return what.jax(jax, given)

    function = jax.jit(compute)
    return Work(
        lambda: function(*arrays).block_until_ready(), lambda: np.asarray(function(*arrays))
    )
