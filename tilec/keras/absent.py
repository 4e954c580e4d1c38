"""Stand-ins for packages that Keras's tests import and that are not installed.

Many test modules import TensorFlow at their top and use it in a few cases only. While such a module
is collected it gets a stand-in; the cases that use it fail as if they imported it then.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Final

_NAMES: Final = ("tensorflow", "grain")


class Absent(ModuleType):
    """A package, or something of it, that raises an error when it is called."""

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")

    def __call__(self, *_: object, **__: object) -> object:
        """Raise the error of an import."""
        root = self.__name__.partition(".")[0]
        raise ModuleNotFoundError(f"No module named {root!r}", name=root)


class _Finder(MetaPathFinder, Loader):
    """Finds packages that are missing, and everything in them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self._names:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> Absent:
        return Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


@contextmanager
def stand_ins() -> Generator[None]:
    """Inside, packages that are missing can be imported."""
    missing = [each for each in _NAMES if find_spec(each) is None]
    # Keras looks once whether it has TensorFlow: now, while it has not.
    _ = import_module("keras.src.utils.module_utils").tensorflow.available
    finder = _Finder(missing)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [each for each in sys.modules if each.partition(".")[0] in missing]:
            del sys.modules[name]
