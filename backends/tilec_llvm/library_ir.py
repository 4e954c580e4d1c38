"""The C interface of a library as LLVM IR text: checks, weights, workspace, and the call.

It is generated code like the pool's, so that no compiler is needed and nothing but the C library
is called. ``c_header.py`` prints the same interface for C.

Everything here is generated for the first processor of the architecture: it runs before anything is
known of the machine. Weights are read into memory of the library instead of being mapped, so that
they lie on huge pages and a file that is changed or cut short later does no harm.

Workspaces wait in slots for the next call. A call empties a slot and fills one when it is done, so
calls that run at the same time never share one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import Template
from typing import Final

from tilec.records import dataclass
from tilec.runtime.library import ABI, Port
from tilec.version import __version__
from tilec_llvm.features import Portable, detection
from tilec_llvm.pool_ir import MOST_WORKERS

OK, CPU, FILE, DAMAGED, MEMORY, ARGUMENT = range(6)
"""What the functions return; the header calls them TILEC_OK and so on."""

FUNCTIONS: Final = (
    *("abi", "version", "features", "missing", "error"),
    *("num_inputs", "num_outputs", "input", "output"),
    *("open", "run", "close"),
)

_SLOTS: Final = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """What the interface has to know of the code.

    Attributes:
        name: Prefix of all symbols.
        inputs: What callers pass.
        outputs: Where results go.
        order: Positions among the inputs of what the code takes first.
        offsets: Where in the weights the inputs lie that follow those.
        tail: The same for the constants behind the outputs.
        weights_bytes: Size of the file of weights, a multiple of 64; 0 for none.
        checksum: See ``tilec.runtime.library.checksum``.
        workspace_bytes: Scratch memory of a call.
        worker_bytes: Further scratch memory per thread.
        is_parallel: The code takes a number of threads.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    order: tuple[int, ...]
    offsets: tuple[int, ...]
    tail: tuple[int, ...]
    weights_bytes: int
    checksum: int
    workspace_bytes: int
    worker_bytes: int
    is_parallel: bool


def interface_text(frame: Frame, target: Portable) -> str:
    """The functions that callers see, and what they stand on."""
    cpu, features = target.baseline
    needs = " ".join(target.features)
    common = {
        "name": frame.name,
        "abi": ABI,
        "inputs": len(frame.inputs),
        "outputs": len(frame.outputs),
        "slots": _SLOTS,
        "weights": frame.weights_bytes,
        "words": frame.weights_bytes // 8,
        "checksum": frame.checksum - (frame.checksum >> 63 << 64),  # LLVM's numbers have signs
    }
    statuses = {
        OK: "no error",
        CPU: "this processor lacks instructions that the library was compiled for, which are: "
        + (needs or "none"),
        FILE: "the file of weights cannot be opened or read",
        DAMAGED: "the file of weights is damaged, or belongs to another library",
        MEMORY: "there is not enough memory",
        ARGUMENT: "an argument is a null pointer, or an address that is no multiple of the size "
        "of an element",
    }
    strings = [
        "%tensor = type { ptr, ptr, i32, ptr, ptr, i64 }\n",
        _string("version", __version__),
        _string("features", needs),
        *(_string(f"status.{status}", text) for status, text in statuses.items()),
        _string("status.unknown", "there is no such status"),
        "@tilec.statuses = internal constant [6 x ptr] "
        f"[{', '.join(f'ptr @tilec.status.{status}' for status in statuses)}]\n",
        *_ports("inputs", frame.inputs),
        *_ports("outputs", frame.outputs),
    ]
    common_parts = (_BASE, _WEIGHTS if frame.weights_bytes else _NO_WEIGHTS)
    return "\n".join(
        [
            *strings,
            detection(target.target.architecture, target.features),
            *(Template(part).substitute(common) for part in common_parts),
            *_run(frame),
            f'attributes #2 = {{ nounwind "no-builtins" "target-cpu"="{cpu}" '
            f'"target-features"="{features}" }}',
            "",
        ]
    )


def _string(name: str, text: str) -> str:
    data = text.encode() + b"\0"
    escaped = "".join(f"\\{byte:02X}" for byte in data)
    return f'@tilec.{name} = internal constant [{len(data)} x i8] c"{escaped}"\n'


