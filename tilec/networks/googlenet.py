"""GoogLeNet (Szegedy et al. 2015), with batch norms in place of the local response norms."""

from __future__ import annotations

from typing import Final

from tilec.networks.graph import Graph, Value

# Channels of each module: of the 1x1 branch, of the 3x3 and the 5x5 branch with what comes before,
# and of the branch behind the pooling. A number stands for a pooling of that size.
_MODULES: Final = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    3,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    3,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


def googlenet(graph: Graph) -> Value:
    """Nine inception modules, without the auxiliary outputs of training."""
    x = graph.conv_norm_relu(graph.images(224), 64, 7, 2)
    x = graph.max_pool(x, 3, 2, ceil=True)
    x = graph.conv_norm_relu(graph.conv_norm_relu(x, 64, 1), 192, 3)
    x = graph.max_pool(x, 3, 2, ceil=True)
    for module in _MODULES:
        if isinstance(module, int):
            x = graph.max_pool(x, module, 2, ceil=True)
        else:
            x = _inception(graph, x, module)
    return graph.dense(graph.global_pool(x), 1000)


def _inception(graph: Graph, x: Value, channels: tuple[int, int, int, int, int, int]) -> Value:
    one, before_three, three, before_five, five, behind_pool = channels
    layer = graph.conv_norm_relu
    return graph.concat(
        layer(x, one, 1),
        layer(layer(x, before_three, 1), three, 3),
        layer(layer(x, before_five, 1), five, 5),
        layer(graph.max_pool(x, 3, 1, 1), behind_pool, 1),
    )
