"""Losses."""

from __future__ import annotations

from tilec import Tensor
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.ops import losses
from tilec.ops.losses import Reduction
from tilec.ops.softmaxes import log_softmax


@operator("NegativeLogLikelihoodLoss")
def negative_log_likelihood(node: Node) -> Result:
    return _loss(node, node.tensor(0))


@operator("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(node: Node) -> Result:
    logs = log_softmax(node.tensor(0), 1)
    return _loss(node, logs), logs


def _loss(node: Node, logs: Tensor) -> Tensor:
    reductions: dict[str, Reduction] = {"none": "none", "sum": "sum", "mean": "mean"}
    return losses.nll(
        logs,
        node.tensor(1),
        axis=1,
        weights=node.optional(2),
        ignore=node.integer("ignore_index") if node.given("ignore_index") else None,
        reduction=reductions[node.text("reduction", "mean")],
    )