def _ports(group: str, ports: Sequence[Port]) -> Iterator[str]:
    rows: list[str] = []
    for at, port in enumerate(ports):
        stem, spec = f"{group}.{at}", port.spec
        yield _string(f"{stem}.name", port.name)
        yield _string(f"{stem}.dtype", spec.dtype.name)
        for kind, numbers in (("shape", spec.shape), ("strides", spec.strides)):
            listed = ", ".join(f"i64 {number}" for number in numbers)
            yield f"@tilec.{stem}.{kind} = internal constant [{len(numbers)} x i64] [{listed}]\n"
        rows.append(
            f"%tensor {{ ptr @tilec.{stem}.name, ptr @tilec.{stem}.dtype, i32 {len(spec.shape)}, "
            f"ptr @tilec.{stem}.shape, ptr @tilec.{stem}.strides, i64 {spec.bytes} }}"
        )
    yield f"@tilec.{group} = internal constant [{len(rows)} x %tensor] [{', '.join(rows)}]\n"


def _run(frame: Frame) -> Iterator[str]:
    """The function that checks the addresses and calls the code."""
    entry = f"@{frame.name}.entry"
    threads = ", i32" if frame.is_parallel else ""
    yield f"declare void {entry}(ptr, ptr{threads})"
    yield _FORK if frame.is_parallel else _NO_FORK
    passed = len(frame.order) + len(frame.offsets) + len(frame.outputs) + len(frame.tail)
    yield (
        f"define i32 @{frame.name}_run(ptr %model, ptr %inputs, ptr %outputs, i32 %threads) #2 {{\n"
        "entry:\n"
        f"  %args = alloca [{max(1, passed)} x ptr], align 16\n"
        f"  %no.model = icmp eq ptr %model, null"
    )
    # An empty list may be null.
    bad = "%no.model"
    for group, ports in (("inputs", frame.inputs), ("outputs", frame.outputs)):
        if ports:
            yield f"  %no.{group} = icmp eq ptr %{group}, null"
            yield f"  %bad.{group} = or i1 {bad}, %no.{group}"
            bad = f"%bad.{group}"
    yield f"  br i1 {bad}, label %refuse, label %look\nlook:"
    bad = "false"
    for group, ports in (("inputs", frame.inputs), ("outputs", frame.outputs)):
        for at, port in enumerate(ports):
            yield from _checked(f"%{group}.{at}", group, at, port, bad)
            bad = f"%{group}.{at}.bad"
    yield f"  br i1 {bad}, label %refuse, label %fill\nfill:"
    yield "  %weights = load ptr, ptr %model, align 8"
    values = [f"%inputs.{at}" for at in frame.order]
    held = [(f"%held.{at}", offset) for at, offset in enumerate((*frame.offsets, *frame.tail))]
    for name, offset in held:
        yield f"  {name} = getelementptr i8, ptr %weights, i64 {offset}"
    values += [name for name, _ in held[: len(frame.offsets)]]
    values += [f"%outputs.{at}" for at in range(len(frame.outputs))]
    values += [name for name, _ in held[len(frame.offsets) :]]
    for place, value in enumerate(values):
        yield f"  %place.{place} = getelementptr ptr, ptr %args, i64 {place}"
        yield f"  store ptr {value}, ptr %place.{place}, align 8"
    yield Template(_CALL).substitute(
        entry=entry,
        most=MOST_WORKERS + 1,
        workspace=frame.workspace_bytes,
        worker=frame.worker_bytes,
        passed=", i32 %count" if frame.is_parallel else "",
    )


def _checked(value: str, group: str, at: int, port: Port, bad: str) -> Iterator[str]:
    yield f"  {value}.at = getelementptr ptr, ptr %{group}, i64 {at}"
    yield f"  {value} = load ptr, ptr {value}.at, align 8"
    yield f"  {value}.word = ptrtoint ptr {value} to i64"
    yield f"  {value}.low = and i64 {value}.word, {port.spec.dtype.bytes - 1}"
    yield f"  {value}.askew = icmp ne i64 {value}.low, 0"
    absent = f"icmp eq ptr {value}, null" if port.spec.bytes else "or i1 false, false"
    yield f"  {value}.absent = {absent}"
    yield f"  {value}.wrong = or i1 {value}.askew, {value}.absent"
    yield f"  {value}.bad = or i1 {bad}, {value}.wrong"


