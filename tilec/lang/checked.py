"""A function that was found right, with the facts that lowering and callers need."""

from __future__ import annotations

from collections.abc import Mapping

from tilec.dtypes import DType
from tilec.lang import ast
from tilec.lang.kinds import Kind
from tilec.records import dataclass
from tilec.source import Span


@dataclass(frozen=True, slots=True)
class InputFact:
    """An input of a checked function.

    Attributes:
        name: As in the header.
        rank: Number of axes; None when any rank is accepted.
        dims: The header's entry for each axis, None when the header fixes no rank.
        dtype: Element type that the header demands, if it does.
        is_bind_scalar: True when the value is used as a size or in an index expression, so that
            the function is specialised for it.
        span: The entry of the header.
    """

    name: str
    rank: int | None
    dims: tuple[ast.Name | ast.IntLiteral, ...] | None
    dtype: DType | None
    is_bind_scalar: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Checked:
    """A function in which everything that can be known without sizes is right.

    Attributes:
        function: The syntax tree.
        inputs: One fact per input, in order.
        size_names: The sizes that the header names, in order.
        bind_scalars: Names of the inputs whose value is needed to bind sizes.
        output_kinds: Kind of each output.
        folded_from: For each output, the inputs from whose numbers it can be computed when sizes
            are bound; None when it is computed at run time.
        callees: The functions of the file that this one calls, by name.
        depth: Length of the longest chain of calls that starts here; 1 when nothing is called.
    """

    function: ast.Function
    inputs: tuple[InputFact, ...]
    size_names: tuple[str, ...]
    bind_scalars: frozenset[str]
    output_kinds: tuple[Kind, ...]
    folded_from: tuple[frozenset[str] | None, ...]
    callees: Mapping[str, Checked]
    depth: int

    @property
    def name(self) -> str | None:
        """Name of the function; None where the text gives none."""
        return self.function.name
