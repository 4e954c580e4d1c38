"""The operations of Keras, in the modules that it asks for."""

from keras_tilec.src.ops import core, image, linalg, math, nn, numpy

__all__ = ["core", "image", "linalg", "math", "nn", "numpy"]
