"""``Variable``: a tensor that is exchanged when a value is assigned."""

from __future__ import annotations

from typing import Any

from keras_tilec.src.convert import convert
from keras_tilec.src.host import KerasVariable
from keras_tilec.src.tensor import Array, Tensor


class Variable(KerasVariable):
    """A variable of Keras on tilec."""

    def _initialize(self, value: object) -> None:
        self._value = convert(value, self._dtype)

    def _direct_assign(self, value: object) -> None:
        self._value = convert(value, self._dtype)

    def _convert_to_tensor(self, value: object, dtype: object = None) -> Tensor:
        return convert(value, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.value.__array__(dtype, copy)
