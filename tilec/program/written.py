"""Recipes as plain values: in the files of executables, and on the way to another process."""

from __future__ import annotations

from typing import cast

from tilec.errors import CacheError, UserError
from tilec.options import Options
from tilec.program.code import spec_from_manifest, spec_to_manifest
from tilec.program.frontend import Frontend, frontend
from tilec.program.recipe import Argument, Recipe
from tilec.runtime.container import Manifest, field, objects, strings
from tilec.schedule.values import Schedule
from tilec.source import Source


def recipe_to_manifest(recipe: Recipe) -> Manifest:
    """The text, the arguments, the options that change the code, and the schedule."""
    return {
        "text": recipe.source.text,
        "text_name": recipe.source.name,
        "function": recipe.function or "",
        "arguments": [_argument_to_manifest(each) for each in recipe.arguments],
        "options": {
            "target": recipe.options.target,
            "disable": list(recipe.options.disable),
            "cpu": recipe.options.cpu or "",
            "gpu": recipe.options.gpu or "",
            "group_items": recipe.options.group_items or 0,
            "workspace_bytes": recipe.options.workspace_bytes,
            "conv": recipe.options.conv,
            "tuned": recipe.options.tuned,
        },
        "schedule": str(recipe.schedule or ""),
    }


def recipe_from_manifest(manifest: Manifest) -> tuple[Frontend, Recipe]:
    """The recipe that ``recipe_to_manifest`` wrote, and its text.

    Raises:
        CacheError: it is something else.
        UserError: the text is wrong.
    """
    options = cast("Manifest", field(manifest, "options", dict))
    name = field(manifest, "function", str) or None
    text = frontend(Source(field(manifest, "text_name", str), field(manifest, "text", str)), name)
    arguments = tuple(_argument(item) for item in objects(manifest, "arguments"))
    wanted = tuple((each.name, each.specialised) for each in text.header.inputs)
    if wanted != tuple((given.name, given.value is not None) for given in arguments):
        raise CacheError("its arguments are not those of its text")
    return text, Recipe(
        text.source,
        name,
        arguments,
        Options(
            target=field(options, "target", str),
            disable=strings(options, "disable"),
            cpu=field(options, "cpu", str) or None,
            gpu=field(options, "gpu", str) or None,
            group_items=field(options, "group_items", int) or None,
            workspace_bytes=field(options, "workspace_bytes", int),
            conv=field(options, "conv", str),
            tuned=field(options, "tuned", bool),
        ),
        _schedule(field(manifest, "schedule", str)),
    )


def _schedule(text: str) -> Schedule | None:
    try:
        return Schedule.parse(text) if text else None
    except UserError as error:
        raise CacheError(error.message) from error


def _argument_to_manifest(given: Argument) -> Manifest:
    return {
        "name": given.name,
        "value": given.value,
        "bound": given.bound,
        **spec_to_manifest(given.spec),
    }


def _argument(item: Manifest) -> Argument:
    value = item.get("value")
    if not isinstance(value, bool | int | float | None):
        raise CacheError("it has an argument with a wrong value")
    try:
        spec = spec_from_manifest(item)
    except CacheError:
        raise
    except UserError as error:
        raise CacheError(error.message) from error
    return Argument(field(item, "name", str), spec, value, field(item, "bound", bool))