# A model is: its weights, the number of usable cores, slots of workspaces. A workspace begins with
# its size and is used from its second cache line on.
_BASE: Final = """
%model = type { ptr, i64, [$slots x ptr] }

declare i32 @posix_memalign(ptr, i64, i64) nounwind
declare i32 @madvise(ptr, i64, i32) nounwind
declare ptr @calloc(i64, i64) nounwind
declare void @free(ptr) nounwind
declare i32 @sched_getaffinity(i32, i64, ptr) nounwind
declare i64 @llvm.ctpop.i64(i64)

define i32 @${name}_abi() #2 {
  ret i32 $abi
}

define ptr @${name}_version() #2 {
  ret ptr @tilec.version
}

define ptr @${name}_features() #2 {
  ret ptr @tilec.features
}

define i64 @${name}_missing() #2 {
  %missing = call i64 @tilec.missing()
  ret i64 %missing
}

define ptr @${name}_error(i32 %status) #2 {
  %known = icmp ult i32 %status, 6
  br i1 %known, label %find, label %unknown
find:
  %wide = zext i32 %status to i64
  %at = getelementptr ptr, ptr @tilec.statuses, i64 %wide
  %text = load ptr, ptr %at, align 8
  ret ptr %text
unknown:
  ret ptr @tilec.status.unknown
}

define i32 @${name}_num_inputs() #2 {
  ret i32 $inputs
}

define i32 @${name}_num_outputs() #2 {
  ret i32 $outputs
}

define ptr @${name}_input(i32 %at) #2 {
  %there = icmp ult i32 %at, $inputs
  %wide = zext i32 %at to i64
  %found = getelementptr %tensor, ptr @tilec.inputs, i64 %wide
  %result = select i1 %there, ptr %found, ptr null
  ret ptr %result
}

define ptr @${name}_output(i32 %at) #2 {
  %there = icmp ult i32 %at, $outputs
  %wide = zext i32 %at to i64
  %found = getelementptr %tensor, ptr @tilec.outputs, i64 %wide
  %result = select i1 %there, ptr %found, ptr null
  ret ptr %result
}

; Memory at a cache line; from 128 KiB on whole huge pages, where the system has them.
define internal ptr @tilec.allocate(i64 %size) #2 {
entry:
  %at = alloca ptr, align 8
  %large = icmp uge i64 %size, 131072
  %line = select i1 %large, i64 2097152, i64 64
  %below = sub i64 %line, 1
  %above = add i64 %size, %below
  %mask = xor i64 %below, -1
  %room = and i64 %above, %mask
  %failed = call i32 @posix_memalign(ptr %at, i64 %line, i64 %room)
  %refused = icmp ne i32 %failed, 0
  br i1 %refused, label %none, label %some
some:
  %piece = load ptr, ptr %at, align 8
  br i1 %large, label %huge, label %done
huge:
  %advised = call i32 @madvise(ptr %piece, i64 %room, i32 14)
  br label %done
done:
  ret ptr %piece
none:
  ret ptr null
}

; A workspace of at least so many bytes, from a slot or new.
define internal ptr @tilec.take(ptr %model, i64 %size) #2 {
entry:
  %slots = getelementptr %model, ptr %model, i64 0, i32 2
  br label %look
look:
  %at = phi i64 [ 0, %entry ], [ %next, %try ], [ %next, %small ]
  %over = icmp eq i64 %at, $slots
  br i1 %over, label %fresh, label %try
try:
  %slot = getelementptr ptr, ptr %slots, i64 %at
  %next = add i64 %at, 1
  %piece = atomicrmw xchg ptr %slot, ptr null acq_rel, align 8
  %empty = icmp eq ptr %piece, null
  br i1 %empty, label %look, label %measure
measure:
  %have = load i64, ptr %piece, align 8
  %enough = icmp uge i64 %have, %size
  br i1 %enough, label %done, label %small
small:
  call void @free(ptr %piece)
  br label %look
fresh:
  %room = add i64 %size, 64
  %new = call ptr @tilec.allocate(i64 %room)
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %none, label %note
note:
  store i64 %size, ptr %new, align 8
  ret ptr %new
done:
  ret ptr %piece
none:
  ret ptr null
}

; Put a workspace into an empty slot, or give its memory back.
define internal void @tilec.give(ptr %model, ptr %piece) #2 {
entry:
  %slots = getelementptr %model, ptr %model, i64 0, i32 2
  br label %look
look:
  %at = phi i64 [ 0, %entry ], [ %next, %try ]
  %over = icmp eq i64 %at, $slots
  br i1 %over, label %full, label %try
try:
  %slot = getelementptr ptr, ptr %slots, i64 %at
  %next = add i64 %at, 1
  %pair = cmpxchg ptr %slot, ptr null, ptr %piece acq_rel monotonic, align 8
  %put = extractvalue { ptr, i1 } %pair, 1
  br i1 %put, label %done, label %look
full:
  call void @free(ptr %piece)
  ret void
done:
  ret void
}

; Cores that this process may use.
define internal i64 @tilec.cores() #2 {
entry:
  %mask = alloca [16 x i64], align 16
  br label %clear
clear:
  %cleared = phi i64 [ 0, %entry ], [ %cleared.next, %clear ]
  %cleared.at = getelementptr i64, ptr %mask, i64 %cleared
  store i64 0, ptr %cleared.at, align 8
  %cleared.next = add i64 %cleared, 1
  %clearing = icmp ult i64 %cleared.next, 16
  br i1 %clearing, label %clear, label %ask
ask:
  %failed = call i32 @sched_getaffinity(i32 0, i64 128, ptr %mask)
  br label %count
count:
  %at = phi i64 [ 0, %ask ], [ %next, %count ]
  %sum = phi i64 [ 0, %ask ], [ %more, %count ]
  %word.at = getelementptr i64, ptr %mask, i64 %at
  %word = load i64, ptr %word.at, align 8
  %bits = call i64 @llvm.ctpop.i64(i64 %word)
  %more = add i64 %sum, %bits
  %next = add i64 %at, 1
  %counting = icmp ult i64 %next, 16
  br i1 %counting, label %count, label %done
done:
  %none = icmp eq i64 %more, 0
  %cores = select i1 %none, i64 1, i64 %more
  ret i64 %cores
}

define i32 @${name}_open(ptr %path, ptr %result) #2 {
entry:
  %nowhere = icmp eq ptr %result, null
  br i1 %nowhere, label %argument, label %begin
begin:
  store ptr null, ptr %result, align 8
  %missing = call i64 @tilec.missing()
  %lacks = icmp ne i64 %missing, 0
  br i1 %lacks, label %cpu, label %make
make:
  %model = call ptr @calloc(i64 1, i64 128)
  %failed = icmp eq ptr %model, null
  br i1 %failed, label %memory, label %count
count:
  %cores = call i64 @tilec.cores()
  %cores.at = getelementptr %model, ptr %model, i64 0, i32 1
  store i64 %cores, ptr %cores.at, align 8
  call void @tilec.begin()
  %status = call i32 @tilec.read(ptr %path, ptr %model)
  %bad = icmp ne i32 %status, 0
  br i1 %bad, label %undo, label %done
undo:
  call void @free(ptr %model)
  ret i32 %status
done:
  store ptr %model, ptr %result, align 8
  ret i32 0
cpu:
  ret i32 1
memory:
  ret i32 4
argument:
  ret i32 5
}

define void @${name}_close(ptr %model) #2 {
entry:
  %nothing = icmp eq ptr %model, null
  br i1 %nothing, label %done, label %weights
weights:
  %held = load ptr, ptr %model, align 8
  call void @free(ptr %held)
  %slots = getelementptr %model, ptr %model, i64 0, i32 2
  br label %slot
slot:
  %at = phi i64 [ 0, %weights ], [ %next, %slot ]
  %slot.at = getelementptr ptr, ptr %slots, i64 %at
  %piece = load ptr, ptr %slot.at, align 8
  call void @free(ptr %piece)
  %next = add i64 %at, 1
  %more = icmp ult i64 %next, $slots
  br i1 %more, label %slot, label %last
last:
  call void @free(ptr %model)
  br label %done
done:
  ret void
}
"""

