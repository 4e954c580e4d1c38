"""An ONNX model of SqueezeNet 1.1 on two photographs, held against ONNX's own evaluator.

The model is made in code with random weights, so that nothing is downloaded. Its classes therefore
mean nothing; what is computed is that of the trained network. A file of one runs in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from data import F32, check, photo
from onnx.reference import ReferenceEvaluator
from PIL import Image

import tilec.networks
import tilec.onnx

PHOTOS = ("china", "flower")


def picture(name: str) -> F32:
    """A photograph as networks take it: 1 x colour x 224 x 224, about 0 with variance about 1."""
    pixels = Image.fromarray((photo(name) * 255).astype(np.uint8)).resize((224, 224))
    values = (np.asarray(pixels, np.float32) / 255 - 0.45) / 0.225
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def main() -> None:
    """Load the model, run it on both photographs, and say what it took."""
    file = tilec.networks.build("squeezenet1_1")
    model = tilec.onnx.load(file)
    assert isinstance(model, tilec.Executable)  # the file gives all sizes
    for name, spec in (*model.inputs, *model.outputs):
        print(f"{name}: {spec}")
    memory = model.memory
    print(f"{len(file.graph.node)} nodes became {len(model.kernels)} calls of kernels")
    # Some weights are kept transformed, for Winograd's method, and are larger than in the file.
    print(f"constants {memory.constants / 1e6:.1f} MB, workspace {memory.workspace / 1e6:.1f} MB")

    pictures = {name: picture(name) for name in PHOTOS}
    for name, x in pictures.items():
        print(f"{name}: class {int(model(x).argmax())}")

    # The evaluator takes seconds for a picture.
    evaluator: Any = ReferenceEvaluator(file)
    name, x = next(iter(pictures.items()))
    (expected,) = evaluator.run(None, {file.graph.input[0].name: x})
    check(f"scores of {name}", model(x), np.asarray(expected), 1e-4)


if __name__ == "__main__":
    main()
