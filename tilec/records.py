"""``dataclass`` as the standard library has it, for classes by the hundred.

The standard decorator compiles six methods for each class, which takes a millisecond: half of the
time until the first kernel of a process. Here ``__init__`` alone is compiled. The others read the
fields through one ``attrgetter``, which also compares and hashes faster. Type checkers see the
decorator of the standard library, whose ``fields``, ``replace`` and ``asdict`` work as usual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, cast

_Class = type[Any]
_GENERATED = "<fields of {}>"


class _Factory:
    """Stands in a signature for a value that is made when it is needed."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


def _record(
    bare: _Class | None = None,
    /,
    *,
    frozen: bool = False,
    slots: bool = False,
    eq: bool = True,
    init: bool = True,
) -> _Class | Callable[[_Class], _Class]:
    """The decorator, with those options of the standard one that are used here."""

    def decorate(given: _Class) -> _Class:
        own = set(vars(given))
        # Without methods to make, the standard library only collects the fields.
        plain = dataclasses.dataclass(init=False, repr=False, eq=False)
        cls = cast("_Class", plain(given))
        fields = dataclasses.fields(cls)
        if slots:
            cls = _with_slots(cls, fields)
        methods: dict[str, Any] = {"__repr__": _repr}
        if init:
            methods["__init__"] = _init(cls, fields, frozen=frozen)
        if eq:
            methods |= _comparison([f.name for f in fields if f.compare], hashed=frozen)
        if frozen:
            methods |= {"__setattr__": _no_assignment, "__delattr__": _no_deletion}
            methods |= {"__getstate__": _state, "__setstate__": _restore}
        for name, method in methods.items():
            if name not in own:
                setattr(cls, name, method)
        return cls

    return decorate if bare is None else decorate(bare)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _record


def _with_slots(cls: _Class, fields: tuple[dataclasses.Field[Any], ...]) -> _Class:
    """The class once more: slots cannot be added to one that exists."""
    left_out = {"__dict__", "__weakref__", *(f.name for f in fields)}
    contents = {name: value for name, value in vars(cls).items() if name not in left_out}
    inherited = {name for base in cls.__mro__[1:] for name in vars(base).get("__slots__", ())}
    contents["__slots__"] = tuple(f.name for f in fields if f.name not in inherited)
    make = cast("Callable[..., _Class]", type(cls))
    made = make(cls.__name__, cls.__bases__, contents)
    made.__qualname__ = cls.__qualname__
    return made


def _init(
    cls: _Class, fields: tuple[dataclasses.Field[Any], ...], *, frozen: bool
) -> Callable[..., None]:
    names: dict[str, Any] = {"set_field": object.__setattr__, "default": _FACTORY}
    parameters: list[str] = []
    body: list[str] = []
    annotations: dict[str, Any] = {}
    for field in fields:
        name, value = field.name, field.name
        if field.default_factory is not dataclasses.MISSING:
            names[f"make_{name}"] = field.default_factory
            value = f"make_{name}() if {name} is default else {name}"
            parameters.append(f"{name}=default")
        elif field.default is not dataclasses.MISSING:
            names[f"default_{name}"] = field.default
            parameters.append(f"{name}=default_{name}")
        elif field.init:
            parameters.append(name)
        else:
            continue  # __post_init__ sets it
        if not field.init:
            parameters.pop()
            value = f"make_{name}()" if f"make_{name}" in names else f"default_{name}"
        annotations[name] = field.type
        body.append(f"set_field(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    text = f"def __init__(self, {', '.join(parameters)}):\n " + "\n ".join(body or ["pass"])
    exec(compile(text, _GENERATED.format(cls.__qualname__), "exec"), names)
    init = names.pop("__init__")
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    init.__annotations__ = {**annotations, "return": None}
    return init


def _comparison(names: list[str], *, hashed: bool) -> dict[str, Any]:
    """``__eq__`` and ``__hash__`` over some fields."""
    values: Callable[[object], Any] = attrgetter(*names) if names else _nothing

    def equal(record: object, other: object) -> bool:
        if other.__class__ is record.__class__:
            return values(record) == values(other)
        return NotImplemented

    def hashing(record: object) -> int:
        return hash(values(record))

    return {"__eq__": equal, "__hash__": hashing if hashed else None}


def _nothing(record: object) -> tuple[()]:
    return ()


def _repr(record: Any) -> str:
    shown = (f for f in dataclasses.fields(record) if f.repr)
    parts = ", ".join(f"{f.name}={getattr(record, f.name)!r}" for f in shown)
    return f"{type(record).__qualname__}({parts})"


def _no_assignment(record: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_deletion(record: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(record: Any) -> list[Any]:
    return [getattr(record, f.name) for f in dataclasses.fields(record)]


def _restore(record: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(record), state, strict=True):
        object.__setattr__(record, field.name, value)
