"""What the trainer uses of Keras, with types. It is imported when the models of Keras are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:

    class BaseTrainer:
        """The part of training that does not depend on the backend."""

else:
    BaseTrainer = import_module("keras.src.trainers.trainer").Trainer
