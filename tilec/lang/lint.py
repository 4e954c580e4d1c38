"""Lints: programs that are legal and probably not what was meant.

Some show in the text alone, others only when sizes are bound; those name a counterexample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tilec.lang.checked import Checked
from tilec.lang.finding import Lint
from tilec.lang.lint_domain import domain_lints
from tilec.lang.lint_sizes import size_lints
from tilec.lang.lint_text import text_lints
from tilec.lang.samples import Sample, sample_sizes, samples
from tilec.tensor.ir import Program

__all__ = ["Lint", "Sample", "lint", "sample_sizes"]

_SAMPLES: Final = 4

_ALWAYS: Final = frozenset({"unwritten-output", "unread-input"})
"""Lints that made-up sizes cause as well: a filter that is larger than its image reads nothing."""


def lint(
    checked: Checked,
    program: Program | None = None,
    values: Mapping[str, int | float] | None = None,
) -> tuple[Lint, ...]:
    """Look for suspicious spots.

    Args:
        checked: The function.
        program: The function bound to sizes, as ``lower`` returned it. None where no sizes are
            given: then some are made up, and elements that are left out are told only if they are
            left out for all of them.
        values: The numbers of the bind scalars that it was bound to.

    Returns:
        The findings in order of the text.
    """
    found = list(text_lints(checked))
    if program is not None:
        found += _bound(checked, program, values or {})
    else:
        found += _tried(checked)
    found.sort(key=lambda each: (each.span.start, each.span.end, each.id, each.message))
    return tuple(dict.fromkeys(found))


def _bound(checked: Checked, program: Program, values: Mapping[str, int | float]) -> Iterable[Lint]:
    yield from size_lints(checked, program, values)
    yield from domain_lints(checked, program)


def _tried(checked: Checked) -> Iterable[Lint]:
    """The lints of several samples, each with the counterexample found first."""
    rounds = [
        {(each.id, each.span): each for each in _bound(checked, sample.program, sample.values)}
        for sample in samples(checked, _SAMPLES)
    ]
    first: dict[tuple[str, object], Lint] = {}
    for found in rounds:
        for key, each in found.items():
            first.setdefault(key, each)
    for key, each in first.items():
        if each.id not in _ALWAYS or all(key in found for found in rounds):
            yield each
