"""Activations: functions of each element that networks put between their layers."""

from __future__ import annotations

from math import pi, sqrt

from tilec.ops.texts import number, single, written
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor, tensor

_FILE = "activations"


def _of(name: str, x: Operand, *numbers: float) -> Tensor:
    """A function of the file, of a tensor and of numbers of its type."""
    value = tensor(x)
    return single(written(_FILE, name), value, *(number(each, value) for each in numbers))


@public
def relu(x: Operand) -> Tensor:
    """``np.maximum(x, 0)``; NaN stays NaN."""
    return _of("rectified", x)


@public
def leaky_relu(x: Operand, slope: float = 0.01) -> Tensor:
    """``np.where(x < 0, slope * x, x)``."""
    return _of("leaky_rectified", x, slope)


@public
def prelu(x: Operand, slope: Operand) -> Tensor:
    """``np.where(x < 0, slope * x, x)`` with a slope that is broadcast to ``x``."""
    return single(written(_FILE, "leaky_rectified"), tensor(x), tensor(slope))


@public
def relu6(x: Operand) -> Tensor:
    """``np.clip(x, 0, 6)``."""
    return _of("rectified_up_to", x, 6.0)


@public
def thresholded_relu(x: Operand, threshold: float = 1.0) -> Tensor:
    """``np.where(x > threshold, x, 0)``."""
    return _of("thresholded", x, threshold)


@public
def sigmoid(x: Operand) -> Tensor:
    """``1 / (1 + np.exp(-x))``, without overflow."""
    return _of("logistic", x)


@public
def hard_sigmoid(x: Operand, slope: float = 1 / 6, offset: float = 0.5) -> Tensor:
    """``np.clip(slope * x + offset, 0, 1)``."""
    return _of("hard_logistic", x, slope, offset)


@public
def hard_swish(x: Operand, slope: float = 1 / 6, offset: float = 0.5) -> Tensor:
    """``x * np.clip(slope * x + offset, 0, 1)``."""
    return _of("hard_swished", x, slope, offset)


@public
def hard_tanh(x: Operand) -> Tensor:
    """``np.clip(x, -1, 1)``."""
    return _of("hard_hyperbolic", x)


@public
def scaled_tanh(x: Operand, scale: float, slope: float) -> Tensor:
    """``scale * np.tanh(slope * x)``."""
    return _of("scaled_hyperbolic", x, scale, slope)


@public
def elu(x: Operand, alpha: float = 1.0) -> Tensor:
    """``np.where(x > 0, x, alpha * np.expm1(x))``."""
    return _of("exponential_linear", x, alpha)


@public
def selu(
    x: Operand, alpha: float = 1.6732632423543772, scale: float = 1.0507009873554805
) -> Tensor:
    """``scale * np.where(x > 0, x, alpha * np.expm1(x))``."""
    return _of("scaled_exponential_linear", x, alpha, scale)


@public
def celu(x: Operand, alpha: float = 1.0) -> Tensor:
    """``np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)``."""
    return _of("continuous_exponential_linear", x, alpha)


@public
def softplus(x: Operand) -> Tensor:
    """``np.log1p(np.exp(x))``, without overflow."""
    return _of("soft_plus", x)


@public
def softsign(x: Operand) -> Tensor:
    """``x / (1 + np.abs(x))``."""
    return _of("soft_signed", x)


@public
def log_sigmoid(x: Operand) -> Tensor:
    """``-np.log1p(np.exp(-x))``, without overflow."""
    return _of("log_logistic", x)


@public
def swish(x: Operand, beta: float = 1.0) -> Tensor:
    """``x / (1 + np.exp(-beta * x))``, also known as SiLU."""
    return _of("swished", x, beta)


@public
def mish(x: Operand) -> Tensor:
    """``x * np.tanh(np.log1p(np.exp(x)))``."""
    return _of("mished", x)


@public
def gelu(x: Operand, *, approximate: bool = False) -> Tensor:
    """``x * (1 + erf(x / sqrt(2))) / 2``.

    Args:
        x: The operand.
        approximate: Whether tanh takes the place of erf, as in the first GPT.
    """
    if approximate:
        return _of("gaussian_linear_by_tanh", x, sqrt(2 / pi), 0.044715)
    return _of("gaussian_linear", x, 1 / sqrt(2))


@public
def shrink(x: Operand, threshold: float = 0.5, bias: float = 0.0) -> Tensor:
    """0 where ``abs(x) <= threshold``, elsewhere ``x`` moved toward 0 by ``bias``."""
    return _of("shrunk", x, threshold, bias)


@public
def soft_shrink(x: Operand, threshold: float = 0.5) -> Tensor:
    """``np.sign(x) * np.maximum(np.abs(x) - threshold, 0)``."""
    return shrink(x, threshold, threshold)


@public
def hard_shrink(x: Operand, threshold: float = 0.5) -> Tensor:
    """``np.where(np.abs(x) > threshold, x, 0)``."""
    return shrink(x, threshold, 0.0)


@public
def tanh_shrink(x: Operand) -> Tensor:
    """``x - np.tanh(x)``."""
    return _of("hyperbolic_shrunk", x)


@public
def squared_relu(x: Operand) -> Tensor:
    """``np.maximum(x, 0) ** 2``."""
    return _of("squared_rectified", x)


@public
def sparse_plus(x: Operand) -> Tensor:
    """0 up to -1, ``(x + 1) ** 2 / 4`` up to 1, then ``x``."""
    return _of("sparse_plus", x)


@public
def sparse_sigmoid(x: Operand) -> Tensor:
    """``np.clip((x + 1) / 2, 0, 1)``."""
    return _of("sparse_logistic", x)


@public
def squareplus(x: Operand, b: float = 4.0) -> Tensor:
    """``(x + np.sqrt(x ** 2 + b)) / 2``."""
    return _of("squared_plus", x, b)
