"""Shapes, joining, margins and gathering against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.agreement import Case, agree
from tilec import ops
from tilec.errors import ArgumentError, ShapeError, TileTypeError

RNG = np.random.default_rng(5)
A: Any = RNG.standard_normal((2, 3, 4)).astype(np.float32)
V: Any = np.arange(5, dtype=np.int32)

MODES: tuple[ops.PadMode, ...] = ("constant", "reflect", "edge", "wrap")


def test_shapes() -> None:
    agree(
        {
            "reshape": (ops.reshape(A, (4, -1)), A.reshape(4, -1)),
            "flatten": (ops.flatten(A, 1), A.reshape(2, 12)),
            "squeeze": (ops.squeeze(A[:1, :, :1]), A[0, :, 0]),
            "squeeze one": (ops.squeeze(A[:1, :, :1], -1), A[:1, :, 0]),
            "expand_dims": (ops.expand_dims(A, (0, -1)), A[None, ..., None]),
            "transpose": (ops.transpose(A), A.T),
            "order": (ops.transpose(A, (1, -1, 0)), A.transpose(1, 2, 0)),
            "moveaxis": (ops.moveaxis(A, (0, 1), (-1, 0)), np.moveaxis(A, (0, 1), (-1, 0))),
            "swapaxes": (ops.swapaxes(A, 0, -1), np.swapaxes(A, 0, -1)),
            "broadcast_to": (
                ops.broadcast_to(A[:, :1], (5, 2, 3, 4)),
                np.tile(A[:, :1], (5, 1, 3, 1)),
            ),
            "scalar": (ops.broadcast_to(2.5, (2, 2)), np.full((2, 2), 2.5)),
            "tile": (ops.tile(A, (2, 1, 3)), np.tile(A, (2, 1, 3))),
            "tile more": (ops.tile(V, (2, 2)), np.tile(V, (2, 2))),
            "tile never": (ops.tile(V, 0), np.tile(V, 0)),
            "repeat": (ops.repeat(A, 3, 1), np.repeat(A, 3, 1)),
            "repeat flat": (ops.repeat(A, 2), np.repeat(A, 2)),
            "flip": (ops.flip(A, (0, -1)), np.flip(A, (0, -1))),
            "flip all": (ops.flip(A), np.flip(A)),
            "roll": (ops.roll(A, -2, 1), np.roll(A, -2, 1)),
            "roll two": (ops.roll(A, (1, -1), (0, 2)), np.roll(A, (1, -1), (0, 2))),
            "roll flat": (ops.roll(A, 5), np.roll(A, 5)),
            **{f"rot90 {k}": (ops.rot90(A, k, (0, 2)), np.rot90(A, k, (0, 2))) for k in range(4)},
        }
    )


def test_joining() -> None:
    parts = ops.split(A, (1, 0, 3), -1)
    agree(
        {
            "two": (ops.concatenate([A, A + 1], 1), np.concatenate([A, A + 1], 1)),
            "three": (ops.concatenate([A, A[:0], A[:1]]), np.concatenate([A, A[:0], A[:1]])),
            "types": (ops.concatenate([V, V * 0.5]), np.concatenate([V, V * 0.5])),
            "stack": (ops.stack([V, V + 1, V], -1), np.stack([V, V + 1, V], -1)),
            "first": (parts[0], A[..., :1]),
            "nothing": (parts[1], A[..., 1:1]),
            "rest": (parts[2], A[..., 1:]),
            "half": (ops.split(A, 2, 2)[1], A[..., 2:]),
        }
    )


def test_margins() -> None:
    cases: dict[str, Case] = {}
    for mode in MODES:
        for widths in (((0, 0), (1, 2), (3, 1)), ((4, 0), (0, 5), (0, 0))):
            if mode == "reflect" and widths[0][0]:
                widths = ((0, 0), (0, 5), (9, 4))  # one axis has fewer elements than its margin
            cases[f"{mode} {widths}"] = ops.pad(A, widths, mode), np.pad(A, widths, mode)
    cases["value"] = ops.pad(A, ((1, 0),) * 3, value=2), np.pad(A, ((1, 0),) * 3, constant_values=2)
    cases["less"] = (
        ops.pad(A, ((-1, 1), (0, -2), (0, 0))),
        np.pad(A[1:, :1], ((0, 1), (0, 0), (0, 0))),
    )
    cases["nothing"] = ops.pad(A[:0], ((1, 1), (0, 0), (0, 0)), value=3.0), np.full((2, 3, 4), 3.0)
    agree(cases)


def test_gathering() -> None:
    positions = np.array([[0, -1], [2, 1]])
    own: Any = RNG.integers(-3, 3, (2, 2, 4))
    points: Any = np.array([[[0, 2], [1, -1]], [[-1, 0], [0, 0]]])
    batch: Any = np.array([[[2], [0]], [[1], [-1]]])
    agree(
        {
            "axis 0": (ops.take(V, positions, 0), V[positions]),
            "axis 1": (ops.take(A, positions, 1), np.take(A, positions, 1)),
            "last": (ops.take(A, np.uint8(2), -1), A[..., 2]),
            "flat": (ops.take(A, positions), np.take(A, positions)),
            "outside": (ops.take(A, np.array([9, -9]), 1), A[:, [2, 0]]),
            "along": (ops.take_along_axis(A, own, 1), np.take_along_axis(A, own, 1)),
            "along, wide": (
                ops.take_along_axis(A, own[:1, :, :1], 1),
                np.take_along_axis(A, own[:1, :, :1], 1),
            ),
            "elements": (
                ops.gather_elements(A, own[:1, :, :3], 1),
                np.take_along_axis(A[:1, :, :3], own[:1, :, :3], 1),
            ),
            "points": (ops.gather_nd(A, points), A[points[..., 0], points[..., 1]]),
            "batches": (
                ops.gather_nd(A, batch, batch_axes=1),
                np.stack([A[0][batch[0, :, 0]], A[1][batch[1, :, 0]]]),
            ),
        }
    )


def test_creation() -> None:
    agree(
        {
            "full": (ops.full((2, 3), 7, "u8"), np.full((2, 3), 7, np.uint8)),
            "zeros": (ops.zeros((2, 0)), np.zeros((2, 0))),
            "ones": (ops.ones((), "i64"), np.ones((), np.int64)),
            "arange": (ops.arange(5), np.arange(5)),
            "floats": (ops.arange(1, 2, 0.25), np.arange(1, 2, 0.25)),
            "down": (ops.arange(5, -2, -3), np.arange(5, -2, -3)),
            "none": (ops.arange(3, 3), np.arange(3, 3)),
            "linspace": (ops.linspace(-1, 1, 5), np.linspace(-1, 1, 5)),
            "open": (ops.linspace(0, 1, 4, endpoint=False), np.linspace(0, 1, 4, endpoint=False)),
            "eye": (ops.eye(3, 4, 1), np.eye(3, 4, 1)),
            "tri": (ops.tri(3, 4, -1), np.tri(3, 4, -1)),
            "tril": (ops.tril(A, 1), np.tril(A, 1)),
            "triu": (ops.triu(A), np.triu(A)),
        }
    )


def test_faults_are_told() -> None:
    with pytest.raises(ShapeError, match=r"reshape: 24 elements of shape \[2, 3, 4\]"):
        ops.reshape(A, (5, -1))
    with pytest.raises(ArgumentError, match="does not name each of 3 axes once"):
        ops.transpose(A, (0, 1, 1))
    with pytest.raises(ShapeError, match="squeeze: axis 1 has size 3"):
        ops.squeeze(A, 1)
    with pytest.raises(ShapeError, match=r"does not broadcast to \[2, 3\]"):
        ops.broadcast_to(V, (2, 3))
    with pytest.raises(ShapeError, match="differ along other axes than 0"):
        ops.concatenate([A, A[:, 1:]])
    with pytest.raises(ShapeError, match="size 4 of axis 2 has no 3 equal parts"):
        ops.split(A, 3, 2)
    with pytest.raises(ArgumentError, match="pad: 1 widths do not fit 3 axes"):
        ops.pad(A, [(1, 1)])
    with pytest.raises(TileTypeError, match="take: the positions are f32"):
        ops.take(A, A, 0)
    with pytest.raises(ShapeError, match="gather_nd: positions of shape"):
        ops.gather_nd(A, V)
    with pytest.raises(ArgumentError, match="has no end"):
        ops.arange(0, 1, 0)
