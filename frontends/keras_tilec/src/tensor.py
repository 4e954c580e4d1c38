"""``Tensor``: what Keras computes with. It holds a ``tilec.Tensor``: elements, or how they come.

Outside of ``tracing`` every operation computes at once. Inside nothing is computed unless somebody
looks at elements: operations build a graph, which a trainer compiles as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import tilec
from keras_tilec.src.dtypes import numpy_dtype

Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[Any]]"

_tracing: ContextVar[bool] = ContextVar("tracing", default=False)


@contextmanager
def tracing() -> Generator[None]:
    """Inside, operations build graphs and compute nothing."""
    token = _tracing.set(True)
    try:
        yield
    finally:
        _tracing.reset(token)


def is_tracing() -> bool:
    """True inside of ``tracing``."""
    return _tracing.get()


class Border(NamedTuple):
    """Zeros around a tensor: so many before and behind it along each axis."""

    inside: Tensor
    widths: Sequence[tuple[int, int]]


class Tensor:
    """An immutable array of Keras. Made by operations and ``convert_to_tensor``."""

    # Keras adds attributes of its own.
    __slots__ = ("__dict__", "__weakref__", "_known", "_node", "border")
    __array_ufunc__ = None  # so that NumPy leaves operators of mixed operands to this class

    def __init__(self, node: tilec.Tensor) -> None:
        self._node = node
        self._known: tilec.Tensor = node if node.is_known else tilec.Tensor(node.value)
        self.border: Border | None = None
        """Set where the tensor is another one within a border of zeros."""

    @property
    def node(self) -> tilec.Tensor:
        """The elements, or the call that makes them: what operations of ``tilec`` take."""
        return self._node

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self._node.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return numpy_dtype(self._node.dtype.name)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._node.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._node.size

    @property
    def array(self) -> Array:
        """The elements, computed now if need be; nobody may change them."""
        return self._known.numpy()

    @property
    def is_settled(self) -> bool:
        """True if the elements are there, and what they came from is forgotten."""
        return self._node.is_known

    def numpy(self) -> Array:
        """A copy of the elements, computed now if need be; the graph that makes them stays."""
        return np.array(self._known.numpy())

    def item(self) -> bool | int | float:
        """The only element, as a Python number."""
        return self._known.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        found = self._known.numpy()
        if dtype is not None and np.dtype(dtype) != found.dtype:
            return found.astype(dtype)
        return found.copy() if copy else found

    def __repr__(self) -> str:
        known = "" if self._known.is_known else ", not computed"
        return f"<tilec tensor {self._node.dtype.name}{list(self.shape)}{known}>"

    def _transposed(self) -> Tensor:
        return _call("transpose", self)

    T = property(_transposed, doc="The axes in reverse order.")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a tensor without axes")
        return (self[at] for at in range(self.shape[0]))

    def __bool__(self) -> bool:
        return bool(self._known.numpy())

    def __int__(self) -> int:
        return int(self._known.numpy())

    def __float__(self) -> float:
        return float(self._known.numpy())

    def __index__(self) -> int:
        return self._known.numpy().__index__()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    __hash__ = object.__hash__

    def __getitem__(self, key: object) -> Tensor:
        return _call("get_item", self, key)

    def __neg__(self) -> Tensor:
        return _call("negative", self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return _call("absolute", self)

    def __invert__(self) -> Tensor:
        return _call("bitwise_not", self)

    def __round__(self, digits: int = 0) -> Tensor:
        return _call("round", self, digits)

    def __eq__(self, other: object) -> Any:
        return _call("equal", self, other)

    def __ne__(self, other: object) -> Any:
        return _call("not_equal", self, other)

    def __lt__(self, other: object) -> Tensor:
        return _call("less", self, other)

    def __le__(self, other: object) -> Tensor:
        return _call("less_equal", self, other)

    def __gt__(self, other: object) -> Tensor:
        return _call("greater", self, other)

    def __ge__(self, other: object) -> Tensor:
        return _call("greater_equal", self, other)

    def __add__(self, other: object) -> Tensor:
        return _call("add", self, other)

    def __radd__(self, other: object) -> Tensor:
        return _call("add", other, self)

    def __sub__(self, other: object) -> Tensor:
        return _call("subtract", self, other)

    def __rsub__(self, other: object) -> Tensor:
        return _call("subtract", other, self)

    def __mul__(self, other: object) -> Tensor:
        return _call("multiply", self, other)

    def __rmul__(self, other: object) -> Tensor:
        return _call("multiply", other, self)

    def __truediv__(self, other: object) -> Tensor:
        return _call("true_divide", self, other)

    def __rtruediv__(self, other: object) -> Tensor:
        return _call("true_divide", other, self)

    def __floordiv__(self, other: object) -> Tensor:
        return _call("floor_divide", self, other)

    def __rfloordiv__(self, other: object) -> Tensor:
        return _call("floor_divide", other, self)

    def __mod__(self, other: object) -> Tensor:
        return _call("mod", self, other)

    def __rmod__(self, other: object) -> Tensor:
        return _call("mod", other, self)

    def __pow__(self, other: object) -> Tensor:
        return _call("power", self, other)

    def __rpow__(self, other: object) -> Tensor:
        return _call("power", other, self)

    def __matmul__(self, other: object) -> Tensor:
        return _call("matmul", self, other)

    def __rmatmul__(self, other: object) -> Tensor:
        return _call("matmul", other, self)

    def __and__(self, other: object) -> Tensor:
        return _call("bitwise_and", self, other)

    def __rand__(self, other: object) -> Tensor:
        return _call("bitwise_and", other, self)

    def __or__(self, other: object) -> Tensor:
        return _call("bitwise_or", self, other)

    def __ror__(self, other: object) -> Tensor:
        return _call("bitwise_or", other, self)

    def __xor__(self, other: object) -> Tensor:
        return _call("bitwise_xor", self, other)

    def __rxor__(self, other: object) -> Tensor:
        return _call("bitwise_xor", other, self)

    def __lshift__(self, other: object) -> Tensor:
        return _call("left_shift", self, other)

    def __rlshift__(self, other: object) -> Tensor:
        return _call("left_shift", other, self)

    def __rshift__(self, other: object) -> Tensor:
        return _call("right_shift", self, other)

    def __rrshift__(self, other: object) -> Tensor:
        return _call("right_shift", other, self)


def settled(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, computed in one program, without what they came from."""
    nodes = [each.node if each.is_settled else tilec.Tensor(each.node.value) for each in tensors]
    tilec.evaluate(*nodes)
    return [Tensor(each) for each in nodes]


@cache
def _operation(name: str) -> Callable[..., Tensor]:
    # The module is written with this class, so that it cannot be imported above.
    return getattr(import_module("keras_tilec.src.ops.numpy"), name)


def _call(name: str, *operands: object) -> Tensor:
    """An operator is the operation of Keras, which promotes dtypes."""
    return _operation(name)(*operands)
