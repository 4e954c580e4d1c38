"""What the backend uses of Keras, with types: Keras itself has none.

No other module of the backend imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeGuard

if TYPE_CHECKING:
    from keras_tilec.src.tensor import Tensor


def _module(name: str) -> Any:
    return import_module(f"keras.src.{name}")


class SymbolicTensor(Protocol):
    """``keras.KerasTensor``: a shape, of which sizes may be open, and a dtype."""

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The sizes; None where one is open."""
        ...

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        ...


class Scope(Protocol):
    """``keras.StatelessScope``: variables have other values inside."""

    state_mapping: dict[int, Tensor]
    losses: list[Tensor]

    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    def get_current_value(self, variable: object) -> Tensor | None:
        """The value that a variable has in the scope; None if it is that outside."""
        ...


class Tree(Protocol):
    """``keras.tree``: nested tuples, lists and dicts."""

    def flatten(self, structure: object) -> list[Any]:
        """The leaves."""
        ...

    def map_structure(self, function: Callable[..., object], *structures: object) -> Any:
        """The same structure of the results of a function of the leaves."""
        ...

    def pack_sequence_as(self, structure: object, flat: Sequence[object]) -> Any:
        """The same structure of other leaves."""
        ...

    def is_nested(self, structure: object) -> bool:
        """False for a leaf."""
        ...


tree: Final[Tree] = _module("tree")

result_type: Final[Callable[..., str]] = _module("backend.common.dtypes").result_type
"""The dtype in which some meet: names, or the Python types ``int`` and ``float``."""

standardize_dtype: Final[Callable[[object], str]] = _module(
    "backend.common.variables"
).standardize_dtype
"""The name of a dtype: of ``floatx`` for None."""

floatx: Final[Callable[[], str]] = _module("backend.config").floatx
"""The default float dtype."""

epsilon: Final[Callable[[], float]] = _module("backend.config").epsilon
"""What probabilities keep from 0 and 1."""

standardize_data_format: Final[Callable[[str | None], str]] = _module(
    "backend.config"
).standardize_data_format
"""``channels_last`` or ``channels_first``; None is what Keras is configured for."""

vectorize_function: Final[Callable[..., Callable[..., Any]]] = _module(
    "backend.common.backend_utils"
).vectorize_impl
"""``vectorize`` by means of a function that maps another one along first axes."""


def activation_function(name: str) -> object:
    """The activation of a name; Keras's module of them is imported after the backend."""
    return getattr(_module("activations.activations"), name)


SeedGenerator: Final[Any] = _module("random.seed_generator").SeedGenerator
make_default_seed: Final[Callable[[], int]] = _module("random.seed_generator").make_default_seed
draw_seed: Final[Callable[[object], Tensor]] = _module("random.seed_generator").draw_seed
"""The next two words (``uint32``) of a generator, or those of an int or of None."""

name_scope: Final[type[AbstractContextManager[Any]]] = _module(
    "backend.common.name_scope"
).name_scope

symbolic_scope: Final[Callable[[], AbstractContextManager[Any]]] = _module(
    "backend.common.symbolic_scope"
).SymbolicScope
"""Inside, only shapes and dtypes are asked for."""

in_symbolic_scope: Final[Callable[[], bool]] = _module(
    "backend.common.symbolic_scope"
).in_symbolic_scope

stateless_scope: Final[Callable[..., Scope]] = _module(
    "backend.common.stateless_scope"
).StatelessScope
"""``state_mapping``: pairs of a variable and its value; ``collect_losses``."""

get_stateless_scope: Final[Callable[[], Scope | None]] = _module(
    "backend.common.stateless_scope"
).get_stateless_scope
"""The innermost scope, or None."""

_symbolic: Final[Any] = _module("backend.common.keras_tensor").KerasTensor


def symbolic_tensor(shape: Iterable[int | None], dtype: str) -> SymbolicTensor:
    """A ``keras.KerasTensor``."""
    return _symbolic(tuple(shape), dtype)


def is_symbolic(value: object) -> TypeGuard[SymbolicTensor]:
    """True for a ``keras.KerasTensor``."""
    return isinstance(value, _symbolic)


if TYPE_CHECKING:

    class KerasVariable:
        """The base class of variables."""

        _value: Tensor | None
        _dtype: str

        @property
        def value(self) -> Tensor:
            """The value in the innermost scope."""
            ...

        @property
        def dtype(self) -> str:
            """Name of the dtype, which an autocast scope may change."""
            ...

        @property
        def shape(self) -> tuple[int, ...]:
            """Extents."""
            ...

        @property
        def trainable(self) -> bool:
            """False for one that optimizers leave alone."""
            ...

        def assign(self, value: object) -> Tensor:
            """Give the variable another value."""
            ...

else:
    KerasVariable = _module("backend.common").KerasVariable
