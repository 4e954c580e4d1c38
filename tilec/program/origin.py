"""What a derived function remembers of the one it was derived from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tilec.errors import GradientError
from tilec.program.recipe import Argument
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a derivative comes from.

    Attributes:
        floats: The inputs that it was taken for; they have to be floats.
        check: Holds the derivative against finite differences, on small arrays that are like the
            arguments. It is called when code is made with ``Options(debug=True)``.
    """

    floats: frozenset[str]
    check: Callable[[Sequence[Argument]], None]

    def accept(self, arguments: Sequence[Argument]) -> None:
        """Refuse integers where a derivative was taken as if they were floats.

        Raises:
            GradientError: there is one.
        """
        for given in arguments:
            if given.name in self.floats and not given.spec.dtype.is_float:
                raise GradientError(
                    f"{given.name} is {given.spec.dtype}, but the derivative was taken for it as a "
                    "float",
                    help=f"pass floats, leave {given.name} out of wrt, or name its dtype in the "
                    "header before",
                )
