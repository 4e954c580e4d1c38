"""What several kinds need of PyTorch: frozen graphs, and oneDNN's fused convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any


def frozen(
    torch: Any, compute: Callable[[Any, dict[str, Any]], Any], weights: Mapping[str, Any]
) -> Callable[[Any], Any]:
    """A compiled function of one tensor, whose weights the compiler may repack as it likes."""

    def forward(own: Any, x: Any) -> Any:
        return compute(x, {name: getattr(own, name) for name in weights})

    # The base class is unknown to type checkers, so the class is made by a call.
    network: Any = type("Network", (torch.nn.Module,), {"forward": forward})()
    for name, value in weights.items():
        network.register_buffer(name, value)
    torch._dynamo.reset()  # or shapes that differ from the last row's would become dynamic
    with torch._inductor.config.patch(freezing=True):
        compiled = torch.compile(network.eval(), dynamic=False)

    def call(x: Any) -> Any:
        with torch.inference_mode(), torch._inductor.config.patch(freezing=True):
            return compiled(x)

    return call


def compiled_convolution(
    torch: Any, x: Any, weights: Any, bias: Any, stride: int, pads: tuple[int, int], groups: int,
    relu: bool,
) -> Callable[[], Any]:  # fmt: skip
    """A convolution with its epilogue, compiled with frozen weights."""

    def layer(x: Any, own: dict[str, Any]) -> Any:
        out = torch.conv2d(x, own["weights"], own.get("bias"), stride, pads, 1, groups)
        return torch.relu(out) if relu else out

    known = {"weights": weights} if bias is None else {"weights": weights, "bias": bias}
    return partial(frozen(torch, layer, known), x)


def convolution(
    torch: Any, x: Any, weights: Any, bias: Any, stride: int, pads: tuple[int, int], groups: int,
    relu: bool,
) -> Callable[[], Any]:  # fmt: skip
    """A convolution of one tensor with its epilogue, its weights repacked beforehand."""
    return partial(packed(torch, x.shape, weights, bias, stride, pads, groups, relu), x)


def packed(
    torch: Any, shape: Sequence[int], weights: Any, bias: Any, stride: int, pads: tuple[int, int],
    groups: int, relu: bool,
) -> Callable[[Any], Any]:  # fmt: skip
    """A convolution with its epilogue in one call of oneDNN, its weights repacked beforehand.

    This is the operator that compiled graphs with frozen weights come down to. Without oneDNN it is
    the ordinary convolution.
    """
    steps, padding, dilation = [stride, stride], list(pads), [1, 1]
    if not torch.backends.mkldnn.is_available():

        def plain(x: Any) -> Any:
            with torch.inference_mode():
                out = torch.conv2d(x, weights, bias, steps, padding, dilation, groups)
                return torch.relu_(out) if relu else out

        return plain
    repacked = torch.ops.mkldnn._reorder_convolution_weight(
        weights, padding, steps, dilation, groups, list(shape)
    )
    fused = torch.ops.mkldnn._convolution_pointwise.default
    epilogue = "relu" if relu else "none"

    def call(x: Any) -> Any:
        with torch.inference_mode():
            return fused(x, repacked, bias, padding, steps, dilation, groups, epilogue, [], "")

    return call
