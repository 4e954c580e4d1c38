"""Recurrent layers."""

from __future__ import annotations

from typing import NoReturn


def _not_fused(*args: object, **kwargs: object) -> NoReturn:
    # Keras runs the layer step by step then.
    raise NotImplementedError("tilec has no fused recurrent layers")


lstm = gru = bidirectional_lstm = bidirectional_gru = rnn = _not_fused


def cudnn_ok(*args: object, **kwargs: object) -> bool:
    """False: there is no such library here."""
    return False
