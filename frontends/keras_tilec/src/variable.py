"""``Variable``: a tensor that is exchanged when a value is assigned."""

from __future__ import annotations

from typing import Any, ClassVar

from keras_tilec.src.convert import convert
from keras_tilec.src.host import KerasVariable
from keras_tilec.src.tensor import Array, Tensor


class Variable(KerasVariable):
    """A variable of Keras on tilec."""

    changes: ClassVar[int] = 0
    """How often variables, all together, have been given a value."""

    def _initialize(self, value: object) -> None:
        self.exchange(convert(value, self._dtype))

    def _direct_assign(self, value: object) -> None:
        self.exchange(convert(value, self._dtype))

    def _convert_to_tensor(self, value: object, dtype: object = None) -> Tensor:
        return convert(value, dtype)

    @property
    def own_dtype(self) -> str:
        """The dtype in which the value is held, whatever an autocast scope says."""
        return self._dtype

    @property
    def array(self) -> Array:
        """The elements, outside of all scopes; nobody may change them."""
        assert self._value is not None
        return self._value.array

    @property
    def held(self) -> Tensor | None:
        """The tensor that is exchanged when a value is assigned."""
        return self._value

    @property
    def is_settled(self) -> bool:
        """False while the value is the result of a step that is still being recorded."""
        return self._value is None or self._value.is_settled

    def exchange(self, value: Tensor) -> None:
        """Put another tensor of the same type in place of the value."""
        Variable.changes += 1
        self._value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.value.__array__(dtype, copy)
