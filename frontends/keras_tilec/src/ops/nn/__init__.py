"""``keras.ops.nn``: one file for each topic, all names here."""

from keras_tilec.src.ops.nn.activations import relu, sigmoid, softmax

__all__ = ["relu", "sigmoid", "softmax"]
