"""Instruction sets that libraries may use, and how a library finds out whether they are there.

Code for this process may use whatever this machine has. Code that goes elsewhere has to say what
it needs, so it is generated for the architecture's first processor and an exact list of features:
LLVM has no others at its disposal. The processor it is meant for still decides how instructions
are chosen and ordered among those.

Only features are listed that LLVM uses of its own accord when it compiles kernels. The bits are
those of the CPUID instruction (Intel's manual, volume 2A) and, for Arm, those of Linux' AT_HWCAP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tilec.errors import TargetError
from tilec.records import dataclass
from tilec_llvm.identity import CPUID, XGETBV
from tilec_llvm.target import Processor, processor

BASELINES: Final[Mapping[str, tuple[str, str]]] = {
    "x86_64": ("x86-64", "+sse2"),
    "aarch64": ("generic", "+neon"),
}
"""The first processor of each architecture, and features that all have."""

_PLAIN, _YMM, _ZMM = 0, 0x6, 0xE6


@dataclass(frozen=True, slots=True)
class Feature:
    """Where a processor says that it has a feature.

    Attributes:
        word: The word in which its bit stands: leaf and register, as in ``_WORDS``.
        bit: The bit.
        state: Bits of XCR0 without which the system does not save its registers.
    """

    word: str
    bit: int
    state: int = _PLAIN


X86: Final[Mapping[str, Feature]] = {
    "sse3": Feature("leaf1.c", 0),
    "ssse3": Feature("leaf1.c", 9),
    "fma": Feature("leaf1.c", 12, _YMM),
    "cx16": Feature("leaf1.c", 13),
    "sse4.1": Feature("leaf1.c", 19),
    "sse4.2": Feature("leaf1.c", 20),
    "movbe": Feature("leaf1.c", 22),
    "popcnt": Feature("leaf1.c", 23),
    "avx": Feature("leaf1.c", 28, _YMM),
    "f16c": Feature("leaf1.c", 29, _YMM),
    "sahf": Feature("extended1.c", 0),
    "lzcnt": Feature("extended1.c", 5),
    "bmi": Feature("leaf7.b", 3),
    "avx2": Feature("leaf7.b", 5, _YMM),
    "bmi2": Feature("leaf7.b", 8),
    "avx512f": Feature("leaf7.b", 16, _ZMM),
    "avx512dq": Feature("leaf7.b", 17, _ZMM),
    "avx512ifma": Feature("leaf7.b", 21, _ZMM),
    "avx512cd": Feature("leaf7.b", 28, _ZMM),
    "avx512bw": Feature("leaf7.b", 30, _ZMM),
    "avx512vl": Feature("leaf7.b", 31, _ZMM),
    "avx512vbmi": Feature("leaf7.c", 1, _ZMM),
    "avx512vbmi2": Feature("leaf7.c", 6, _ZMM),
    "gfni": Feature("leaf7.c", 8),
    "avx512vnni": Feature("leaf7.c", 11, _ZMM),
    "avx512bitalg": Feature("leaf7.c", 12, _ZMM),
    "avx512vpopcntdq": Feature("leaf7.c", 14, _ZMM),
    "avx512fp16": Feature("leaf7.d", 23, _ZMM),
    "avxvnni": Feature("leaf7.1.a", 4, _YMM),
    "avx512bf16": Feature("leaf7.1.a", 5, _ZMM),
}

ARM: Final[Mapping[str, Feature]] = {
    "lse": Feature("hwcap", 8),
    "fullfp16": Feature("hwcap", 10),
    "rdm": Feature("hwcap", 12),
    "dotprod": Feature("hwcap", 20),
}

_V2: Final = "sse3 ssse3 cx16 sse4.1 sse4.2 popcnt sahf"
_V3: Final = f"{_V2} fma movbe avx f16c lzcnt bmi avx2 bmi2"
_V4: Final = f"{_V3} avx512f avx512dq avx512cd avx512bw avx512vl"
_ICELAKE: Final = (
    f"{_V4} avx512ifma avx512vbmi avx512vbmi2 gfni avx512vnni avx512bitalg avx512vpopcntdq"
)
_RAPIDS: Final = f"{_ICELAKE} avx512fp16 avxvnni avx512bf16"
_ARMV8_2: Final = "lse fullfp16 rdm dotprod"

NAMED: Final[Mapping[str, str]] = {
    "x86-64": "",
    "x86-64-v2": _V2,
    "x86-64-v3": _V3,
    "x86-64-v4": _V4,
    "nehalem": _V2,
    "sandybridge": f"{_V2} avx",
    "haswell": _V3,
    "broadwell": _V3,
    "skylake": _V3,
    "skylake-avx512": _V4,
    "cascadelake": f"{_V4} avx512vnni",
    "icelake-server": _ICELAKE,
    "sapphirerapids": _RAPIDS,
    "graniterapids": _RAPIDS,
    "alderlake": f"{_V3} gfni avxvnni",
    "znver1": _V3,
    "znver2": _V3,
    "znver3": _V3,
    "znver4": f"{_ICELAKE} avx512bf16",
    "znver5": f"{_ICELAKE} avxvnni avx512bf16",
    "armv8-a": "",
    "cortex-a53": "",
    "cortex-a72": "",
    "cortex-a76": _ARMV8_2,
    "neoverse-n1": _ARMV8_2,
    "neoverse-n2": _ARMV8_2,
    "neoverse-v1": _ARMV8_2,
    "neoverse-v2": _ARMV8_2,
    "a64fx": "lse fullfp16 rdm",
    "ampere1": _ARMV8_2,
    "apple-m1": _ARMV8_2,
    "apple-m2": _ARMV8_2,
    "apple-m3": _ARMV8_2,
    "apple-m4": _ARMV8_2,
}

KNOWN: Final[Mapping[str, Mapping[str, Feature]]] = {"x86_64": X86, "aarch64": ARM}


@dataclass(frozen=True, slots=True)
class Portable:
    """What a library is generated for.

    Attributes:
        target: The processor that LLVM may generate code for.
        tuned: LLVM's name of the processor that the code is to be fast on.
        features: What the code may use beyond what all processors of the architecture have.
    """

    target: Processor
    tuned: str
    features: tuple[str, ...]

    @property
    def baseline(self) -> tuple[str, str]:
        """Processor and features of what runs before anything is known of the machine."""
        return BASELINES[self.target.architecture]


def portable(cpu: str | None) -> Portable:
    """What a library for the processor that ``Options.cpu`` names is generated for.

    Raises:
        TargetError: libraries cannot be made for it.
    """
    found = processor(cpu)
    known = KNOWN.get(found.architecture)
    if known is None or "linux" not in found.triple:
        raise TargetError(
            f"libraries cannot be exported for {found.triple}",
            help="they are made for Linux on x86-64 and 64-bit Arm; --cpu names such a processor",
        )
    if cpu is not None:
        features = tuple(NAMED[cpu].split())
    else:
        has = found.features.split(",")
        features = tuple(name for name in known if f"+{name}" in has)
    first, common = BASELINES[found.architecture]
    listed = ",".join([common, *(f"+{name}" for name in features)])
    return Portable(Processor(found.triple, first, listed), found.cpu, features)


def detection(architecture: str, features: Sequence[str]) -> str:
    """LLVM IR of ``i64 @tilec.missing()``: a bit for each feature that this machine lacks."""
    text = _X86_WORDS if architecture == "x86_64" else _ARM_WORDS
    known = KNOWN[architecture]
    return "\n".join([text, *_tests([known[name] for name in features]), "}", ""])


def _tests(features: Sequence[Feature]) -> Iterator[str]:
    missing = "0"
    for at, each in enumerate(features):
        yield f"  %bit.{at} = and i32 %{each.word}, {_signed(1 << each.bit)}"
        yield f"  %lacks.{at} = icmp eq i32 %bit.{at}, 0"
        if each.state:
            yield f"  %state.{at} = and i32 %saved, {each.state}"
            yield f"  %unsaved.{at} = icmp ne i32 %state.{at}, {each.state}"
            yield f"  %without.{at} = or i1 %lacks.{at}, %unsaved.{at}"
        else:
            yield f"  %without.{at} = or i1 %lacks.{at}, false"
        yield f"  %value.{at} = select i1 %without.{at}, i64 {1 << at}, i64 0"
        yield f"  %missing.{at} = or i64 {missing}, %value.{at}"
        missing = f"%missing.{at}"
    yield f"  ret i64 {missing}"


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _machine_code(code: bytes) -> str:
    escaped = "".join(f"\\{byte:02X}" for byte in code)
    return f'[{len(code)} x i8] c"{escaped}"'


# LLVM has no intrinsic for either instruction, and inline assembly needs an assembler, which is
# only there for this machine's own architecture. So the instructions are the prologue of functions
# that have nothing else. A leaf above the highest answers with what it likes, so its answer is
# replaced by zeros.
_X86_WORDS: Final = (
    f"""
