"""Training, evaluation and prediction."""

from __future__ import annotations

from keras_tilec.src.keras_trainer import BaseTrainer


class Trainer(BaseTrainer):
    """The trainer of ``keras.Model``."""

    def __init__(self) -> None:
        super().__init__()
        self.train_function = None
        self.test_function = None
        self.predict_function = None
