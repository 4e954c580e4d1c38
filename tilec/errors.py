"""The one tree of exceptions that callers of tilec can meet.

``UserError`` and below say that the program or the call is at fault and what to change;
``InternalError`` says that tilec is. Several independent mistakes are raised together: the first
as the exception itself, the others in its ``also``.
"""

from __future__ import annotations

from dataclasses import field

from tilec.records import dataclass
from tilec.source import Span


class TilecError(Exception):
    """Base of everything that tilec raises.

    Attributes:
        message: One line, without position.
        span: Where in the Tile text, or None when the fault lies in a call or on the machine.
        help: At most one line that says what to do.
        also: Further independent errors found in the same pass.
    """

    def __init__(
        self,
        message: str,
        span: Span | None = None,
        *,
        help: str | None = None,
        also: tuple[TilecError, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.help = help
        self.also = also

    def render(self) -> str:
        """This error alone: position, message, excerpt with caret, help."""
        where = "" if self.span is None else f"{self.span}: "
        lines = [f"{where}{self.message}"]
        if self.span is not None:
            lines.append(self.span.excerpt())
        if self.help is not None:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)

    def all(self) -> tuple[TilecError, ...]:
        """This error and those raised with it, in order of position."""
        return (self, *self.also)

    def __str__(self) -> str:
        rendered = [self.render()]
        rendered.extend(f"{type(error).__name__}: {error.render()}" for error in self.also)
        return "\n".join(rendered)


class UserError(TilecError):
    """The program or the call is wrong."""


class TileSyntaxError(UserError):
    """The text is not Tile."""


class TileTypeError(UserError):
    """A dtype, a rank or a kind of value does not fit."""


class NameResolutionError(UserError):
    """A name is unknown, or defined twice."""


class ShapeError(UserError):
    """Sizes of tensors do not fit together."""


class BoundsError(UserError):
    """An index domain is empty, unbounded, or writes an element twice."""


class ArgumentError(UserError):
    """A function was called with arguments that do not fit its header."""


class LimitError(UserError):
    """The program exceeds a limit on nesting, size or compile work."""


class GradientError(UserError):
    """The program has no derivative there."""


class ScheduleError(UserError):
    """A schedule is illegal for this kernel.

    Attributes:
        kernel: The kernel that cannot follow its schedule; None where the schedule cannot be read
            or is for no kernel.
    """

    kernel: str | None = None

    @classmethod
    def illegal(cls, kernel: str, wanted: object, reason: str) -> ScheduleError:
        """The error that ``kernel`` cannot follow the schedule ``wanted``."""
        error = cls(
            f"the schedule of {kernel} is illegal: {reason}", help=f"the schedule is '{wanted}'"
        )
        error.kernel = kernel
        return error


class TargetError(UserError):
    """A device or backend is missing or lacks an ability."""


class OutOfMemoryError(TargetError):
    """A device has no room for what was asked of it.

    Attributes:
        request_bytes: What was asked for at last.
        limit_bytes: What the device, or ``TILEC_DEVICE_BYTES``, allows.
    """

    request_bytes: int = 0
    limit_bytes: int = 0

    @classmethod
    def on(
        cls, device: str, request: int, used: int, limit: int, why: str = ""
    ) -> OutOfMemoryError:
        """The error that ``device``, of whose limit some is used, does not give what is asked."""
        reason = f" ({why})" if why else ""
        error = cls(
            f"{device} has no room for {request} bytes: "
            f"{used} of at most {limit} are taken{reason}",
            help="close arrays that are no longer needed, or divide the work",
        )
        error.request_bytes, error.limit_bytes = request, limit
        return error


class GroupError(TargetError):
    """A device takes fewer items in the groups of a kernel than it takes in general.

    Attributes:
        most: How many it takes.
    """

    def __init__(self, message: str, most: int) -> None:
        super().__init__(message, help=f"pass Options(group_items={most})")
        self.most = most


class CacheError(UserError):
    """The disk cache was asked for something it cannot do."""


class InternalError(TilecError):
    """A bug in tilec. The message carries the version and how to report it."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(
            f"internal error: {message}",
            span,
            help="this is a bug in tilec; please report it with the Tile text and the sizes",
        )


class TilecWarning(UserWarning):
    """Base of the warnings that tilec issues, so that they can be filtered."""


@dataclass(slots=True)
class Collector:
    """Gathers independent errors of one pass, so that they are reported together."""

    errors: list[TilecError] = field(default_factory=list[TilecError])

    def add(
        self,
        kind: type[UserError],
        message: str,
        span: Span | None,
        *,
        help: str | None = None,
    ) -> None:
        """Record one error and go on."""
        self.errors.append(kind(message, span, help=help))

    def raise_if_any(self) -> None:
        """Raise what was gathered, in order of position; do nothing when all is well."""
        if not self.errors:
            return
        ordered = sorted(self.errors, key=lambda e: -1 if e.span is None else e.span.start)
        first = ordered[0]
        first.also = tuple(ordered[1:])
        raise first
