"""Lints of a function, with the sizes of a recipe or with some that are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilec.lang.lint import lint
from tilec.program.boundary import compiler_lock
from tilec.program.compile import bound_program

if TYPE_CHECKING:
    from tilec.lang.finding import Lint
    from tilec.program.frontend import Frontend
    from tilec.program.recipe import Recipe


def lints(frontend: Frontend, recipe: Recipe | None) -> tuple[Lint, ...]:
    """The findings, in the order of the text; without a recipe for several made-up sizes."""
    with compiler_lock():
        if recipe is None:
            return lint(frontend.checked)
        return lint(frontend.checked, bound_program(frontend, recipe), recipe.values())
