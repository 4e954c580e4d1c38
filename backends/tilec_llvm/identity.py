"""Which LLVM and which processor this is, found out without loading LLVM.

The disk cache needs to know before it can find anything. LLVM derives its name of the processor
and the features from what the CPUID instruction says, so a digest of that tells processors apart
exactly as well.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Final, cast

from tilec.errors import TargetError
from tilec_llvm.image import map_code

# void cpuid(u32 leaf, u32 subleaf, u32 *registers), in the System V convention:
# push rbx; mov eax, edi; mov ecx, esi; mov r8, rdx; cpuid;
# mov [r8], eax; mov [r8 + 4], ebx; mov [r8 + 8], ecx; mov [r8 + 12], edx; pop rbx; ret
CPUID: Final = bytes.fromhex("53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3")
# u64 xgetbv(): which registers the system saves.
# xor ecx, ecx; xgetbv; shl rdx, 32; or rax, rdx; ret
XGETBV: Final = bytes.fromhex("31c9 0f01d0 48c1e220 4809d0 c3")
_XGETBV_AT: Final = 64

_OSXSAVE: Final = 1 << 27
_EXTENDED: Final = 0x80000000

# Leaf, subleaf, and which of eax, ebx, ecx, edx say what the processor can do. Others hold the
# number of the core, or sizes of what happens to be switched on.
_LEAVES: Final = (
    (0x0, 0, (0, 1, 2, 3)),
    (0x1, 0, (0, 2, 3)),
    (0x7, 0, (0, 1, 2, 3)),
    (0x7, 1, (0, 1, 2, 3)),
    (0x7, 2, (0, 1, 2, 3)),
    (0xD, 1, (0,)),
    (0x14, 0, (1,)),
    (0x19, 0, (1,)),
    (0x1E, 1, (0,)),
    (0x24, 0, (1,)),
    (0x29, 0, (1,)),
    (_EXTENDED + 0x0, 0, (0,)),
    (_EXTENDED + 0x1, 0, (2, 3)),
    (_EXTENDED + 0x8, 0, (1,)),
    (_EXTENDED + 0x21, 0, (0,)),
)


@cache
def library() -> str:
    """The installed llvmlite: its version, and a digest that tells builds apart.

    Raises:
        TargetError: it is not installed.
    """
    spec = find_spec("llvmlite")
    if spec is None or spec.origin is None:
        raise TargetError("llvmlite is not installed", help="pip install llvmlite")
    folder = os.path.dirname(spec.origin)
    with os.scandir(os.path.join(folder, "binding")) as listing:
        built = [file for file in listing if "llvmlite." in file.name]
    facts = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in built)
    digest = hashlib.sha256(repr(facts).encode())
    return f"llvmlite {_version(folder)} ({digest.hexdigest()[:12]})"


@cache
def processor_digest() -> str | None:
    """What CPUID says, as a digest; None where this cannot be found out so."""
    if sys.platform not in ("linux", "darwin") or os.uname().machine not in ("x86_64", "amd64"):
        return None
    code = map_code(CPUID.ljust(_XGETBV_AT, b"\xcc") + XGETBV)
    if code is None:
        return None
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)
    cpuid = cast("Callable[[int, int, object], None]", prototype(code))
    registers = (ctypes.c_uint32 * 4)()

    def ask(leaf: int, subleaf: int) -> tuple[int, ...]:
        cpuid(leaf, subleaf, registers)
        return tuple(registers)

    highest = {0: ask(0, 0)[0], _EXTENDED: ask(_EXTENDED, 0)[0]}
    said = [
        tuple(ask(leaf, subleaf)[at] for at in wanted)
        for leaf, subleaf, wanted in _LEAVES
        if leaf <= highest[leaf & _EXTENDED]
    ]
    if ask(1, 0)[2] & _OSXSAVE:
        said.append((ctypes.CFUNCTYPE(ctypes.c_uint64)(code + _XGETBV_AT)(),))
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _version(folder: str) -> str:
    """The text of the first string in ``_version.py`` that begins with a digit."""
    try:
        with open(os.path.join(folder, "_version.py"), encoding="utf-8") as file:
            quoted = file.read().replace('"', "'").split("'")[1::2]
    except OSError:
        quoted = []
    return next((text for text in quoted if text[:1].isdigit()), "of unknown version")
