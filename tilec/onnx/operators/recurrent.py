"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tilec import Tensor
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.ops import recurrent
from tilec.ops.joining import stack
from tilec.ops.recurrent import Activation
from tilec.ops.shapes import transpose

_NAMES: Final = {
    "relu": ("relu", 0.0, 0.0),
    "tanh": ("tanh", 0.0, 0.0),
    "sigmoid": ("sigmoid", 0.0, 0.0),
    "affine": ("affine", 1.0, 0.0),
    "leakyrelu": ("leaky_relu", 0.01, 0.0),
    "thresholdedrelu": ("thresholded_relu", 1.0, 0.0),
    "scaledtanh": ("scaled_tanh", 1.0, 1.0),
    "hardsigmoid": ("hard_sigmoid", 0.2, 0.5),
    "elu": ("elu", 1.0, 0.0),
    "softsign": ("softsign", 0.0, 0.0),
    "softplus": ("softplus", 0.0, 0.0),
}
"""What ONNX calls activations, and their numbers where the node gives none."""


@operator("LSTM")
def lstm(node: Node) -> Result:
    def run(side: int, reverse: bool, functions: list[Activation]) -> tuple[Tensor, ...]:
        bias = _side(node, 3, side)
        units = node.tensor(2).shape[-1]
        seen = _side(node, 7, side)
        return recurrent.lstm(
            _time_first(node, node.tensor(0)),
            node.tensor(1)[side],
            node.tensor(2)[side],
            None if bias is None else bias[: 4 * units] + bias[4 * units :],
            state=_state(node, 5, side),
            cell=_state(node, 6, side),
            peepholes=None if seen is None else _peepholes(seen, units),
            lengths=node.optional(4),
            reverse=reverse,
            gates="iofc",
            activations=functions,
            coupled=node.flag("input_forget"),
            clip=node.number("clip") if node.given("clip") else None,
        )

    return _both(node, ["sigmoid", "tanh", "tanh"], run)


@operator("GRU")
def gru(node: Node) -> Result:
    def run(side: int, reverse: bool, functions: list[Activation]) -> tuple[Tensor, ...]:
        bias = _side(node, 3, side)
        units = node.tensor(2).shape[-1]
        return recurrent.gru(
            _time_first(node, node.tensor(0)),
            node.tensor(1)[side],
            node.tensor(2)[side],
            None if bias is None else bias[: 3 * units],
            None if bias is None else bias[3 * units :],
            state=_state(node, 5, side),
            lengths=node.optional(4),
            reverse=reverse,
            activations=functions,
            reset_after=node.flag("linear_before_reset"),
            clip=node.number("clip") if node.given("clip") else None,
        )

    return _both(node, ["sigmoid", "tanh"], run)


@operator("RNN")
def rnn(node: Node) -> Result:
    def run(side: int, reverse: bool, functions: list[Activation]) -> tuple[Tensor, ...]:
        bias = _side(node, 3, side)
        units = node.tensor(2).shape[-1]
        return recurrent.simple_rnn(
            _time_first(node, node.tensor(0)),
            node.tensor(1)[side],
            node.tensor(2)[side],
            None if bias is None else bias[:units] + bias[units:],
            state=_state(node, 5, side),
            lengths=node.optional(4),
            reverse=reverse,
            activation=functions[0],
            clip=node.number("clip") if node.given("clip") else None,
        )

    return _both(node, ["tanh"], run)


def _both(
    node: Node,
    default: list[str],
    run: Callable[[int, bool, list[Activation]], tuple[Tensor, ...]],
) -> Result:
    """The directions side by side."""
    direction = node.text("direction", "forward")
    reverse = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    if direction not in reverse:
        raise ArgumentError(f"there is no direction {direction!r}")
    sides = reverse[direction]
    functions = _activations(node, default * len(sides))
    count = len(default)
    found = [
        run(side, back, functions[side * count : (side + 1) * count])
        for side, back in enumerate(sides)
    ]
    outputs, *states = ([each[at] for each in found] for at in range(len(found[0])))
    if not node.flag("layout"):
        return (stack(outputs, 1), *(stack(each, 0) for each in states))
    # The batch comes first: batch x steps x directions x units.
    return (
        stack([transpose(each, (1, 0, 2)) for each in outputs], 2),
        *(stack(each, 1) for each in states),
    )


def _activations(node: Node, default: list[str]) -> list[Activation]:
    names = [each.lower() for each in node.texts("activations", default)]
    if len(names) != len(default):
        raise ArgumentError(f"activations has {len(names)} names; it must have {len(default)}")
    alphas, betas = iter(node.numbers("activation_alpha")), iter(node.numbers("activation_beta"))
    found: list[Activation] = []
    for name in names:
        if name not in _NAMES:
            raise ArgumentError(f"there is no activation {name!r}")
        ours, alpha, beta = _NAMES[name]
        if alpha:
            alpha = next(alphas, alpha)
        if name in ("affine", "scaledtanh", "hardsigmoid"):
            beta = next(betas, beta)
        found.append(Activation(ours, alpha, beta))
    return found


def _time_first(node: Node, x: Tensor) -> Tensor:
    return transpose(x, (1, 0, 2)) if node.flag("layout") else x


def _side(node: Node, at: int, side: int) -> Tensor | None:
    given = node.optional(at)
    return None if given is None else given[side]


def _state(node: Node, at: int, side: int) -> Tensor | None:
    given = node.optional(at)
    if given is None:
        return None
    return given[:, side] if node.flag("layout") else given[side]


def _peepholes(given: Tensor, units: int) -> Tensor:
    """Three rows of a vector of three parts."""
    return stack([given[at * units : (at + 1) * units] for at in range(3)], 0)