define internal void @tilec.cpuid(i32 %leaf, i32 %subleaf, ptr %registers) noinline #2
    prologue {_machine_code(CPUID)} {{
  ret void
}}

define internal i64 @tilec.xgetbv() noinline #2
    prologue {_machine_code(XGETBV)} {{
  ret i64 0
}}
"""
    + """
define internal i64 @tilec.missing() #2 {
entry:
  %zero = alloca [4 x i32], align 4
  %one = alloca [4 x i32], align 4
  %seven = alloca [4 x i32], align 4
  %seven.1 = alloca [4 x i32], align 4
  %far = alloca [4 x i32], align 4
  call void @tilec.cpuid(i32 0, i32 0, ptr %zero)
  call void @tilec.cpuid(i32 1, i32 0, ptr %one)
  call void @tilec.cpuid(i32 7, i32 0, ptr %seven)
  call void @tilec.cpuid(i32 7, i32 1, ptr %seven.1)
  call void @tilec.cpuid(i32 -2147483647, i32 0, ptr %far)
  %highest = load i32, ptr %zero, align 4
  %has.7 = icmp uge i32 %highest, 7
  %one.c = getelementptr i32, ptr %one, i64 2
  %leaf1.c = load i32, ptr %one.c, align 4
  %far.c = getelementptr i32, ptr %far, i64 2
  %extended1.c = load i32, ptr %far.c, align 4
  %seven.b.at = getelementptr i32, ptr %seven, i64 1
  %seven.c.at = getelementptr i32, ptr %seven, i64 2
  %seven.d.at = getelementptr i32, ptr %seven, i64 3
  %seven.a = load i32, ptr %seven, align 4
  %seven.b = load i32, ptr %seven.b.at, align 4
  %seven.c = load i32, ptr %seven.c.at, align 4
  %seven.d = load i32, ptr %seven.d.at, align 4
  %leaf7.b = select i1 %has.7, i32 %seven.b, i32 0
  %leaf7.c = select i1 %has.7, i32 %seven.c, i32 0
  %leaf7.d = select i1 %has.7, i32 %seven.d, i32 0
  %more = icmp ne i32 %seven.a, 0
  %has.7.1 = and i1 %has.7, %more
  %seven.1.a = load i32, ptr %seven.1, align 4
  %leaf7.1.a = select i1 %has.7.1, i32 %seven.1.a, i32 0
  %osxsave = and i32 %leaf1.c, 134217728
  %may.ask = icmp ne i32 %osxsave, 0
  br i1 %may.ask, label %ask, label %test
ask:
  %wide = call i64 @tilec.xgetbv()
  %low = trunc i64 %wide to i32
  br label %test
test:
  %saved = phi i32 [ 0, %entry ], [ %low, %ask ]
"""
)

_ARM_WORDS: Final = """
declare i64 @getauxval(i64) nounwind

define internal i64 @tilec.missing() #2 {
  %capabilities = call i64 @getauxval(i64 16)
  %hwcap = trunc i64 %capabilities to i32
"""
