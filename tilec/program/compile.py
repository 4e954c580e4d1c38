"""Code for a recipe: from memory, from the disk cache, or from the compiler."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tilec.errors import CacheError, GroupError, InternalError, UserError
from tilec.program import findings
from tilec.program.boundary import compiler_lock
from tilec.program.code import Compiled, compiled_from_entry, compiled_to_entry
from tilec.runtime.cache import DiskCache, disk_cache
from tilec.runtime.dispatch import Recent

if TYPE_CHECKING:
    from tilec.program.frontend import Frontend
    from tilec.program.pipeline import Built, Hook, Observer
    from tilec.program.recipe import Recipe
    from tilec.runtime.backend import Backend
    from tilec.tensor.ir import Program

_KEPT: Final = 256
"""How much code stays loaded for functions that are made again from the same text."""

_loaded: Final[Recent[Compiled]] = Recent(_KEPT)


def compiled(
    frontend: Frontend, recipe: Recipe, backend: Backend, observe: Observer | None
) -> Compiled:
    """The code of a recipe.

    Args:
        frontend: The function.
        recipe: What to compile it for.
        backend: What to compile it with.
        observe: Told about each pass. Whoever observes, or debugs, wants to see the compiler at
            work, so nothing is taken from memory or disk then.
    """
    key = recipe.key(backend)
    cache = disk_cache()
    found = None
    if observe is None and not recipe.options.debug:
        found = _loaded.get(key)
        if found is None or not findings.hold(found.said, recipe.options):
            found = _from_disk(cache, key, recipe, backend)
    if found is None:
        found = compile_anew(frontend, recipe, backend, observe)
        if cache is not None:
            cache.put(key, *compiled_to_entry(found))
    _loaded.put(key, found)
    return found


def compile_anew(
    frontend: Frontend, recipe: Recipe, backend: Backend, observe: Observer | None
) -> Compiled:
    """The code of a recipe, by running the compiler."""
    from tilec.program import pipeline  # loads every pass, and isl

    with compiler_lock():
        hook = _hook(recipe, observe)
        while True:
            made = pipeline.build(frontend, recipe, hook)
            try:
                return pipeline.generate(made, recipe, backend, hook)
            except GroupError as error:
                # What a kernel takes of a device is known when its driver has compiled it.
                options = recipe.options
                if error.most < 1 or options.group_items == error.most:
                    raise
                recipe = replace(recipe, options=replace(options, group_items=error.most))


def built(frontend: Frontend, recipe: Recipe) -> Built:
    """Every form of a function before code, to be shown."""
    from tilec.program import pipeline

    with compiler_lock():
        return pipeline.build(frontend, recipe, _hook(recipe, None))


def bound_program(frontend: Frontend, recipe: Recipe) -> Program:
    """The tensor program for the sizes of a recipe, as it was written: no pass has run."""
    from tilec.program import pipeline

    with compiler_lock():
        return pipeline.bind(frontend, recipe, _hook(recipe, None))


def _from_disk(
    cache: DiskCache | None, key: str, recipe: Recipe, backend: Backend
) -> Compiled | None:
    contents = None if cache is None else cache.get(key)
    if cache is None or contents is None:
        return None
    try:
        found = compiled_from_entry(contents, backend, recipe.options)
        if not findings.hold(found.said, recipe.options):
            return None  # the tuner has been at work since; the entry will be replaced
        if recipe.options.cpu is None:
            found.main.runner()
    except CacheError as error:
        cache.drop(key, error.message)
        return None
    except (InternalError, UserError) as error:
        cache.drop(key, f"its code cannot be loaded: {error.message}")
        return None
    return found


def _hook(recipe: Recipe, observe: Observer | None) -> Hook:
    from tilec.program.pipeline import Hook

    return Hook(observe or (lambda event: None), recipe.options.debug)
