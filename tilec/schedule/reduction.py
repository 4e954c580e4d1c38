"""Reductions that are bound by reading: what matrix-vector products and column sums have in common.

Such a reduction touches each element of its largest operand once, or a few times. All its time is
that of reading it, if the runs of consecutive elements are long, several are under way at once, and
nothing else is loaded as often.
"""

from __future__ import annotations

from math import prod

from tilec.records import dataclass
from tilec.tensor.forms import Axis, Form


@dataclass(frozen=True, slots=True)
class Access:
    """One array that is read at each index point.

    Attributes:
        form: Offset of the element.
        bytes: Size of an element.
    """

    form: Form
    bytes: int

    def moves(self, name: str) -> bool:
        """Whether the element depends on the loop."""
        return self.form.coefficient(name) != 0


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction over rectangular loops with affine constraints.

    Attributes:
        axes: Output loops, outermost first.
        reductions: Reduction loops, outermost first.
        reads: What is read at a point; not empty.
        store: Offset of the output element.
        constraints: Forms that must be >= 0.
        lane_bytes: Widest type that a point is computed in.
        operations: Arithmetic of a point, the combination included.
        sums: Whether partial sums of floats go to totals of twice the precision.
    """

    axes: tuple[Axis, ...]
    reductions: tuple[Axis, ...]
    reads: tuple[Access, ...]
    store: Form
    constraints: tuple[Form, ...]
    lane_bytes: int
    operations: int
    cascades: bool

    @property
    def points(self) -> int:
        """Index points."""
        return prod(axis.extent for axis in (*self.axes, *self.reductions))

    @property
    def big(self) -> Access:
        """The operand with the most elements."""
        return max(self.reads, key=self.elements)

    def elements(self, access: Access) -> int:
        """Elements of an operand that are read, at most."""
        axes = [axis for axis in (*self.axes, *self.reductions) if access.moves(axis.name)]
        low, high = access.form.range({axis.name: (axis.low, axis.high - 1) for axis in axes})
        return min(prod(axis.extent for axis in axes), high - low + 1)

    @property
    def bytes(self) -> int:
        """Bytes that are read, each once."""
        return sum(self.elements(access) * access.bytes for access in self.reads)

    def axis(self, name: str) -> Axis:
        """The loop of a name."""
        return next(axis for axis in (*self.axes, *self.reductions) if axis.name == name)

    def is_output(self, name: str) -> bool:
        """Whether a loop is one of the output."""
        return any(axis.name == name for axis in self.axes)
