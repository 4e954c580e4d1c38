"""Keras 3 on tilec: import this before ``keras``, and tilec is its backend.

``KERAS_BACKEND`` may name another backend; then nothing happens here.
"""

from tilec.keras._hook import activate
from tilec.keras.versions import BACKEND

__all__ = ["BACKEND", "activate"]
