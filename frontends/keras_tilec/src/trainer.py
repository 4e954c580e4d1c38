"""Training, evaluation and prediction: every step is one compiled program.

A step is written as if it ran at once. ``fit`` and ``evaluate`` give it the values of all variables
as inputs of the program, ``predict`` has them as constants, which are packed for their kernels
once. With ``run_eagerly`` the step is called for each batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_tilec.src.gradients import gradients
from keras_tilec.src.host import tree
from keras_tilec.src.keras_trainer import (
    BaseTrainer,
    Batches,
    batches,
    callback_list,
    class_weight_to_sample_weights,
    filter_traceback,
    global_seed_state,
    max_epochs,
    pythonify_logs,
    sequential_models,
    train_validation_split,
    unpack,
)
from keras_tilec.src.ops.core import convert_to_numpy
from keras_tilec.src.step import CompiledStep, EagerStep
from keras_tilec.src.tensor import Tensor
from keras_tilec.src.variable import Variable


class Trainer(BaseTrainer):
    """The trainer of ``keras.Model``."""

    def __init__(self) -> None:
        super().__init__()
        self.train_function: Callable[[Any], Any] | None = None
        self.test_function: Callable[[Any], Any] | None = None
        self.predict_function: Callable[[Any], Any] | None = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False

    def train_step(self, data: Any) -> dict[str, Any]:
        """Forward, backward, and the optimizer; returns the metrics."""
        x, y, sample_weight = unpack(data)
        y_pred = self._tilec_forward(x, training=True)
        loss = self._tilec_loss(x, y, y_pred, sample_weight, training=True)
        variables = self.trainable_variables
        if variables and self.optimizer is not None:
            scaled = self.optimizer.scale_loss(loss)
            slopes = gradients(scaled, [each.value for each in variables])
            self.optimizer.apply(slopes, variables)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Forward; returns the metrics."""
        x, y, sample_weight = unpack(data)
        y_pred = self._tilec_forward(x, training=False)
        self._tilec_loss(x, y, y_pred, sample_weight, training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Forward alone."""
        return self._tilec_forward(unpack(data)[0], training=False)

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        """What runs the training steps of some batches."""
        if self.train_function is None or force:
            self.train_function = _made(self, self.train_step)
        return _begun(self.train_function)

    def make_test_function(self, force: bool = False) -> Callable[[Any], Any]:
        """What runs the steps of an evaluation."""
        if self.test_function is None or force:
            self.test_function = _made(self, self.test_step)
        return _begun(self.test_function)

    def make_predict_function(self, force: bool = False) -> Callable[[Any], Any]:
        """What runs the steps of a prediction."""
        if self.predict_function is None or force:
            self.predict_function = _made(self, self.predict_step, bind=True)
        return _begun(self.predict_function)

    def _tilec_forward(self, x: object, *, training: bool) -> Any:
        return self(x, training=training) if self._call_has_training_arg else self(x)

    def _tilec_loss(
        self, x: object, y: object, y_pred: object, sample_weight: object, *, training: bool
    ) -> Tensor:
        loss = self._compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        count = next(each for each in tree.flatten(x) if each is not None).shape[0]
        self._loss_tracker.update_state(loss, sample_weight=count)
        return loss

    def _tilec_epoch(self, given: Batches, told: Any) -> dict[str, Any]:
        """All batches once; returns the metrics after the last."""
        logs: dict[str, Any] = {}
        for first, last, data in given:
            told.on_train_batch_begin(first)
            # A callback may have put another function here, or None to have it made again.
            logs = (self.train_function or self.make_train_function())(data)
            told.on_train_batch_end(last, logs)
            if self.stop_training:
                break
        return dict(self._get_metrics_result_or_logs(logs))

    def _tilec_validate(
        self, given: dict[str, Any], steps: int | None, told: Any
    ) -> dict[str, Any]:
        if self._eval_epoch_iterator is None:
            self._eval_epoch_iterator = batches(
                **given,
                steps_per_epoch=steps,
                shuffle=False,
                steps_per_execution=self.steps_per_execution,
            )
        logs = self.evaluate(
            **given, steps=steps, callbacks=told, return_dict=True, _use_cached_eval_dataset=True
        )
        return {f"val_{name}": value for name, value in logs.items()}

    def _tilec_on_batch(
        self, make: Callable[[], Callable[[Any], Any]], data: object, return_dict: bool
    ) -> Any:
        self._symbolic_build(data_batch=data)
        run = make()
        self.reset_metrics()
        logs = pythonify_logs(run([data]))
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @filter_traceback
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        """``keras.Model.fit``."""
        self._assert_compile_called("fit")
        most = max_epochs()
        if most and most < epochs:
            warnings.warn(f"Limiting epochs to {most}", stacklevel=2)
            epochs = most
        self._eval_epoch_iterator = None
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        given = batches(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            steps_per_execution=self.steps_per_execution,
        )
        self._symbolic_build(iterator=given)
        given.reset()
        told = callback_list(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=given.num_batches,
            model=self,
        )
        validation = None
        if validation_data is not None:
            val_x, val_y, val_weight = unpack(validation_data)
            validation = {
                "x": val_x,
                "y": val_y,
                "sample_weight": val_weight,
                "batch_size": validation_batch_size or batch_size,
            }
        self.stop_training = False
        self.make_train_function()
        told.on_train_begin()
        logs: dict[str, Any] = {}
        for epoch in range(self._initial_epoch or initial_epoch, epochs):
            self.reset_metrics()
            told.on_epoch_begin(epoch)
            logs = self._tilec_epoch(given, told)
            if validation is not None and self._should_eval(epoch, validation_freq):
                logs.update(self._tilec_validate(validation, validation_steps, told))
            told.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        if self.optimizer is not None and epochs > 0:
            self.optimizer.finalize_variable_values(self.trainable_variables)
        self._eval_epoch_iterator = None
        told.on_train_end(logs=logs)
        return self.history

    @filter_traceback
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """``keras.Model.evaluate``."""
        self._assert_compile_called("evaluate")
        is_cached = kwargs.pop("_use_cached_eval_dataset", False)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        given = self._eval_epoch_iterator if is_cached else None
        if given is None:
            given = batches(
                x=x,
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                steps_per_epoch=steps,
                shuffle=False,
                steps_per_execution=self.steps_per_execution,
            )
        self._symbolic_build(iterator=given)
        given.reset()
        told = _told(self, callbacks, verbose, given)
        run = self.make_test_function()
        self.stop_evaluating = False
        told.on_test_begin()
        self.reset_metrics()
        logs: dict[str, Any] = {}
        for first, last, data in given:
            told.on_test_batch_begin(first)
            logs = run(data)
            told.on_test_batch_end(last, logs)
            if self.stop_evaluating:
                break
        logs = pythonify_logs(self._get_metrics_result_or_logs(logs))
        told.on_test_end(logs)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @filter_traceback
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """``keras.Model.predict``: NumPy arrays."""
        given = batches(
            x=x,
            batch_size=batch_size,
            steps_per_epoch=steps,
            shuffle=False,
            steps_per_execution=self.steps_per_execution,
        )
        told = _told(self, callbacks, verbose, given)
        run = self.make_predict_function()
        self.stop_predicting = False
        told.on_predict_begin()
        found: list[Any] = []
        for first, last, data in given:
            told.on_predict_batch_begin(first)
            found.append(tree.map_structure(convert_to_numpy, run(data)))
            told.on_predict_batch_end(last, {"outputs": found[-1]})
            if self.stop_predicting:
                break
        told.on_predict_end()
        return tree.map_structure(_concatenated, *found)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """``keras.Model.train_on_batch``."""
        self._assert_compile_called("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Arguments `sample_weight` and `class_weight` cannot be specified at the same "
                    f"time. Received: sample_weight={sample_weight}, class_weight={class_weight}"
                )
            sample_weight = class_weight_to_sample_weights(y, class_weight)
        return self._tilec_on_batch(self.make_train_function, (x, y, sample_weight), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """``keras.Model.test_on_batch``."""
        self._assert_compile_called("test_on_batch")
        return self._tilec_on_batch(self.make_test_function, (x, y, sample_weight), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """``keras.Model.predict_on_batch``."""
        return tree.map_structure(convert_to_numpy, self.make_predict_function()([(x,)]))


def _made(trainer: Trainer, step: Callable[[Any], Any], *, bind: bool = False) -> Steps:
    state = _State(trainer, is_kept=bind)
    if trainer.run_eagerly or not trainer.jit_compile:
        return Steps(EagerStep(step, state), joined=bind)
    return Steps(CompiledStep(step, state, bind=bind), joined=bind)


class _State:
    """The variables of a model, in the same list as long as they and the layers are the same.

    Args:
        trainer: The model.
        is_kept: For ``predict``, which is called often, they are looked up again only when layers
            have been added or taken away; going through a large network takes half a millisecond.
            ``compile`` makes the function of a step anew anyway.
    """

    def __init__(self, trainer: Trainer, *, is_kept: bool) -> None:
        self._trainer = trainer
        self._is_kept = is_kept
        self._open: Sequence[Any] = ()
        self._layers: Sequence[object] = ()
        self._found: Sequence[Variable] | None = None

    def __call__(self) -> Sequence[Variable]:
        is_same = self._found is not None and self._layers == self._now()
        if self._found is not None and is_same and self._is_kept:
            return self._found
        found = _state(self._trainer)
        if self._found is None or not is_same or [*map(id, found)] != [*map(id, self._found)]:
            self._open = sequential_models(self._trainer)
            self._found, self._layers = found, self._now()
        return self._found

    def _now(self) -> Sequence[object]:
        return [self._trainer.built, *(each.layers for each in self._open)]


def _state(trainer: Trainer) -> Sequence[Variable]:
    own = [*trainer.variables, *trainer.metrics_variables]  # each goes through all layers once
    optimizer = getattr(trainer, "optimizer", None)  # missing before ``compile``
    if optimizer is not None:
        own += optimizer.variables
    return list({id(each): each for each in (*own, global_seed_state())}.values())


def _told(trainer: Trainer, callbacks: Any, verbose: Any, given: Batches) -> Any:
    return callback_list(
        callbacks,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=1,
        steps=given.num_batches,
        model=trainer,
    )


class Steps:
    """Runs a step on some batches, one after the other."""

    def __init__(self, step: CompiledStep | EagerStep, *, joined: bool) -> None:
        self._step = step
        self._joined = joined

    def begin(self) -> None:
        """Look at the model again."""
        self._step.begin()

    def __call__(self, data: Sequence[Any]) -> Any:
        """The results of the last batch, or of all of them one behind the other."""
        found = [self._step(each) for each in data]
        if not self._joined or len(found) == 1:
            return found[-1]
        return tree.map_structure(_concatenated, *found)


def _begun(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if isinstance(function, Steps):  # users may put functions of their own
        function.begin()
    return function


def _concatenated(*parts: Any) -> Any:
    return np.concatenate([convert_to_numpy(each) for each in parts])
