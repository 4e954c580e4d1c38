"""The names that Keras 3.15 takes from a backend, side by side as it wants them."""

from types import FunctionType

from keras_tilec.src import random
from keras_tilec.src.host import name_scope
from keras_tilec.src.ops import core, image, linalg, math, nn, numpy
from keras_tilec.src.ops.core import (
    IS_THREAD_SAFE,
    SUPPORTS_COMPLEX_DTYPES,
    SUPPORTS_RAGGED_TENSORS,
    SUPPORTS_SPARSE_TENSORS,
    Variable,
    cast,
    compute_output_spec,
    cond,
    convert_to_numpy,
    convert_to_tensor,
    device_scope,
    is_tensor,
    random_seed_dtype,
    shape,
    vectorized_map,
)
from keras_tilec.src.rnn import (
    bidirectional_gru,
    bidirectional_lstm,
    cudnn_ok,
    gru,
    lstm,
    rnn,
)

__all__ = [
    "IS_THREAD_SAFE",
    "SUPPORTS_COMPLEX_DTYPES",
    "SUPPORTS_RAGGED_TENSORS",
    "SUPPORTS_SPARSE_TENSORS",
    "Variable",
    "bidirectional_gru",
    "bidirectional_lstm",
    "cast",
    "compute_output_spec",
    "cond",
    "convert_to_numpy",
    "convert_to_tensor",
    "core",
    "cudnn_ok",
    "device_scope",
    "gru",
    "image",
    "is_tensor",
    "linalg",
    "lstm",
    "math",
    "name_scope",
    "nn",
    "numpy",
    "random",
    "random_seed_dtype",
    "rnn",
    "shape",
    "vectorized_map",
]

# Keras's tests hold signatures against those of its own functions, which have no annotations.
for _module in (core, image, linalg, math, nn, numpy, random):
    for _each in vars(_module).values():
        if isinstance(_each, FunctionType) and _each.__module__.startswith("keras_tilec."):
            _each.__annotations__ = {}
