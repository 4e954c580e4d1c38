"""What the trainer uses of Keras, with types. It is imported when the models of Keras are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from keras_tilec.src.tensor import Tensor
from keras_tilec.src.variable import Variable


class Optimizer(Protocol):
    """What a step asks of an optimizer."""

    @property
    def variables(self) -> Sequence[Variable]:
        """Its own state."""
        ...

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss that is differentiated."""
        ...

    def apply(
        self, grads: Sequence[Tensor | None], trainable_variables: Sequence[Variable]
    ) -> None:
        """Change the variables."""
        ...

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """Done at the end of training."""
        ...


class Batches(Protocol):
    """``EpochIterator``: the batches of an epoch, several steps at a time."""

    @property
    def num_batches(self) -> int | None:
        """How many there are, if that is known."""
        ...

    def reset(self) -> None:
        """Begin again."""
        ...

    def __iter__(self) -> Iterator[tuple[int, int, list[Any]]]: ...


if TYPE_CHECKING:

    class BaseTrainer:
        """The part of training that does not depend on the backend; a part of ``keras.Model``."""

        optimizer: Optimizer | None
        run_eagerly: bool
        jit_compile: bool
        steps_per_execution: int
        trainable_variables: Sequence[Variable]
        variables: Sequence[Variable]
        built: bool
        metrics_variables: Sequence[Variable]
        history: Any
        _call_has_training_arg: bool
        _loss_tracker: Any
        _initial_epoch: int | None
        _eval_epoch_iterator: Batches | None

        def __call__(self, x: object, **options: object) -> Any:
            """The forward pass."""
            ...

        def _compute_loss(self, **parts: object) -> Tensor: ...
        def compute_metrics(
            self, x: object, y: object, y_pred: object, sample_weight: object = None
        ) -> dict[str, Any]:
            """The metrics after this batch."""
            ...

        def reset_metrics(self) -> None:
            """Begin to measure again."""
            ...

        def _symbolic_build(self, iterator: object = None, data_batch: object = None) -> None: ...
        def _assert_compile_called(self, method_name: str) -> None: ...
        def _get_metrics_result_or_logs(self, logs: dict[str, Any]) -> dict[str, Any]: ...
        def _flatten_metrics_in_order(self, logs: dict[str, Any]) -> Any: ...
        def _should_eval(self, epoch: int, validation_freq: object) -> bool: ...

else:
    BaseTrainer = import_module("keras.src.trainers.trainer").Trainer

_adapters: Final[Any] = import_module("keras.src.trainers.data_adapters.data_adapter_utils")
_iterator: Final[Any] = import_module("keras.src.trainers.epoch_iterator")
_seeds: Final[Any] = import_module("keras.src.random.seed_generator")

unpack: Final[Callable[[object], tuple[Any, Any, Any]]] = _adapters.unpack_x_y_sample_weight
"""Inputs, targets and weights of a batch."""

class_weight_to_sample_weights: Final[Callable[[object, object], object]] = (
    _adapters.class_weight_to_sample_weights
)

train_validation_split: Final[Callable[..., tuple[tuple[Any, Any, Any], Any]]] = import_module(
    "keras.src.trainers.data_adapters.array_slicing"
).train_validation_split

pythonify_logs: Final[Callable[[dict[str, Any]], dict[str, Any]]] = import_module(
    "keras.src.utils.python_utils"
).pythonify_logs

max_epochs: Final[Callable[[], int | None]] = import_module("keras.src.backend.config").max_epochs

filter_traceback: Final[Callable[[Callable[..., Any]], Callable[..., Any]]] = import_module(
    "keras.src.utils.traceback_utils"
).filter_traceback

_callbacks: Final[Any] = import_module("keras.src.callbacks")


def batches(**options: object) -> Batches:
    """The batches of some data."""
    return _iterator.EpochIterator(**options)


def callback_list(callbacks: object, **options: object) -> Any:
    """The callbacks as one; as they are if they are one already."""
    if isinstance(callbacks, _callbacks.CallbackList):
        return callbacks
    return _callbacks.CallbackList(callbacks, **options)


def global_seed_state() -> Variable:
    """The state of the generator that draws without a seed of their own use."""
    return _seeds.global_seed_generator().state


def sequential_models(model: BaseTrainer) -> list[Any]:
    """The models of ``keras.Sequential`` in a model: what has been built has the same layers for
    ever, but for these.
    """
    kind = import_module("keras.src.models.sequential").Sequential
    layers: Any = model
    return [each for each in layers._flatten_layers() if isinstance(each, kind)]
