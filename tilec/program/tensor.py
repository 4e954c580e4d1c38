"""``Tensor``: an array that is computed when somebody looks at it.

Operations on tensors add calls to a graph. ``numpy()`` compiles and runs what a tensor needs;
``tilec.compile`` makes one program of a whole Python function of tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from tilec.dtypes import DType
from tilec.errors import ArgumentError
from tilec.program.boundary import public
from tilec.program.calls import applied
from tilec.program.compute import computed, is_abstract
from tilec.program.function import Function
from tilec.program.graph import Given, Placeholder, Value
from tilec.program.operators import Cut, cut, elementwise, product, starts_of
from tilec.runtime.arrays import Array, take
from tilec.runtime.spec import Number, Spec
from tilec.runtime.stored import Stored, elements

Operand: TypeAlias = "Tensor | ArrayLike | Stored"
"""What an operation takes: a tensor, an array, or a number."""


class Tensor:
    """An array of a graph. Immutable; made by ``tensor``, ``apply`` and the operators."""

    __slots__ = ("_value",)
    __array_ufunc__ = None  # so that NumPy leaves operators of mixed operands to this class

    def __init__(self, value: Value) -> None:
        self._value = value

    @property
    def value(self) -> Value:
        """The node of the graph: the call that makes the array, or the array once it is known."""
        return self._value

    @property
    def spec(self) -> Spec:
        """Shape and dtype."""
        return self._value.spec

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def is_known(self) -> bool:
        """True if the elements are there: nothing has to be computed."""
        return isinstance(self._value.source, Given)

    @property
    def is_abstract(self) -> bool:
        """True if the elements depend on an input that has not come, and cannot be computed."""
        return is_abstract(self._value)

    def numpy(self) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
        """The elements; computed now, unless they are known. The array is read-only."""
        source = self._value.source
        if not isinstance(source, Given):
            evaluate(self)
            source = self._value.source
            assert isinstance(source, Given)
        return elements(source.array)

    def item(self) -> bool | int | float:
        """The only element, as a Python number."""
        return cast("bool | int | float", self.numpy().item())

    def know(self, array: Array) -> None:
        """Replace the call that makes the array by the array."""
        array.flags.writeable = False
        self._value = Value(Given("", array))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        found = self.numpy()
        if dtype is not None and np.dtype(dtype) != found.dtype:
            return found.astype(dtype)
        return found.copy() if copy else found

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[at] for at in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __repr__(self) -> str:
        known = "" if self.is_known else ", not computed"
        return f"<tilec.Tensor {self.spec}{known}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _binary("equal", self, other)

    def __ne__(self, other: object) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _binary("different", self, other)

    def __add__(self, other: Operand) -> Tensor:
        return _binary("plus", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return _binary("plus", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return _binary("minus", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return _binary("minus", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return _binary("times", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return _binary("times", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return _binary("over", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _binary("over", other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return _binary("remainder", self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return _binary("remainder", other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return _binary("power", self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return _binary("power", other, self)

    def __lt__(self, other: Operand) -> Tensor:
        return _binary("less", self, other)

    def __le__(self, other: Operand) -> Tensor:
        return _binary("at_most", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return _binary("greater", self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return _binary("at_least", self, other)

    def __and__(self, other: Operand) -> Tensor:
        return _binary("both_bits", self, other)

    def __or__(self, other: Operand) -> Tensor:
        return _binary("any_bits", self, other)

    def __xor__(self, other: Operand) -> Tensor:
        return _binary("either_bits", self, other)

    def __neg__(self) -> Tensor:
        return _single(elementwise("negated"), self)

    def __abs__(self) -> Tensor:
        return _single(elementwise("magnitude"), self)

    def __invert__(self) -> Tensor:
        return _single(elementwise("inverted"), self)

    def __matmul__(self, other: Operand) -> Tensor:
        right = tensor(other)
        return _single(product(self.shape, right.shape), self, right)

    def __rmatmul__(self, other: Operand) -> Tensor:
        left = tensor(other)
        return _single(product(left.shape, self.shape), left, self)

    @public
    def __getitem__(self, key: object) -> Tensor:
        """Integers, slices, ``...`` and ``None``, as in NumPy; ``ops.take`` has index arrays."""
        axes = _cuts(self.shape, key)
        if axes is None:
            return self
        kind = cut(tuple(replace(axis, start=0) for axis in axes))
        found = Spec([axis.count for axis in axes if axis.count is not None], self.dtype)
        return Tensor(*applied(kind, [self.value, *starts_of(axes).values()], (found,)))


@public
def tensor(value: Operand, *, name: str = "") -> Tensor:
    """A tensor of an array or a number; a tensor as it is.

    Args:
        value: The elements. An array must not be changed afterwards.
        name: What programs call it.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Stored):
        return Tensor(Value(Given(name, value)))
    listed = np.asarray(cast("ArrayLike", value)) if isinstance(value, list | tuple) else value
    return Tensor(Value(Given(name, take(name or "value", listed, None))))


