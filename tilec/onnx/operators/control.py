"""Constants, sizes, and graphs inside of graphs."""

from __future__ import annotations

from typing import Final

import numpy as np

from tilec import Tensor
from tilec.errors import ArgumentError, LimitError
from tilec.onnx.file import Array
from tilec.onnx.node import Item, Node, Result, as_tensor
from tilec.onnx.registry import operator
from tilec.ops.joining import stack

_MOST_TURNS: Final = 1 << 14


@operator("Constant")
def constant(node: Node) -> Result:
    for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        if node.given(name):
            found = node.integer(name) if dtype is np.int64 else node.number(name)
            return np.asarray(found, dtype)
    if node.given("value_ints"):
        return np.asarray(node.integers("value_ints"), np.int64)
    if node.given("value_floats"):
        return np.asarray(node.numbers("value_floats"), np.float32)
    if not node.given("value"):
        raise ArgumentError("a constant of this kind is not supported", help="use a dense tensor")
    return node.constant("value")


@operator("Shape")
def shape(node: Node) -> Result:
    sizes = node.tensor(0).shape
    start, end = node.integer("start", 0), node.integer("end", len(sizes))
    return np.asarray(sizes[slice(start, end)], np.int64)


@operator("Size")
def size(node: Node) -> Result:
    return np.asarray(node.tensor(0).size, np.int64)


@operator("If")
def if_(node: Node) -> Result:
    """The branch that is taken, where that is known."""
    chosen = bool(node.array(0, "the condition").reshape(-1)[0])
    return tuple(node.body("then_branch" if chosen else "else_branch")())


@operator("Loop")
def loop(node: Node) -> Result:
    """All turns, one after the other: how many there are must be known."""
    limit = int(node.array(0, "the number of turns").reshape(-1)[0]) if node.has(0) else _MOST_TURNS
    goes_on: Item = node.array(1, "the condition") if node.has(1) else np.asarray(True)
    carried = [each.item for each in node.entries[2:]]
    collected: list[list[Item]] = [[] for _ in range(len(node.outputs) - len(carried))]
    body = node.body("body")
    turn = 0
    while turn < limit and _is_true(goes_on):
        if turn == _MOST_TURNS:
            raise LimitError(f"the loop takes more than {_MOST_TURNS} turns")
        goes_on, *results = body(np.asarray(turn, np.int64), np.asarray(goes_on), *carried)
        carried = results[: len(carried)]
        for parts, each in zip(collected, results[len(carried) :], strict=True):
            parts.append(each)
        turn += 1
    return (*carried, *(_stacked(parts) for parts in collected))


def _is_true(value: Item) -> bool:
    if isinstance(value, Tensor):
        raise ArgumentError("the loop ends when data say so; the number of its turns must be known")
    return bool(np.asarray(value).reshape(-1)[0])


@operator("Scan")
def scan(node: Node) -> Result:
    """All turns along an axis of the scanned inputs."""
    count = node.integer("num_scan_inputs")
    if node.version < 9:
        raise ArgumentError("the Scan of opset 8 is not supported")
    items = [node.tensor(at) for at in range(node.count)]
    states: list[Item] = [*items[: node.count - count]]
    scanned = items[node.count - count :]
    outputs = len(node.outputs) - len(states)
    axes = node.integers("scan_input_axes") or [0] * count
    backward = node.integers("scan_input_directions") or [0] * count
    out_axes = node.integers("scan_output_axes") or [0] * outputs
    out_backward = node.integers("scan_output_directions") or [0] * outputs
    turns = scanned[0].shape[axes[0]] if scanned else 0
    collected: list[list[Item]] = [[] for _ in range(outputs)]
    body = node.body("body")
    for turn in range(turns):
        parts = [
            _part(each, axis, turns - 1 - turn if back else turn)
            for each, axis, back in zip(scanned, axes, backward, strict=True)
        ]
        results = body(*states, *parts)
        states = results[: len(states)]
        for found, each in zip(collected, results[len(states) :], strict=True):
            found.append(each)
    stacked = [
        _stacked(found[::-1] if back else found, axis)
        for found, axis, back in zip(collected, out_axes, out_backward, strict=True)
    ]
    return (*states, *stacked)


def _part(value: Tensor, axis: int, at: int) -> Tensor:
    key: list[object] = [slice(None)] * value.ndim
    key[axis] = at
    return value[tuple(key)]


def _stacked(parts: list[Item], axis: int = 0) -> Item:
    """Values of all turns, one behind the other along a new axis."""
    if not parts:
        raise ArgumentError("a loop without turns collects results of unknown shape")
    if all(isinstance(each, np.ndarray) for each in parts):
        arrays: list[Array] = [each for each in parts if isinstance(each, np.ndarray)]
        return np.stack(arrays, axis)
    return stack([as_tensor(each) for each in parts], axis)