_NO_WEIGHTS: Final = """
define internal i32 @tilec.read(ptr %path, ptr %model) #2 {
  ret i32 0
}
"""

_WEIGHTS: Final = """
declare i32 @open(ptr, i32, ...) nounwind
declare i64 @lseek(i32, i64, i32) nounwind
declare i64 @read(i32, ptr, i64) nounwind
declare i32 @close(i32) nounwind
declare i64 @llvm.umin.i64(i64, i64)

; Read the weights and compare their checksum: the sum of every word times twice its number plus 1.
define internal i32 @tilec.read(ptr %path, ptr %model) #2 {
entry:
  %nowhere = icmp eq ptr %path, null
  br i1 %nowhere, label %file, label %open
open:
  %fd = call i32 (ptr, i32, ...) @open(ptr %path, i32 524288)
  %unopened = icmp slt i32 %fd, 0
  br i1 %unopened, label %file, label %measure
measure:
  %size = call i64 @lseek(i32 %fd, i64 0, i32 2)
  %rewound = call i64 @lseek(i32 %fd, i64 0, i32 0)
  %right = icmp eq i64 %size, $weights
  br i1 %right, label %allocate, label %wrong
allocate:
  %memory = call ptr @tilec.allocate(i64 $weights)
  %none = icmp eq ptr %memory, null
  br i1 %none, label %full, label %fetch
fetch:
  %at = phi i64 [ 0, %allocate ], [ %reached, %fetched ]
  %left = sub i64 $weights, %at
  %asked = call i64 @llvm.umin.i64(i64 %left, i64 1073741824)
  %to = getelementptr i8, ptr %memory, i64 %at
  %got = call i64 @read(i32 %fd, ptr %to, i64 %asked)
  %nothing = icmp slt i64 %got, 1
  br i1 %nothing, label %unread, label %fetched
fetched:
  %reached = add i64 %at, %got
  %more = icmp ult i64 %reached, $weights
  br i1 %more, label %fetch, label %whole
whole:
  %closed = call i32 @close(i32 %fd)
  br label %sum
sum:
  %number = phi i64 [ 0, %whole ], [ %number.next, %sum ]
  %total = phi i64 [ 0, %whole ], [ %total.next, %sum ]
  %word.at = getelementptr i64, ptr %memory, i64 %number
  %word = load i64, ptr %word.at, align 8
  %twice = shl i64 %number, 1
  %factor = add i64 %twice, 1
  %product = mul i64 %word, %factor
  %total.next = add i64 %total, %product
  %number.next = add i64 %number, 1
  %summing = icmp ult i64 %number.next, $words
  br i1 %summing, label %sum, label %compare
compare:
  %same = icmp eq i64 %total.next, $checksum
  br i1 %same, label %done, label %damaged
done:
  store ptr %memory, ptr %model, align 8
  ret i32 0
damaged:
  call void @free(ptr %memory)
  ret i32 3
unread:
  call void @free(ptr %memory)
  %closed.unread = call i32 @close(i32 %fd)
  ret i32 2
full:
  %closed.full = call i32 @close(i32 %fd)
  ret i32 4
wrong:
  %closed.wrong = call i32 @close(i32 %fd)
  ret i32 3
file:
  ret i32 2
}
"""

