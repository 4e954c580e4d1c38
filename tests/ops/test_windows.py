"""Convolutions and pooling against windows that NumPy cuts out one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import pytest

import tilec
from tests.ops.agreement import Case, agree
from tilec import ops
from tilec.errors import ArgumentError, ShapeError

Floats: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"

RNG = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are tested here; that they compile, by those of kernels."""
    monkeypatch.setenv("TILEC_TARGET", "reference")


def numbers(*shape: int) -> Floats:
    return RNG.standard_normal(shape)


def _windows(
    sizes: Sequence[int], kernel: int, stride: int, dilation: int, low: int, high: int
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Each place of the result, and the places that its window sees."""
    reach = (kernel - 1) * dilation + 1
    counts = [(size + low + high - reach) // stride + 1 for size in sizes]
    for place in product(*map(range, counts)):
        seen = [
            tuple(p * stride + k * dilation - low for p, k in zip(place, offset, strict=True))
            for offset in product(range(kernel), repeat=len(sizes))
        ]
        yield place, seen


def _inside(place: tuple[int, ...], sizes: Sequence[int]) -> bool:
    return all(0 <= at < size for at, size in zip(place, sizes, strict=True))


def _conv(x: Floats, w: Floats, stride: int, pad: int, dilation: int, groups: int) -> Floats:
    sizes, kernel = x.shape[2:], w.shape[2]
    share, outputs = w.shape[1], w.shape[0] // groups
    found: dict[tuple[int, ...], Floats] = {}
    for place, seen in _windows(sizes, kernel, stride, dilation, pad, pad):
        total = np.zeros((x.shape[0], w.shape[0]))
        for at, offset in zip(seen, product(range(kernel), repeat=len(sizes)), strict=True):
            if not _inside(at, sizes):
                continue
            for g in range(groups):
                part = slice(g * outputs, (g + 1) * outputs)
                pixels = x[(slice(None), slice(g * share, (g + 1) * share), *at)]
                total[:, part] += pixels @ w[(part, slice(None), *offset)].T
        found[place] = total
    last = max(found)
    result = np.zeros((x.shape[0], w.shape[0], *(at + 1 for at in last)))
    for place, total in found.items():
        result[(slice(None), slice(None), *place)] = total
    return result


def last(x: Floats) -> Floats:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions(rank: int) -> None:
    sizes = (6, 5, 4)[:rank]
    cases: dict[str, Case] = {}
    for groups, dilation, stride in ((1, 1, 1), (2, 2, 1), (4, 1, 2)):
        x, w, b = numbers(2, 4, *sizes), numbers(8, 4 // groups, *[3] * rank), numbers(8)
        wanted = _conv(x, w, stride, 2, dilation, groups)
        wide = wanted + b.reshape(8, *[1] * rank)
        title = f"{groups} {dilation} {stride}"
        kinds: dict[str, Any] = {
            "strides": stride,
            "padding": 2,
            "dilations": dilation,
            "groups": groups,
        }
        cases[f"first {title}"] = ops.conv(x, w, **kinds), wanted
        cases[f"bias {title}"] = ops.conv(x, w, b, **kinds), wide
        turned = np.ascontiguousarray(np.moveaxis(w, (0, 1), (-1, -2)))
        found = ops.conv(last(x), turned, b, **kinds, layout="channels_last", filters="io")
        cases[f"last {title}"] = found, last(wide)
    x, w = numbers(1, 4, *sizes), numbers(4, 4, *[3] * rank)
    apart = numbers(3, 2, *[3] * rank)
    y = numbers(1, 3, *sizes)
    flat = apart.reshape(6, 1, *[3] * rank)
    cases["same"] = ops.conv(x, w, padding="same_upper"), _conv(x, w, 1, 1, 1, 1)
    cases["valid"] = ops.conv(x, w), _conv(x, w, 1, 0, 1, 1)
    inner = np.moveaxis(apart, (0, 1), (-2, -1))
    cases["depthwise io"] = (
        ops.depthwise_conv(y, inner, padding=1, filters="io"),
        _conv(y, flat, 1, 1, 1, 3),
    )
    cases["depthwise"] = ops.depthwise_conv(y, apart, padding=1), _conv(y, flat, 1, 1, 1, 3)
    mixed = numbers(5, 6, *[1] * rank)
    between = _conv(y, flat, 1, 0, 1, 3)
    cases["separable"] = ops.separable_conv(y, apart, mixed), _conv(between, mixed, 1, 0, 1, 1)
    agree(cases, 1e-10, 1e-10)


def test_strided_same_padding_puts_the_odd_element_where_it_is_wanted() -> None:
    x, w = np.ones((1, 1, 6)), np.ones((1, 1, 3))
    agree(
        {
            "upper": (ops.conv(x, w, strides=2, padding="same_upper"), [[[3.0, 3, 2]]]),
            "lower": (ops.conv(x, w, strides=2, padding="same_lower"), [[[2.0, 3, 3]]]),
            "pair": (ops.conv(x, w, strides=2, padding=[(1, 0)]), [[[2.0, 3, 3]]]),
        }
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_are_the_gradients(groups: int) -> None:
    """``<conv(x), y> = <x, conv_transpose(y)>`` for all x and y defines them."""
    settings: list[dict[str, Any]] = [
        {"strides": 2, "padding": 1, "dilations": 1},
        {"strides": 3, "padding": 0, "dilations": 2},
    ]
    y, w = numbers(1), numbers(1)
    for kinds in settings:
        x, w = numbers(2, 4, 9, 8), numbers(6, 4 // groups, 3, 3)
        forward = ops.conv(x, w, groups=groups, **kinds)
        y = numbers(*forward.shape)
        sizes = [
            (n - 1) * kinds["strides"] + 2 * kinds["dilations"] + 1 - 2 * kinds["padding"]
            for n in y.shape[2:]
        ]
        extra: Any = [n - m for n, m in zip(x.shape[2:], sizes, strict=True)]
        back = ops.conv_transpose(y, w, groups=groups, output_padding=extra, **kinds)
        assert back.shape == x.shape
        np.testing.assert_allclose((forward.numpy() * y).sum(), (back.numpy() * x).sum(), 1e-9)
        bias = numbers(4)
        turned = ops.conv_transpose(
            last(y),
            np.ascontiguousarray(np.moveaxis(w, (0, 1), (-1, -2))),
            bias,
            groups=groups,
            output_padding=extra,
            layout="channels_last",
            filters="io",
            **kinds,
        )
        np.testing.assert_allclose(turned.numpy(), last(back.numpy()) + bias, 1e-9, 1e-9)
    assert ops.conv_transpose(y, w, groups=groups, strides=2, padding="same_upper").shape[2:] == (
        y.shape[2] * 2,
        y.shape[3] * 2,
    )


def _pool(
    x: Floats, stride: int, pad: int, dilation: int, of: Callable[[Floats], Floats]
) -> Floats:
    """``of`` the elements of each window of 3 that are inside, window by window."""
    sizes = x.shape[2:]
    found = {
        place: of(np.stack([x[(..., *at)] for at in seen if _inside(at, sizes)], -1))
        for place, seen in _windows(sizes, 3, stride, dilation, pad, pad)
    }
    result = np.zeros((*x.shape[:2], *(at + 1 for at in max(found))))
    for place, each in found.items():
        result[(..., *place)] = each
    return result


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling(rank: int) -> None:
    x = numbers(2, 3, *(7, 6, 5)[:rank])
    cases: dict[str, Case] = {}
    for stride, pad, dilation in ((1, 0, 1), (2, 1, 1), (1, 1, 2)):
        kinds: dict[str, Any] = {"strides": stride, "padding": pad, "dilations": dilation}
        case = (stride, pad, dilation)
        norm = _pool(x, *case, lambda e: np.sqrt((e * e).sum(-1)))
        cubic = _pool(x, *case, lambda e: (np.abs(e) ** 3).sum(-1) ** (1 / 3))
        mean = _pool(x, *case, lambda e: e.mean(-1))
        every = _pool(x, *case, lambda e: e.sum(-1)) / 3**rank
        cases |= {
            f"max {case}": (ops.max_pool(x, 3, **kinds), _pool(x, *case, lambda e: e.max(-1))),
            f"mean {case}": (ops.average_pool(x, 3, **kinds), mean),
            f"all {case}": (ops.average_pool(x, 3, **kinds, count_include_pad=True), every),
            f"norm {case}": (ops.lp_pool(x, 3, **kinds), norm),
            f"cubic {case}": (ops.lp_pool(x, 3, p=3, **kinds), cubic),
            f"last {case}": (
                ops.average_pool(last(x), 3, **kinds, layout="channels_last"),
                last(mean),
            ),
        }
    axes = tuple(range(2, 2 + rank))
    cases["global max"] = ops.global_max_pool(x), x.max(axes, keepdims=True)
    cases["global mean"] = ops.global_average_pool(x), x.mean(axes, keepdims=True)
    cases["global norm"] = ops.global_lp_pool(x, p=1), np.abs(x).sum(axes, keepdims=True)
    agree(cases, 1e-9, 1e-9)


def test_windows_that_reach_beyond_the_padding() -> None:
    x = np.arange(1.0, 8).reshape(1, 1, 7)
    y = x[..., :6]
    agree(
        {
            "max": (ops.max_pool(x, 2, ceil_mode=True), [[[2.0, 4, 6, 7]]]),
            "mean": (ops.average_pool(x, 2, ceil_mode=True), [[[1.5, 3.5, 5.5, 7]]]),
            # What is beyond the padding never counts, not even as a zero.
            "all": (
                ops.average_pool(
                    y, 3, strides=2, padding=1, ceil_mode=True, count_include_pad=True
                ),
                [[[1.0, 3, 5, 3]]],
            ),
            # A window that would begin in the padding behind is none.
            "none": (ops.max_pool(y, 1, strides=3, padding=0, ceil_mode=True), [[[1.0, 4]]]),
        }
    )


def test_positions_of_largest_elements() -> None:
    x = np.array([[[[1, 5, 5], [7, 2, 7]]]], np.float32)
    found, at = ops.max_pool_with_positions(x, (2, 2), strides=1)
    _, turned = ops.max_pool_with_positions(x, (2, 2), strides=1, column_major=True)
    agree(
        {
            "max": (found, [[[[7.0, 7.0]]]]),
            "row": (at, [[[[3, 5]]]]),
            "column": (turned, [[[[1, 5]]]]),
        }
    )
    assert at.dtype.name == "i64"


def test_gradients_are_those_of_differences() -> None:
    x, w, b = numbers(1, 2, 5, 4), numbers(4, 1, 3, 3), numbers(4)

    def net(x: tilec.Tensor, w: tilec.Tensor, b: tilec.Tensor) -> tilec.Tensor:
        y = ops.conv(x, w, b, padding=1, strides=2, groups=2)
        return ops.average_pool(y, 2, strides=1, padding=1)

    linked = tilec.trace(net, x, w, b)
    tilec.check_grad(linked.function, x, w, b)


def test_faults_name_the_operation() -> None:
    x, w = numbers(1, 4, 5, 5), numbers(8, 2, 3, 3)
    with pytest.raises(ShapeError, match="conv: x has 4 channels, and w has 2 inputs"):
        ops.conv(x, w)
    with pytest.raises(ShapeError, match="conv: x has 2 axes"):
        ops.conv(x[0, 0], w)
    with pytest.raises(ShapeError, match="conv: bias has the shape"):
        ops.conv(x, w, numbers(7), groups=2)
    with pytest.raises(ArgumentError, match="conv: there is no padding 'full'"):
        ops.conv(x, w, groups=2, padding="full")
    with pytest.raises(ArgumentError, match=r"max_pool: strides is \[0, 0\]"):
        ops.max_pool(x, 2, strides=0)
    with pytest.raises(ArgumentError, match="window has 3 numbers for 2 spatial axes"):
        ops.max_pool(x, (2, 2, 2))
    with pytest.raises(ShapeError, match="reaches over 9 elements"):
        ops.max_pool(x, 9)


def test_windows_as_columns_are_undone_by_folding() -> None:
    x = np.arange(1.0, 41).reshape(1, 2, 4, 5)
    sizes: Any = {"strides": (1, 2), "dilations": (2, 1), "padding": ((1, 0), (0, 0))}
    columns = ops.unfold_windows(x, (2, 3), **sizes)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))
    wanted = [
        [padded[0, c, p + 2 * i, 2 * q + j] for p in range(3) for q in range(2)]
        for c in range(2)
        for i in range(2)
        for j in range(3)
    ]
    ones = ops.fold_windows(np.ones((1, 12, 6)), (4, 5), (2, 3), **sizes)
    counts = ops.fold_windows(columns, (4, 5), (2, 3), **sizes)
    agree({"columns": (columns, [wanted]), "folded": (counts, x * ones.numpy())})
