"""``progress``: being told how far the compiler is, by whoever compiles for long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias

Show: TypeAlias = "Callable[[str, int, int], object]"
"""Takes what is done now, how much of it is done, and of how much."""


def _nobody(step: str, done: int, total: int) -> None:
    """Nobody asked."""


_told: Final[ContextVar[Show]] = ContextVar("told", default=_nobody)


@contextmanager
def progress(show: Show) -> Generator[None, None, None]:
    """Have a function told how far compiling is, for all programs that are compiled meanwhile.

    It is called in the thread that compiles, some hundreds of times for a large network, and not at
    all for code that comes from memory or from the disk.

    Args:
        show: Takes the name of a step, how much of it is done, and of how much.

    Example:
        >>> import tilec
        >>> seen = []
        >>> double = tilec.function("B = A + A")
        >>> with progress(lambda *step: seen.append(step)):
        ...     _ = double.compile(tilec.Spec((1237,)), options=tilec.Options(debug=True))
        >>> seen
        [('kernels', 0, 1), ('kernels', 1, 1), ('machine code', 0, 1), ('machine code', 1, 1)]
    """
    token = _told.set(show)
    try:
        yield
    finally:
        _told.reset(token)


def report(step: str, done: int, total: int) -> None:
    """Tell whoever asked."""
    _told.get()(step, done, total)
