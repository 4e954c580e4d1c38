"""One finding of a lint."""

from __future__ import annotations

from tilec.records import dataclass
from tilec.source import Span


@dataclass(frozen=True, slots=True)
class Lint:
    """A suspicious spot.

    Attributes:
        id: Stable name of the lint, e.g. ``untied-index``.
        message: One line, with names, sizes and, where there is one, the counterexample.
        span: Where in the text.
        help: One line that says what to do.
    """

    id: str
    message: str
    span: Span
    help: str

    def render(self) -> str:
        """Position, message, excerpt with caret, help."""
        return "\n".join(
            (
                f"{self.span}: warning: {self.message} [{self.id}]",
                self.span.excerpt(),
                f"  help: {self.help}",
            )
        )

    def __str__(self) -> str:
        return self.render()
