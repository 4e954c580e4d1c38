"""Well-known networks with random weights, made in code as ONNX models.

``tilec.networks.build("resnet50")`` is the same file for every engine: nothing is downloaded, and
a seed decides about all weights. What is computed depends on no weight, so these measure and check
engines as trained networks would.
"""

from tilec.networks.registry import NETWORKS, OPERATIONS, Network, build

__all__ = ["NETWORKS", "OPERATIONS", "Network", "build"]
