"""The import hook that makes tilec a backend of an installed Keras, whose files stay as they are.

A finder stands before all others. The modules of Keras that choose a backend get one more arm when
they are compiled, and are neither read from nor written to Keras's own ``.pyc`` files.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Final

from tilec.errors import UserError
from tilec.keras.versions import ARMS, BACKEND, DYNAMIC, SUPPORTED, Arm, teach_dynamic_backend
from tilec.options import keras_backend


def activate() -> None:
    """Make tilec the backend of Keras in this process, unless ``KERAS_BACKEND`` names another.

    Raises:
        UserError: Keras has been imported already, with another backend.
    """
    if keras_backend() not in (None, BACKEND):
        return
    if any(isinstance(each, Finder) for each in sys.meta_path):
        return
    if "keras" in sys.modules:
        raise UserError(
            "Keras has been imported before tilec.keras",
            help="import tilec.keras first, or name the backend that runs in KERAS_BACKEND",
        )
    os.environ["KERAS_BACKEND"] = BACKEND  # processes that this one starts shall have it, too
    sys.meta_path.insert(0, Finder())


class Finder(MetaPathFinder):
    """Finds the modules of Keras that need to know tilec."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of such a module, with a loader of its own; None for any other."""
        loader = _LOADERS.get(fullname)
        if loader is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        spec.loader = loader(fullname, spec.loader.path)
        return spec


class GraftingLoader(SourceFileLoader):
    """Loads a module and gives its choice of backends one more arm."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the changed source; no ``.pyc`` file is touched."""
        tree = ast.parse(self.get_data(self.path), self.path)
        _graft(tree, ARMS[fullname], fullname)
        return compile(tree, self.path, "exec", dont_inherit=True)


class DynamicBackendLoader(SourceFileLoader):
    """Loads the module of ``DynamicBackend`` and lets that know tilec."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then change the class."""
        super().exec_module(module)
        teach_dynamic_backend(module)


_LOADERS: Final[dict[str, type[SourceFileLoader]]] = {
    **dict.fromkeys(ARMS, GraftingLoader),
    DYNAMIC: DynamicBackendLoader,
}


def _graft(tree: ast.Module, arm: Arm, name: str) -> None:
    chains = [
        (at, each)
        for at, each in enumerate(tree.body)
        if isinstance(each, ast.If) and set(arm.others) <= set(_named(each))
    ]
    if len(chains) != 1:
        raise ImportError(
            f"tilec knows Keras {SUPPORTED}, but {name} of the installed version chooses its "
            f"backend in {len(chains)} places, not in one",
            name=name,
        )
    at, chain = chains[0]
    test: Any = chain.test
    compared = ast.Compare(test.left, [ast.Eq()], [ast.Constant(BACKEND)])
    grafted = ast.If(compared, ast.parse(arm.code).body, [chain])
    for node in ast.walk(grafted):
        if node is not chain and not hasattr(node, "lineno"):
            ast.copy_location(node, chain)
    for statement in grafted.body:
        for node in ast.walk(statement):
            ast.copy_location(node, chain)
    tree.body[at] = grafted


def _named(chain: ast.If) -> Iterator[str]:
    """The names that a chain of ``if`` and ``elif`` compares a call of ``backend`` with."""
    while True:
        match chain.test:
            case ast.Compare(
                left=ast.Call(func=ast.Name("backend") | ast.Attribute(attr="backend")),
                ops=[ast.Eq()],
                comparators=[ast.Constant(str(found))],
            ):
                yield found
            case _:
                return
        match chain.orelse:
            case [ast.If() as following]:
                chain = following
            case _:
                return


activate()
