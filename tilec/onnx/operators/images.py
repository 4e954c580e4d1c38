"""Operators of pictures: other sizes, and samples at computed places."""

from __future__ import annotations

from math import prod
from typing import Any

from tilec import Tensor, ops
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator


@operator("Resize", "Upsample")
def resize(node: Node) -> Result:
    x = node.tensor(0)
    axes = node.integers("axes") or [*range(x.ndim)]
    axes = [axis % x.ndim for axis in axes]
    scales, sizes = _target(node, x, axes)
    early = node.kind == "Upsample" or node.version < 11
    coordinates: Any = "asymmetric" if early else "half_pixel"
    coordinates = node.text("coordinate_transformation_mode", coordinates)
    region: dict[int, tuple[float, float]] = {}
    if coordinates == "tf_crop_and_resize":
        bounds = [float(each) for each in node.array(1, "the region").reshape(-1)]
        ends = zip(bounds[: len(axes)], bounds[len(axes) :], strict=True)
        region = dict(zip(axes, ends, strict=True))
    sampling = ops.Sampling(
        method=_method(node),
        coordinates=coordinates,
        rounding=_rounding(node, early),
        cubic=node.number("cubic_coeff_a", -0.75),
        exclude_outside=node.flag("exclude_outside"),
        antialias=node.flag("antialias"),
    )
    return ops.resize(
        x,
        sizes,
        sampling,
        scales=scales,
        region=region,
        outside=node.number("extrapolation_value", 0.0),
    )


def _method(node: Node) -> Any:
    named = node.text("mode", "nearest")
    return "linear" if named == "bilinear" else named


def _rounding(node: Node, early: bool) -> Any:
    return node.text("nearest_mode", "floor" if early else "round_prefer_floor")


def _target(node: Node, x: Tensor, axes: list[int]) -> tuple[dict[int, float], dict[int, int]]:
    """The scales and the sizes, by axes; one of the two is given."""
    at = 1 if node.kind == "Upsample" or node.version < 11 else 2
    if node.given("scales"):
        scales = node.numbers("scales")
    elif node.has(at) and x.ndim and node.tensor(at).size:
        scales = [float(each) for each in node.array(at, "the scales").reshape(-1)]
    else:
        return _of_sizes(node, x, axes)
    if len(scales) != len(axes) or min(scales, default=1) <= 0:
        raise ArgumentError(f"{scales} do not scale {len(axes)} axes")
    by_axis = dict(zip(axes, scales, strict=True))
    # What is nearly whole is whole: scales are f32.
    return by_axis, {axis: int(x.shape[axis] * by + 1e-6) for axis, by in by_axis.items()}


def _of_sizes(node: Node, x: Tensor, axes: list[int]) -> tuple[dict[int, float], dict[int, int]]:
    sizes = [int(each) for each in node.array(3, "the sizes").reshape(-1)]
    if len(sizes) != len(axes):
        raise ArgumentError(f"{len(sizes)} sizes do not fit {len(axes)} axes")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    ratios = [size / x.shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    if policy == "stretch":
        return dict(zip(axes, ratios, strict=True)), dict(zip(axes, sizes, strict=True))
    chosen = min(ratios) if policy == "not_larger" else max(ratios)
    found = {axis: int(chosen * x.shape[axis] + 0.5) for axis in axes}
    return dict.fromkeys(axes, chosen), found


@operator("GridSample")
def grid_sample(node: Node) -> Result:
    """Samples of pictures of any number of spatial axes at places between -1 and 1."""
    return ops.grid_sample(
        node.tensor(0),
        node.tensor(1),
        method=_grid_method(node),
        outside=_grid_padding(node),
        align_corners=node.flag("align_corners"),
    )


def _grid_method(node: Node) -> Any:
    named = node.text("mode", "linear")
    return {"bilinear": "linear", "bicubic": "cubic"}.get(named, named)


def _grid_padding(node: Node) -> Any:
    return node.text("padding_mode", "zeros")


@operator("Col2Im")
def col2im(node: Node) -> Result:
    sizes = [int(each) for each in node.array(1, "the sizes").reshape(-1)]
    window = [int(each) for each in node.array(2, "the window").reshape(-1)]
    pads = node.integers("pads") or [0] * (2 * len(sizes))
    return ops.fold_windows(
        node.tensor(0),
        sizes,
        window,
        strides=node.integers("strides"),
        dilations=node.integers("dilations"),
        padding=[*zip(pads[: len(sizes)], pads[len(sizes) :], strict=True)],
    )


@operator("MaxUnpool")
def max_unpool(node: Node) -> Result:
    """The maxima of windows at the places where they were, among zeros."""
    x, places = node.tensor(0), node.tensor(1)
    window = node.integers("kernel_shape") or []
    steps = node.integers("strides") or [1] * len(window)
    pads = node.integers("pads") or [0] * (2 * len(window))
    ends = zip(pads[: len(window)], pads[len(window) :], strict=True)
    grown = zip(x.shape[2:], steps, window, ends, strict=True)
    shape = [
        *x.shape[:2],
        *((size - 1) * step + taps - low - high for size, step, taps, (low, high) in grown),
    ]
    empty = ops.zeros((prod(shape),), x.dtype)
    flat = ops.scatter_elements(
        empty, ops.reshape(places, (-1,)), ops.reshape(x, (-1,)), combine="add"
    )
    found = ops.reshape(flat, shape)
    if not node.has(2):
        return found
    wanted = [int(each) for each in node.array(2, "the shape").reshape(-1)]
    widths = [(0, size - own) for size, own in zip(wanted, shape, strict=True)]
    return ops.pad(found, widths)
