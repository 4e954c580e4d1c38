"""The kernel IR: loops, buffers and scalar or vector expressions; how a thing is computed.

Target-neutral: a backend only prints it. All addresses are element offsets in i64 from the start
of a buffer, all loop bounds are explicit, and every access stays inside ``Buffer.low`` to
``Buffer.high``: ``kernel/verify.py`` checks it.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from tilec.dtypes import BOOL, I64, DType
from tilec.records import dataclass


class Scope(Enum):
    """Where a buffer lives."""

    GLOBAL = "global"  # argument of the kernel
    CACHE = "cache"  # scratch memory of one call, e.g. a packed panel
    REGISTER = "register"  # accumulators; indexed by constants once loops are unrolled
    LOCAL = "local"  # shared by the items of a group, undefined when the group begins


class LoopKind(Enum):
    """How a loop runs.

    Scratch buffers that one parallel loop names, and nothing outside it, are private to its
    threads and undefined when an iteration begins; so are register buffers of several parallel
    loops. Other scratch buffers are shared, as arguments are. Of nested parallel loops the
    outermost is divided among threads; a device that runs items takes all of them apart.

    *Groups of items*, for devices. Nested ``GROUP`` loops have nothing inside but nested ``ITEM``
    loops, all with constant bounds. Each iteration of the former is a group, and its items run side
    by side, each with register buffers of its own. The items of a group share its local buffers;
    what one stores there another sees after a ``Barrier``. Groups know nothing of each other.
    """

    SERIAL = "serial"
    PARALLEL = "parallel"  # iterations are independent and may run on any thread
    UNROLL = "unroll"  # constant bounds; the body is repeated
    VECTOR = "vector"  # iterations become lanes (see ``lower/vectorise.py``)
    GROUP = "group"  # iterations are groups of items
    ITEM = "item"  # iterations are the items of a group


@dataclass(frozen=True, slots=True)
class VType:
    """A scalar (one lane) or vector of a dtype."""

    dtype: DType
    lanes: int = 1

    def __str__(self) -> str:
        return self.dtype.name if self.lanes == 1 else f"{self.dtype.name}x{self.lanes}"


INDEX = VType(I64)
CONDITION = VType(BOOL)


@dataclass(frozen=True, slots=True)
class Buffer:
    """A typed piece of memory; offsets ``low <= offset < high`` may be accessed.

    ``low`` is negative only for arguments with negative strides, whose pointer is that of their
    first element. The elements of a register buffer may be vectors, those of others are scalars.
    Several scalars that lie side by side in a register buffer may be accessed as one vector.
    """

    name: str
    type: VType
    high: int
    low: int = 0
    scope: Scope = Scope.GLOBAL
    writable: bool = False

    @property
    def bytes(self) -> int:
        """Size of all its scalars."""
        return (self.high - self.low) * self.type.dtype.bytes


@dataclass(frozen=True, slots=True)
class Const:
    """A constant; with several lanes, the same in each."""

    value: bool | int | float
    type: VType


@dataclass(frozen=True, slots=True)
class Var:
    """A loop variable or a value named by ``Let``."""

    name: str
    type: VType = INDEX


@dataclass(frozen=True, slots=True)
class Load:
    """Read from a buffer.

    ``index`` is a scalar i64; lane l reads ``index + l * stride``. With a vector ``index`` (one
    i64 per lane) each lane has its own offset and ``stride`` is unused. Lanes whose ``mask`` is
    false read nothing and hold 0.
    """

    buffer: str
    index: Expr
    type: VType
    stride: int = 1
    mask: Expr | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation lane by lane.

    ``op`` is a name from ``tilec.operations`` or one of ``fma`` (a*b+c, rounded once where the
    hardware can), ``floor_div`` and ``floor_mod`` (of i64, positive constant divisor). Operands
    have equal types (the test of ``cond`` is bool; the shift count has the type of the value);
    ``cast`` converts to ``type``.
    """

    op: str
    args: tuple[Expr, ...]
    type: VType


@dataclass(frozen=True, slots=True)
class Splat:
    """A scalar in every lane."""

    arg: Expr
    type: VType


@dataclass(frozen=True, slots=True)
class Ramp:
    """``start + l * stride`` in lane l; ``start`` is a scalar of the same dtype."""

    start: Expr
    stride: int
    type: VType


@dataclass(frozen=True, slots=True)
class Fold:
    """Combines all lanes of ``arg`` by ``op`` (add, mul, max, min; pairwise) into a scalar."""

    op: str
    arg: Expr
    type: VType


@dataclass(frozen=True, slots=True)
class Zip:
    """Lanes of two vectors in turn: those of the lower halves, or those of the upper halves."""

    first: Expr
    second: Expr
    upper: bool
    type: VType


Expr: TypeAlias = Const | Var | Load | Apply | Splat | Ramp | Fold | Zip


