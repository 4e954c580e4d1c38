"""Operators that reduce axes, or run along them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tilec import Tensor, ops
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator


def _log_sum(x: Tensor, axes: Any, *, keepdims: bool) -> Tensor:
    return ops.log(ops.sum(x, axes, keepdims=keepdims))


_REDUCTIONS: Final[dict[str, Callable[..., Tensor]]] = {
    "ReduceL1": ops.norm_l1,
    "ReduceL2": ops.norm_l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": ops.logsumexp,
    "ReduceMax": ops.max,
    "ReduceMean": ops.mean,
    "ReduceMin": ops.min,
    "ReduceProd": ops.prod,
    "ReduceSum": ops.sum,
    "ReduceSumSquare": ops.sum_of_squares,
}


@operator(*_REDUCTIONS)
def reduction(node: Node) -> Result:
    x = node.tensor(0)
    axes = node.integers("axes", at=1)
    if not axes:  # none means all of them, unless the model says otherwise
        axes = () if node.flag("noop_with_empty_axes") else None
    found = _REDUCTIONS[node.kind](x, axes, keepdims=node.flag("keepdims", True))
    return ops.cast(found, x.dtype)


@operator("ArgMax", "ArgMin")
def position(node: Node) -> Result:
    function = ops.argmax if node.kind == "ArgMax" else ops.argmin
    found = function(
        node.tensor(0),
        node.integer("axis", 0),
        keepdims=node.flag("keepdims", True),
        select_last=node.flag("select_last_index"),
    )
    return ops.cast(found, "i64")


@operator("CumSum", "CumProd")
def running(node: Node) -> Result:
    function = ops.cumsum if node.kind == "CumSum" else ops.cumprod
    return function(
        node.tensor(0),
        int(node.array(1, "the axis").reshape(-1)[0]),
        exclusive=node.flag("exclusive"),
        reverse=node.flag("reverse"),
    )


@operator("TopK")
def top_k(node: Node) -> Result:
    x = node.tensor(0)
    count = node.integer("k") if node.given("k") else int(node.array(1, "k").reshape(-1)[0])
    values, positions = ops.top_k(
        x, count, node.integer("axis", -1), largest=node.flag("largest", True)
    )
    return values, ops.cast(positions, "i64")
