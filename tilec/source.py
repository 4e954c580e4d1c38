"""Source texts and the spans that every node of the compiler points back to."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field

from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One Tile text and the name under which messages show it.

    Attributes:
        name: A path, or a name in angle brackets for text that came from no file.
        text: The whole text, unchanged.
    """

    name: str
    text: str
    _line_starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [0]
        starts.extend(at + 1 for at, char in enumerate(self.text) if char == "\n")
        object.__setattr__(self, "_line_starts", tuple(starts))

    def location(self, offset: int) -> tuple[int, int]:
        """Line and column, both counted from 1, of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of line ``number`` (from 1) without its line end."""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] - 1 if number < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The characters ``start`` to ``end`` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """Line of the first character, from 1."""
        return self.source.location(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the first character, from 1."""
        return self.source.location(self.start)[1]

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.location(self.start)
        return f"{self.source.name}:{line}:{column}"

    def to(self, other: Span) -> Span:
        """The smallest span that covers this one and ``other``."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))

    def excerpt(self) -> str:
        """The source line with carets under the span; a longer span is cut at the line's end."""
        line, column = self.source.location(self.start)
        text = self.source.line(line)
        width = max(1, min(self.end - self.start, len(text) - column + 1))
        # Tabs are copied so that the carets stand under the text in any terminal.
        pad = "".join("\t" if char == "\t" else " " for char in text[: column - 1])
        gutter = " " * len(str(line))
        return f"  {line} | {text}\n  {gutter} | {pad}{'^' * width}"
