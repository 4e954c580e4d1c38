"""The decorator of the compiler's classes against the one of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Any

import pytest

from tilec.records import dataclass


def standard(*, slots: bool = True, **options: bool) -> type[Any]:
    return _made(dataclasses.dataclass, slots=slots, **options)


def own(*, slots: bool = True, **options: bool) -> type[Any]:
    return _made(dataclass, slots=slots, **options)


def _made(decorator: Callable[..., Any], **options: bool) -> type[Any]:
    class Thing:
        """A class with every kind of field."""

        size: int
        name: str = "none"
        parts: list[int] = field(default_factory=list[int])
        span: object = field(default=None, compare=False)
        secret: int = field(default=3, repr=False)
        length: int = field(init=False, repr=False, compare=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "length", len(self.name))

    return decorator(**options)(Thing)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two values; on the level of the module, where pickle finds it."""

    left: int
    right: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Empty:
    """No value."""


@dataclass
class Open:
    """With room for values that are computed once."""

    size: int

    @cached_property
    def twice(self) -> int:
        return 2 * self.size


OPTIONS = [{"frozen": True}, {"frozen": False}, {"frozen": False, "slots": False}, {"eq": False}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_as_the_standard_one(options: dict[str, bool]) -> None:
    ours, wanted = own(**options), standard(**options)
    for arguments in [(1,), (1, "x"), (1, "x", [2]), (1, "x", [2], 5, 6)]:
        one, other = ours(*arguments), wanted(*arguments)
        assert repr(one) == repr(other)
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        assert (one == ours(*arguments)) == (other == wanted(*arguments))
        assert (one == ours(2)) == (other == wanted(2))
        assert (one == ours(*arguments[:3], span=1)) == (other == wanted(*arguments[:3], span=1))
        assert one != other
        assert dataclasses.replace(one, name="abc").length == 3
        assert hasattr(one, "__dict__") == hasattr(other, "__dict__")
    assert str(inspect.signature(ours)) == str(inspect.signature(wanted))
    assert ours.__match_args__ == wanted.__match_args__
    assert (ours.__hash__ is None) == (wanted.__hash__ is None)
    assert ours(1).parts is not ours(1).parts


@pytest.mark.parametrize("arguments", [(), (1, 2, 3, 4, 5, 6)])
def test_wrong_arguments(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="argument"):
        own()(*arguments)
    with pytest.raises(TypeError, match="unexpected keyword argument 'length'"):
        own()(1, length=3)


def test_what_is_frozen() -> None:
    pair: Any = Pair(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'left'"):
        pair.left = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'left'"):
        del pair.left
    assert pair == Pair(1)


def test_hashes() -> None:
    unhashable: Any = [1]
    assert len({Pair(1), Pair(1, ()), Pair(2), Pair(1, (3,))}) == 3
    assert hash(Pair(1, (2,))) == hash(Pair(1, (2,)))
    assert Empty() == Empty()
    assert len({Empty(), Empty()}) == 1
    assert Empty() != Pair(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Pair(1, unhashable))


def test_copies() -> None:
    pair = Pair(1, (2, 3))
    assert pickle.loads(pickle.dumps(pair)) == copy.deepcopy(pair) == copy.copy(pair) == pair


def test_without_slots() -> None:
    thing = Open(3)
    assert (thing.twice, thing) == (6, Open(3))
    match thing:
        case Open(size):
            assert size == 3
