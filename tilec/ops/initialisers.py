"""First values of weights, drawn from a state of random numbers.

Each function takes a state and gives the weights and the next state, as ``uniform`` and ``normal``
do. The size of a layer counts by its inputs and outputs: of ``O I H W``, with ``filters="io"`` of
``H W I O``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Literal

from tilec.errors import ArgumentError
from tilec.ops.convolutions import Filter
from tilec.ops.random import normal, uniform
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor


def _fans(op: str, shape: Sequence[int], filters: Filter) -> tuple[int, int]:
    """How many inputs an output has, and how many outputs an input."""
    if not shape:
        raise ArgumentError(f"{op}: weights without axes have no inputs")
    if len(shape) == 1:
        return shape[0], shape[0]
    if filters == "oi":
        window = prod(shape[2:])
        return shape[1] * window, shape[0] * window
    window = prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


@public
def variance_scaling(
    state: Operand,
    shape: Sequence[int],
    *,
    scale: float = 1.0,
    mode: Literal["inputs", "outputs", "average"] = "inputs",
    distribution: Literal["uniform", "normal"] = "uniform",
    filters: Filter = "oi",
) -> tuple[Tensor, Tensor]:
    """Numbers of mean 0 and variance ``scale / n``.

    Args:
        state: The state of the generator.
        shape: Shape of the weights.
        scale: Numerator of the variance.
        mode: What n counts: inputs of an output, outputs of an input, or the mean of both.
        distribution: Uniform, or normal.
        filters: Order of the axes of ``shape``.

    Raises:
        ArgumentError: there is no such mode.
    """
    inputs, outputs = _fans("variance_scaling", shape, filters)
    counts = {"inputs": inputs, "outputs": outputs, "average": (inputs + outputs) / 2}
    if mode not in counts:
        raise ArgumentError(
            f"variance_scaling: there is no mode {mode!r}", help=f"there are {', '.join(counts)}"
        )
    variance = scale / max(counts[mode], 1)
    if distribution == "normal":
        return normal(state, shape, 0.0, sqrt(variance))
    limit = sqrt(3 * variance)
    return uniform(state, shape, -limit, limit)


@public
def glorot_uniform(
    state: Operand, shape: Sequence[int], *, filters: Filter = "oi"
) -> tuple[Tensor, Tensor]:
    """Uniform up to ``np.sqrt(6 / (inputs + outputs))`` (Glorot and Bengio 2010)."""
    return variance_scaling(state, shape, mode="average", filters=filters)


@public
def glorot_normal(
    state: Operand, shape: Sequence[int], *, filters: Filter = "oi"
) -> tuple[Tensor, Tensor]:
    """Normal with deviation ``np.sqrt(2 / (inputs + outputs))``."""
    return variance_scaling(state, shape, mode="average", distribution="normal", filters=filters)


@public
def he_uniform(
    state: Operand, shape: Sequence[int], *, filters: Filter = "oi"
) -> tuple[Tensor, Tensor]:
    """Uniform up to ``np.sqrt(6 / inputs)`` (He et al. 2015)."""
    return variance_scaling(state, shape, scale=2.0, filters=filters)


@public
def he_normal(
    state: Operand, shape: Sequence[int], *, filters: Filter = "oi"
) -> tuple[Tensor, Tensor]:
    """Normal with deviation ``np.sqrt(2 / inputs)``."""
    return variance_scaling(state, shape, scale=2.0, distribution="normal", filters=filters)


@public
def lecun_uniform(
    state: Operand, shape: Sequence[int], *, filters: Filter = "oi"
) -> tuple[Tensor, Tensor]:
    """Uniform up to ``np.sqrt(3 / inputs)`` (LeCun et al. 1998)."""
    return variance_scaling(state, shape, filters=filters)


@public
def lecun_normal(
    state: Operand, shape: Sequence[int], *, filters: Filter = "oi"
) -> tuple[Tensor, Tensor]:
    """Normal with deviation ``np.sqrt(1 / inputs)``."""
    return variance_scaling(state, shape, distribution="normal", filters=filters)