@public
def apply(function: Function, *operands: Operand) -> Any:
    """Call a Tile function on tensors: a node of the graph.

    Args:
        function: What ``tilec.function`` made.
        *operands: A tensor, an array or a number for each input. Numbers stand in the text of the
            program, so that code is made for each; pass what changes as a tensor.

    Returns:
        A tensor, or a tuple of tensors when there are several outputs.

    Raises:
        UserError: an operand does not fit.
    """
    found = tuple(map(Tensor, applied(function, [_operand(each) for each in operands])))
    return found[0] if len(found) == 1 else found


@public
def placeholder(spec: Spec, name: str = "X") -> Tensor:
    """A tensor that has a type and no elements, to find out what a computation would give.

    Args:
        spec: Its type.
        name: What error messages call it.
    """
    return Tensor(Value(Placeholder(name, Spec(spec.shape, spec.dtype))))


@public
def evaluate(*tensors: Tensor, target: str | None = None, reference_up_to: int = 0) -> None:
    """Compute tensors, in one program; those that are known already cost nothing.

    Args:
        *tensors: What to compute.
        target: What to run on; by default that of the environment.
        reference_up_to: Graphs of at most so many elements run on the reference evaluator, which
            has to compile nothing.

    Raises:
        UserError: one depends on an input that has not come.
    """
    wanted = [each for each in tensors if not each.is_known]
    if not wanted:
        return
    arrays = computed([each.value for each in wanted], target, reference_up_to)
    for each, array in zip(wanted, arrays, strict=True):
        each.know(array)


def _operand(value: Operand) -> Value | Number:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return float(value)  # a NumPy float is one too
    return tensor(value).value


def _single(function: Function, *operands: Operand) -> Tensor:
    (found,) = applied(function, [_operand(each) for each in operands])
    return Tensor(found)


@public
def _binary(name: str, left: object, right: object) -> Tensor:
    return _single(elementwise(name), cast("Operand", left), cast("Operand", right))


def _cuts(shape: tuple[int, ...], key: object) -> tuple[Cut, ...] | None:
    """What an indexing expression does to each axis; None when it selects everything."""
    given = cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)
    used = sum(each is not None and each is not Ellipsis for each in given)
    if used > len(shape) or sum(each is Ellipsis for each in given) > 1:
        raise ArgumentError(f"a tensor with {len(shape)} axes was given {used} indices")
    if not any(each is Ellipsis for each in given):
        given = (*given, Ellipsis)
    at = next(place for place, each in enumerate(given) if each is Ellipsis)
    whole = (slice(None),) * (len(shape) - used)
    axes: list[Cut] = []
    sizes = iter(shape)
    for each in (*given[:at], *whole, *given[at + 1 :]):
        axes.append(Cut(0, 1, 1, is_new=True) if each is None else _cut(each, next(sizes)))
    everything = tuple(Cut(0, 1, size) for size in shape)
    return None if tuple(axes) == everything else tuple(axes)


def _cut(key: object, size: int) -> Cut:
    if isinstance(key, slice):
        start, stop, step = cast("slice[Any, Any, Any]", key).indices(size)
        return Cut(start, step, len(range(start, stop, step)))
    if isinstance(key, bool) or not hasattr(key, "__index__"):
        raise ArgumentError(
            f"a tensor was indexed with {key!r}",
            help="indices are integers, slices, None and ...; ops.take has index arrays",
        )
    at = cast("Any", key).__index__()
    if not -size <= at < size:
        raise ArgumentError(f"index {at} is outside of an axis of size {size}")
    return Cut(at % size, 1, None)
