"""``tune``: looks for faster schedules than the cost model's, by running them on this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tilec.errors import ArgumentError
from tilec.options import Options
from tilec.program.boundary import public
from tilec.program.tuned import Progress, Tuning

if TYPE_CHECKING:
    from tilec.program.function import Function
    from tilec.program.recipe import Recipe

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_UNITS: Final = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@public
def tune(
    function: Function,
    *specs: object,
    budget: float | str = 60.0,
    seed: int = 0,
    options: Options | None = None,
    keep: bool = True,
    progress: Progress = lambda kernel, tried, share, used: None,
    **named: object,
) -> Tuning:
    """Look for the fastest schedule of each kernel, by running them on this machine.

    Nothing else should run meanwhile. Schedules are compiled and run in a child process, on made-up
    numbers, and their results are compared with those of the cost model's choice. What is found is
    kept for this machine; compilations and calls find it from then on, unless ``Options.tuned`` is
    False. The cost model's choice stays where nothing is faster beyond doubt.

    Args:
        function: What to tune.
        *specs: For each input an array, a ``Spec`` or a number, as for ``Function.compile``.
        budget: Seconds, or a text such as ``"60s"`` or ``"5m"``, for all kernels together.
        seed: Of the made-up numbers.
        options: The options; by default those of the environment.
        keep: False keeps nothing.
        progress: Told about the search.
        **named: Inputs by name.

    Raises:
        ArgumentError: the budget cannot be read, or the target has no schedules.
        TargetError: no kernel can be run in a child process.
        KeyboardInterrupt: someone does not want to wait; what was found until then is kept.
        UserError: the arguments do not fit.
    """
    from tilec.program.tuner import Tuner  # loads the compiler

    seconds = duration(budget)
    recipe = function.recipe(*specs, options=options, **named)
    _check(recipe)
    found = Tuner(function.parts.text, recipe, seconds, seed, keep, progress).run()
    if found.kept:
        function.forget()
    return found


def duration(given: float | str) -> float:
    """Seconds, from a number or a text such as ``90``, ``60s``, ``5m`` or ``1h``.

    Raises:
        ArgumentError: it cannot be read, or is not positive.
    """
    seconds = 0.0
    if isinstance(given, str):
        match = _DURATION.fullmatch(given.strip())
        if match is not None:
            seconds = float(match.group(1)) * _UNITS[match.group(2)]
    elif type(given) in (int, float):
        seconds = float(given)
    if not 0 < seconds < float("inf"):
        raise ArgumentError(
            f"the budget {given!r} is no time", help="write seconds, or a text like '60s' or '5m'"
        )
    return seconds


def _check(recipe: Recipe) -> None:
    if recipe.options.target == "reference":
        raise ArgumentError("the reference evaluator has no kernels to tune")
    if recipe.options.cpu is not None:
        raise ArgumentError(
            f"code for the CPU {recipe.options.cpu!r} cannot run here, so it cannot be tuned",
            help="tune without the option cpu",
        )
