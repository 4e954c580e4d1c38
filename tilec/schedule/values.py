"""Schedules as values: what kernels do with their loops, printed, parsed, stored, given back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Final, TypeAlias, TypeVar, cast

from tilec.errors import ScheduleError
from tilec.records import dataclass
from tilec.schedule.fourier import FourierPlan, parse_fourier
from tilec.schedule.grouped import Grouped, parse_grouped
from tilec.schedule.winograd import WinogradPlan, parse_winograd

SCHEDULE_LINE: Final = "schedule: "
"""How the line of a kernel's header begins that has its schedule."""

_NAME: Final = r"[A-Za-z_.][\w.']*"
_TILE: Final = re.compile(rf"tile ({_NAME}|-)=(\d+) ({_NAME})=(\d+)x(\d+)")
_PACK: Final = re.compile(rf"pack ({_NAME}(?:,{_NAME})?)( ahead)?")
_REDUCE: Final = re.compile(rf"reduce block (\d+)(?: of ({_NAME}))?")
_ROWS: Final = re.compile(r"row block (\d+)")
_PANELS: Final = re.compile(r"panel block (\d+)")
_TASKS: Final = re.compile(rf"(\d+) tasks over ({_NAME})")
_STREAM: Final = re.compile(rf"stream ({_NAME}|-)=(\d+) ({_NAME})=(\d+)")
_SHARE: Final = re.compile(rf"share ({_NAME})")
_SPAN: Final = re.compile(r"span (\d+)")
_COPIED: Final = "pack"
_PARTS: Final = re.compile(rf"(\d+) parts of ({_NAME})")
_TURN: Final = re.compile(rf"turn ({_NAME})")
_VECTOR: Final = re.compile(rf"vector ({_NAME})=(\d+)( reduction)?")
_PARALLEL: Final = re.compile(rf"parallel ({_NAME})")
_BLOCKS: Final = re.compile(r"blocks of (\d+) along axis (\d+)")
_REWRITTEN: Final = re.compile(r"by ([\w-]+)(?:, (.+))?")
_TILED_HELP: Final = (
    "a tile is written like 'tile i=14 j=2x16, pack j, reduce block 384, 2 tasks over j'"
)
_STREAM_HELP: Final = (
    "a stream is written like 'stream i=8 k=16, share j, pack, parallel i', "
    "or 'stream k=8 i=16, span 4096, 8 parts of k'"
)
_PLAIN_HELP: Final = "loops are written like 'vector j=16, parallel i', or 'scalar'"


