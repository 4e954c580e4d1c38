"""What all functions of images share: one image or several, channels first or last."""

from __future__ import annotations

from collections.abc import Iterable

from keras_tilec.src.ops.nn.convolutions import layout_of
from tilec import Tensor, ops


def check_rank(images: Tensor) -> None:
    """Images are one or a batch.

    Raises:
        ValueError: they have neither three axes nor four.
    """
    if images.ndim not in (3, 4):
        raise ValueError(
            "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). "
            f"Received input with shape: images.shape={images.shape}"
        )


def check_choice(name: str, given: str, known: Iterable[str]) -> None:
    """An argument is one of some words.

    Raises:
        ValueError: it is another.
    """
    words = {*known}
    if given not in words:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected of one {words}. "
            f"Received: {name}={given}"
        )


def channel_axis(data_format: str | None) -> int:
    """Where channels stand, counted from the end."""
    return -1 if layout_of(data_format) == "channels_last" else -3


def as_batch(images: Tensor, data_format: str | None) -> Tensor:
    """Batch x height x width x channels."""
    whole = ops.expand_dims(images, 0) if images.ndim == 3 else images
    return whole if channel_axis(data_format) == -1 else ops.transpose(whole, (0, 2, 3, 1))


def as_given(found: Tensor, like: Tensor, data_format: str | None) -> Tensor:
    """A batch in the layout of the images that were given."""
    ordered = found if channel_axis(data_format) == -1 else ops.transpose(found, (0, 3, 1, 2))
    return ops.squeeze(ordered, 0) if like.ndim == 3 else ordered