_NO_FORK: Final = """
define internal void @tilec.begin() #2 {
  ret void
}
"""

# A child of a fork has no workers. Whoever finds the number of its process changed says so to the
# pool; a fork handler would have to be registered, which not every C library lets objects do.
_FORK: Final = """
@tilec.process = internal global i32 0, align 4
declare i32 @getpid() nounwind
declare void @tilec_forked() nounwind

define internal void @tilec.begin() #2 {
  %own = call i32 @getpid()
  %last = atomicrmw xchg ptr @tilec.process, i32 %own monotonic, align 4
  %first = icmp eq i32 %last, 0
  %same = icmp eq i32 %last, %own
  %nothing = or i1 %first, %same
  br i1 %nothing, label %done, label %forked
forked:
  call void @tilec_forked()
  br label %done
done:
  ret void
}
"""

_CALL: Final = """
  call void @tilec.begin()
  %cores.at = getelementptr %model, ptr %model, i64 0, i32 1
  %cores = load i64, ptr %cores.at, align 8
  %asked = sext i32 %threads to i64
  %wanted = icmp sgt i32 %threads, 0
  %chosen = select i1 %wanted, i64 %asked, i64 %cores
  %many = icmp ugt i64 %chosen, $most
  %threads.wide = select i1 %many, i64 $most, i64 %chosen
  %count = trunc i64 %threads.wide to i32
  %own = mul i64 %threads.wide, $worker
  %size = add i64 %own, $workspace
  %without = icmp eq i64 %size, 0
  br i1 %without, label %plain, label %take
plain:
  call void $entry(ptr %args, ptr null$passed)
  ret i32 0
take:
  %piece = call ptr @tilec.take(ptr %model, i64 %size)
  %none = icmp eq ptr %piece, null
  br i1 %none, label %memory, label %work
work:
  %workspace = getelementptr i8, ptr %piece, i64 64
  call void $entry(ptr %args, ptr %workspace$passed)
  call void @tilec.give(ptr %model, ptr %piece)
  ret i32 0
memory:
  ret i32 4
refuse:
  ret i32 5
}
"""