@dataclass(frozen=True, slots=True)
class Tiled:
    """Schedule of a sum of products around a register tile.

    Attributes:
        vector: Output loop that becomes lanes.
        row: Output loop of the other operand that is unrolled with it; None for a single row.
        rows: Iterations of ``row`` held in registers.
        lanes: Elements of one vector register.
        vectors: Registers along ``vector``; a tile is ``rows`` x ``vectors * lanes`` elements.
        pack_vector: Copy the operand along ``vector`` into contiguous panels.
        pack_row: Copy the other operand into contiguous panels.
        reduce_block: Iterations of a reduction loop per pass; 0 takes all at once.
        row_block: Rows whose packed panels are kept at hand (in L2); 0 takes all.
        panel_block: Panels that are packed together, row by row; 0 packs each on its own.
        tasks: Independent pieces of the loop ``parallel``, one or more per thread.
        parallel: Output loop that is divided into tasks; None runs on one thread.
        ahead: The panels of the vector operand, a constant, exist before the call.
        turn: Output loop of unit stride along which results are stored by vectors, out of scratch
            memory; None stores them along ``vector``.
        reduce_loop: The reduction loop that is cut, with a pass for each iteration of the loops
            around it; None cuts the innermost one, with the others inside of each pass.
    """

    vector: str
    row: str | None
    rows: int
    lanes: int
    vectors: int
    pack_vector: bool = False
    pack_row: bool = False
    reduce_block: int = 0
    row_block: int = 0
    panel_block: int = 0
    tasks: int = 1
    parallel: str | None = None
    ahead: bool = False
    turn: str | None = None
    reduce_loop: str | None = None

    @property
    def width(self) -> int:
        """Elements of a tile along the vector loop."""
        return self.lanes * self.vectors

    def __str__(self) -> str:
        parts = [f"tile {self.row or '-'}={self.rows} {self.vector}={self.vectors}x{self.lanes}"]
        if self.pack_vector or self.pack_row:
            kept = [self.vector] * self.pack_vector + [str(self.row)] * self.pack_row
            parts.append(f"pack {','.join(kept)}" + (" ahead" if self.ahead else ""))
        if self.reduce_block:
            of = "" if self.reduce_loop is None else f" of {self.reduce_loop}"
            parts.append(f"reduce block {self.reduce_block}{of}")
        if self.row_block:
            parts.append(f"row block {self.row_block}")
        if self.panel_block:
            parts.append(f"panel block {self.panel_block}")
        if self.turn is not None:
            parts.append(f"turn {self.turn}")
        if self.parallel is not None:
            parts.append(f"{self.tasks} tasks over {self.parallel}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Streamed:
    """Schedule of a reduction that reads its largest operand once.

    Several runs of consecutive elements are read side by side, so that what they are combined with
    is loaded once for all of them.

    Attributes:
        vector: Loop that becomes lanes. One of the reduction makes dot products, several at a time;
            one of the output adds several rows at a time to sums that stay in the first cache.
        lanes: Elements of one vector register.
        row: Loop of the runs: of the output in the first case, of the reduction in the second;
            None for a single dot product.
        rows: Runs that are read side by side.
        share: Output loop whose iterations all use what is read; None when there is none.
        span: Elements of an output loop ``vector`` whose sums are kept at hand; 0 for all.
        parts: Pieces of the reduction that are summed apart, and then together.
        parallel: Loop that is divided among threads; None for one thread. It is the one of the
            reduction that is cut when there are several parts.
        pack: Copy the operands first that do not lie consecutively along ``vector``.
    """

    vector: str
    lanes: int
    row: str | None
    rows: int
    share: str | None = None
    span: int = 0
    parts: int = 1
    parallel: str | None = None
    pack: bool = False

    def __str__(self) -> str:
        texts = [f"stream {self.row or '-'}={self.rows} {self.vector}={self.lanes}"]
        if self.share is not None:
            texts.append(f"share {self.share}")
        if self.pack:
            texts.append(_COPIED)
        if self.span:
            texts.append(f"span {self.span}")
        if self.parallel is not None:
            cut = self.parts > 1
            texts.append(
                f"{self.parts} parts of {self.parallel}" if cut else f"parallel {self.parallel}"
            )
        return ", ".join(texts)


@dataclass(frozen=True, slots=True)
class Plan:
    """The loop that becomes lanes, where there is no register tile.

    Attributes:
        vector: Name of the loop, None for scalar code.
        lanes: Lanes of one register for the widest type in the kernel.
        reduction: True when ``vector`` is a reduction loop (of part 0).
        parallel: Output loop that is divided among threads; None for one thread.
    """

    vector: str | None
    lanes: int
    reduction: bool = False
    parallel: str | None = None

    def __str__(self) -> str:
        kind = " reduction" if self.reduction else ""
        text = "scalar" if self.vector is None else f"vector {self.vector}={self.lanes}{kind}"
        return text if self.parallel is None else f"{text}, parallel {self.parallel}"


@dataclass(frozen=True, slots=True)
class Loops:
    """Schedule of a kernel of plain loops.

    Attributes:
        plans: One per piece of the kernel, in order; a single one holds for all pieces.
    """

    plans: tuple[Plan, ...]

    @staticmethod
    def of(plans: tuple[Plan, ...]) -> Loops:
        """The schedule with these plans in its shortest form."""
        return Loops(plans[:1] if len(set(plans)) == 1 else plans)

    def __str__(self) -> str:
        return "; ".join(map(str, self.plans))


@dataclass(frozen=True, slots=True)
class Blocked:
    """Schedule of several kernels that go block by block together.

    Attributes:
        axis: Number of the axis of all their values that is cut.
        size: Indices of it in a block.
    """

    axis: int
    size: int

    def __str__(self) -> str:
        return f"blocks of {self.size} along axis {self.axis}"


OwnSchedule: TypeAlias = Tiled | Streamed | Loops | Blocked | Grouped | WinogradPlan | FourierPlan
"""Schedule of a kernel that is computed as the model chose, or by definition."""

DIRECT: Final = "direct"
STRASSEN: Final = "strassen"
APART: Final = "apart"
METHODS: Final = (DIRECT, STRASSEN, "lowering-1", "lowering-2", "lowering-3", APART)
"""Methods that make several kernels of one, or let a kernel be as it is written."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Schedule of a kernel that is computed in several, or by definition.

    The last of these kernels has the name of the one. The others have schedules of their own.

    Attributes:
        method: ``direct`` for the definition, ``strassen`` for seven products of quarters,
            ``lowering-1`` to ``lowering-3`` for copies or sums around one product, ``apart`` for
            kernels that are not computed block by block together.
        then: Schedule of the last kernel; None leaves it to the cost model.
    """

    method: str
    then: OwnSchedule | None = None

    def __str__(self) -> str:
        return f"by {self.method}" if self.then is None else f"by {self.method}, {self.then}"


KernelSchedule: TypeAlias = OwnSchedule | Rewritten


@dataclass(frozen=True, slots=True)
class Schedule(Mapping[str, KernelSchedule]):
    """Schedules of kernels, by the kernels' names.

    A schedule need not name all kernels of a program: the others get what the cost model chooses.
    The name ``""`` stands for the only kernel of a program.

    Attributes:
        entries: Names and schedules, in the order of the kernels.
    """

    entries: tuple[tuple[str, KernelSchedule], ...]

    @staticmethod
    def of(kernels: Mapping[str, KernelSchedule]) -> Schedule:
        """The schedule with these entries."""
        return Schedule(tuple(kernels.items()))

    @staticmethod
    def parse(text: str) -> Schedule:
        """Read what ``str`` gives: a line ``kernel: schedule`` for each kernel.

        Raises:
            ScheduleError: a line cannot be read.
        """
        found: dict[str, KernelSchedule] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            before, colon, after = line.partition(":")
            name, value = (before.strip(), after.strip()) if colon else ("", line)
            if name in found:
                raise ScheduleError(f"the kernel {name!r} is scheduled twice")
            found[name] = parse_kernel(value)
        return Schedule.of(found)

    @staticmethod
    def from_json(facts: object) -> Schedule:
        """Read what ``as_json`` gives.

        Raises:
            ScheduleError: a field is missing, unknown or of the wrong type.
        """
        if not isinstance(facts, Mapping):
            raise ScheduleError("a schedule in JSON is an object with a member for each kernel")
        kernels = cast("Mapping[str, object]", facts)
        return Schedule.of({name: _kernel_from_json(name, kernels[name]) for name in kernels})

    def as_json(self) -> dict[str, Any]:
        """Plain values, by kernel."""
        return {name: _kernel_as_json(value) for name, value in self.entries}

    def __getitem__(self, name: str) -> KernelSchedule:
        for key, value in self.entries:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" if name else str(value) for name, value in self.entries)


def as_schedule(given: object) -> Schedule:
    """A schedule that a caller gave: as a value, as text, or as kernels by name.

    Raises:
        ScheduleError: it is none of these.
    """
    if isinstance(given, Schedule):
        return given
    if isinstance(given, str):
        return Schedule.parse(given)
    if isinstance(given, KernelSchedule):
        return Schedule((("", given),))
    if isinstance(given, Plan):
        return Schedule((("", Loops((given,))),))
    raise ScheduleError(
        f"a schedule is a tilec.Schedule or its text, not a {type(given).__name__}",
        help="Executable.schedule has one to start from",
    )


def parse_kernel(text: str) -> KernelSchedule:
    """Read the schedule of one kernel.

    Raises:
        ScheduleError: it cannot be read; the message names the part.
    """
    match = _REWRITTEN.fullmatch(text)
    if match is None:
        return _parse_own(text)
    method, then = match.groups()
    if method not in METHODS:
        raise ScheduleError(
            f"there is no method {method!r} in '{text}'", help=f"there are {', '.join(METHODS)}"
        )
    return Rewritten(method, None if then is None else _parse_own(then))


def _parse_own(text: str) -> OwnSchedule:
    if text.startswith("tile "):
        return _parse_tiled(text)
    if text.startswith("stream "):
        return _parse_streamed(text)
    if text.startswith("winograd "):
        return parse_winograd(text)
    if text.startswith("groups "):
        return parse_grouped(text)
    if match := _BLOCKS.fullmatch(text):
        return Blocked(int(match.group(2)), int(match.group(1)))
    if text.startswith("fft "):
        return parse_fourier(text)
    return Loops(tuple(_parse_plan(part.strip()) for part in text.split(";")))


def _parse_tiled(text: str) -> Tiled:
    head, *parts = (part.strip() for part in text.split(", "))
    match = _TILE.fullmatch(head)
    if match is None:
        raise ScheduleError(f"the tile {head!r} cannot be read", help=_TILED_HELP)
    row, rows, vector, vectors, lanes = match.groups()
    values: dict[str, Any] = {"row": None if row == "-" else row, "vector": vector}
    values |= {"rows": int(rows), "vectors": int(vectors), "lanes": int(lanes)}
    for part in parts:
        _add_part(values, part)
    return Tiled(**values)


def _add_part(values: dict[str, Any], part: str) -> None:
    """Read one part of a tile; a part that comes twice is an error."""
    added: dict[str, Any]
    if match := _PACK.fullmatch(part):
        names = match.group(1).split(",")
        for name in names:
            if name not in (values["vector"], values["row"]):
                raise ScheduleError(
                    f"{part!r}: {name} is no loop of the tile",
                    help=f"what moves along {values['vector']} can be packed"
                    + (f", or along {values['row']}" if values["row"] else ""),
                )
        added = {"pack_vector": values["vector"] in names, "pack_row": values["row"] in names}
        added["ahead"] = match.group(2) is not None
    elif match := _REDUCE.fullmatch(part):
        added = {"reduce_block": int(match.group(1)), "reduce_loop": match.group(2)}
    elif match := _ROWS.fullmatch(part):
        added = {"row_block": int(match.group(1))}
    elif match := _PANELS.fullmatch(part):
        added = {"panel_block": int(match.group(1))}
    elif match := _TURN.fullmatch(part):
        added = {"turn": match.group(1)}
    elif match := _TASKS.fullmatch(part):
        added = {"tasks": int(match.group(1)), "parallel": match.group(2)}
    else:
        raise ScheduleError(f"the part {part!r} of a tile cannot be read", help=_TILED_HELP)
    if added.keys() & values.keys():
        raise ScheduleError(f"the part {part!r} is given twice")
    values |= added


def _parse_streamed(text: str) -> Streamed:
    head, *parts = (part.strip() for part in text.split(", "))
    match = _STREAM.fullmatch(head)
    if match is None:
        raise ScheduleError(f"the stream {head!r} cannot be read", help=_STREAM_HELP)
    row, rows, vector, lanes = match.groups()
    values: dict[str, Any] = {"row": None if row == "-" else row, "rows": int(rows)}
    values |= {"vector": vector, "lanes": int(lanes)}
    for part in parts:
        added: dict[str, Any]
        if match := _SHARE.fullmatch(part):
            added = {"share": match.group(1)}
        elif part == _COPIED:
            added = {"pack": True}
        elif match := _SPAN.fullmatch(part):
            added = {"span": int(match.group(1))}
        elif match := _PARTS.fullmatch(part):
            added = {"parts": int(match.group(1)), "parallel": match.group(2)}
        elif match := _PARALLEL.fullmatch(part):
            added = {"parallel": match.group(1)}
        else:
            raise ScheduleError(f"the part {part!r} of a stream cannot be read", help=_STREAM_HELP)
        if added.keys() & values.keys():
            raise ScheduleError(f"the part {part!r} is given twice")
        values |= added
    return Streamed(**values)


def _parse_plan(text: str) -> Plan:
    head, *parts = (part.strip() for part in text.split(", "))
    parallel = None
    for part in parts:
        match = _PARALLEL.fullmatch(part)
        if match is None or parallel is not None:
            raise ScheduleError(f"the part {part!r} of loops cannot be read", help=_PLAIN_HELP)
        parallel = match.group(1)
    if head == "scalar":
        return Plan(None, 1, parallel=parallel)
    match = _VECTOR.fullmatch(head)
    if match is None:
        raise ScheduleError(f"the schedule {head!r} cannot be read", help=_PLAIN_HELP)
    vector, lanes, reduction = match.groups()
    return Plan(vector, int(lanes), reduction is not None, parallel)


def _kernel_as_json(value: KernelSchedule) -> dict[str, Any]:
    match value:
        case Tiled():
            return {"kind": "tile", **asdict(value)}
        case Streamed():
            return {"kind": "stream", **asdict(value)}
        case Loops():
            return {"kind": "loops", "plans": [asdict(plan) for plan in value.plans]}
        case Blocked():
            return {"kind": "blocks", **asdict(value)}
        case Grouped():
            return {"kind": "groups", **asdict(value)}
        case WinogradPlan():
            return {"kind": "winograd", **asdict(value)}
        case FourierPlan():
            return {"kind": "fft", **asdict(value)}
        case Rewritten():
            then = None if value.then is None else _kernel_as_json(value.then)
            return {"kind": "rewritten", "method": value.method, "then": then}


def _kernel_from_json(name: str, facts: object) -> KernelSchedule:
    values = dict(_object(name, facts))
    kind = values.pop("kind", None)
    if kind == "rewritten":
        method, then = values.get("method"), values.get("then")
        if method not in METHODS or values.keys() - {"method", "then"}:
            raise ScheduleError(f"{name}.method is {method!r}", help=f"one of {', '.join(METHODS)}")
        own = None if then is None else _kernel_from_json(f"{name}.then", then)
        if isinstance(own, Rewritten):
            raise ScheduleError(f"{name}.then is rewritten once more")
        return Rewritten(str(method), own)
    if kind == "tile":
        return _record(Tiled, name, values)
    if kind == "stream":
        return _record(Streamed, name, values)
    if kind == "blocks":
        return _record(Blocked, name, values)
    if kind == "groups":
        return _record(Grouped, name, values)
    if kind == "winograd":
        return parse_winograd(str(_record(WinogradPlan, name, values)))
    if kind == "fft":
        return parse_fourier(str(_record(FourierPlan, name, values)))
    if kind != "loops" or values.keys() != {"plans"} or not isinstance(values["plans"], list):
        raise ScheduleError(
            f"{name}.kind is {kind!r}",
            help="it is 'tile', 'stream', 'blocks', 'groups', 'winograd', 'fft', 'rewritten', or "
            "'loops' with plans",
        )
    plans = cast("list[object]", values["plans"])
    if not plans:
        raise ScheduleError(f"{name}.plans is empty")
    found = {f"{name}.plans[{at}]": each for at, each in enumerate(plans)}
    read = (_record(Plan, where, _object(where, each)) for where, each in found.items())
    return Loops(tuple(read))


_Record = TypeVar("_Record", Tiled, Streamed, Plan, Blocked, Grouped, WinogradPlan, FourierPlan)


def _record(kind: type[_Record], name: str, values: Mapping[str, object]) -> _Record:
    """A dataclass of numbers, flags and names, with every field checked."""
    known = {item.name: str(item.type) for item in fields(kind)}
    for field in values:
        if field not in known:
            raise ScheduleError(f"{name}.{field}: there is no such field")
    required = ("lanes", "row", "rows", "vector", "vectors", "method", "block", "axis", "size")
    for field in (name for name in required if name in known and name not in values):
        raise ScheduleError(f"{name}.{field} is missing")
    wanted = {"int": (int,), "bool": (bool,), "str": (str,), "str | None": (str, type(None))}
    for field, value in values.items():
        if type(value) not in wanted[known[field]]:
            raise ScheduleError(f"{name}.{field} is {value!r}, but it is of type {known[field]}")
    return kind(**cast("dict[str, Any]", dict(values)))


def _object(name: str, facts: object) -> Mapping[str, object]:
    if not isinstance(facts, Mapping):
        raise ScheduleError(f"{name} is {facts!r}, which is no object")
    return cast("Mapping[str, object]", facts)