@dataclass(frozen=True, slots=True)
class For:
    """``for var in range(start, stop, step)``; ``step`` is positive."""

    var: str
    start: Expr
    stop: Expr
    body: tuple[Stmt, ...]
    step: int = 1
    kind: LoopKind = LoopKind.SERIAL


@dataclass(frozen=True, slots=True)
class If:
    """A guard; the condition is a scalar bool."""

    condition: Expr
    then: tuple[Stmt, ...]
    otherwise: tuple[Stmt, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """Write to a buffer; addressing and mask as in ``Load``.

    ``nontemporal`` is a hint that nothing will read the elements soon: they need not go through the
    caches. Only consecutive elements of an argument that the kernel does not read have it.
    """

    buffer: str
    index: Expr
    value: Expr
    stride: int = 1
    mask: Expr | None = None
    nontemporal: bool = False


@dataclass(frozen=True, slots=True)
class Let:
    """Names a value for the statements that follow in the same block."""

    var: Var
    value: Expr


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A hint that an element will be read soon, or written where ``to_write`` says so.

    ``index`` may lie outside the buffer.
    """

    buffer: str
    index: Expr
    to_write: bool = False


@dataclass(frozen=True, slots=True)
class Barrier:
    """All items of a group arrive here before one of them goes on.

    It stands in loops that take the same iterations for all items, and in no ``If``.
    """


Stmt: TypeAlias = For | If | Store | Let | Prefetch | Barrier


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: arguments, scratch buffers, statements.

    ``header`` are the comment lines under which the kernel is printed in every form: contraction,
    sizes, schedule.
    """

    name: str
    header: tuple[str, ...]
    params: tuple[Buffer, ...]
    locals: tuple[Buffer, ...]
    body: tuple[Stmt, ...]

    def buffers(self) -> dict[str, Buffer]:
        """Arguments and scratch buffers by name."""
        return {buffer.name: buffer for buffer in (*self.params, *self.locals)}


@dataclass(frozen=True, slots=True)
class Temporary:
    """An intermediate tensor at a byte offset in the workspace of a call."""

    buffer: Buffer
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class View:
    """Elements of another buffer of the module, from an element on.

    Attributes:
        buffer: What kernels take.
        whole: Name of the other buffer.
        offset: The element of it that is the first one.
        run: Elements that lie in one piece; 0 where all do.
        pitch: Elements from the beginning of a run to that of the next; 0 where there is but one.
    """

    buffer: Buffer
    whole: str
    offset: int
    run: int = 0
    pitch: int = 0

    @property
    def bytes(self) -> int:
        """Size of its elements, without what lies between them."""
        if not self.pitch:
            return self.buffer.bytes
        return -(-self.buffer.high // self.pitch) * self.run * self.buffer.type.dtype.bytes

    def is_apart(self, other: View) -> bool:
        """Whether runs of two views of one buffer go past each other."""
        if not self.pitch or self.pitch != other.pitch or self.whole != other.whole:
            return False
        one, two = self.offset % self.pitch, other.offset % self.pitch
        return one + self.run <= two or two + other.run <= one


@dataclass(frozen=True, slots=True)
class ConstantData:
    """A tensor whose little-endian bytes are part of the code."""

    buffer: Buffer
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """Runs ``kernel`` with the module's buffers ``args`` as its parameters, in order.

    ``title`` is what the call is known by where several share a kernel; else it is empty.
    """

    kernel: str
    args: tuple[str, ...]
    title: str = ""

    @property
    def name(self) -> str:
        """What schedules and reports call it."""
        return self.title or self.kernel


@dataclass(frozen=True, slots=True)
class Module:
    """Everything that one foreign call runs: kernels in order over shared buffers.

    The entry point receives one pointer per input, one per output and one to ``workspace_bytes``
    of scratch memory (64-byte aligned), and makes ``calls`` in order. ``clock`` names an output of
    i64, into which it writes the ticks of the processor's clock before the first call and after
    each, when somebody measures.
    """

    name: str
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    temporaries: tuple[Temporary, ...]
    constants: tuple[ConstantData, ...]
    workspace_bytes: int
    kernels: tuple[Kernel, ...]
    calls: tuple[Call, ...]
    clock: str | None = None
    views: tuple[View, ...] = ()

    def called(self) -> dict[str, Kernel]:
        """The kernel of each call, by the names of the calls."""
        kernels = {kernel.name: kernel for kernel in self.kernels}
        return {call.name: kernels[call.kernel] for call in self.calls}

    def buffers(self) -> dict[str, Buffer]:
        """Every buffer that a call may name."""
        found = {buffer.name: buffer for buffer in (*self.inputs, *self.outputs)}
        found.update((held.buffer.name, held.buffer) for held in self.temporaries)
        found.update((held.buffer.name, held.buffer) for held in self.constants)
        found.update((view.buffer.name, view.buffer) for view in self.views)
        return found
