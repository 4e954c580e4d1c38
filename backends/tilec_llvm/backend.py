"""The backend object that ``tilec.runtime.backend`` finds."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tilec.errors import InternalError, TargetError
from tilec.options import Options
from tilec.runtime.backend import Runner
from tilec.target import core
from tilec.target.core import Core
from tilec_llvm.direct import entry
from tilec_llvm.identity import library, processor_digest
from tilec_llvm.jit import LlvmRunner, load_forever

if TYPE_CHECKING:
    from tilec.kernel.ir import Module
    from tilec.runtime.library import Interface, Library

# What prints and compiles code is imported when it is needed: a program that finds its kernels in
# the disk cache pays for none of it.

# Code is: magic, bytes of workspace, whether it is parallel, further bytes of workspace per thread,
# number of parts, length of each; the object file; that of direct calls; if it is parallel, that of
# the pool; the constants.
_MAGIC = b"tilecobj"
_HEAD = struct.Struct("<8sQQQQ")


class LlvmBackend:
    """The target ``llvm``."""

    name = "llvm"
    stages = ("llvm", "asm")
    clocked = True

    def fingerprint(self, options: Options) -> str:
        """Versions and processor that the code depends on."""
        digest = processor_digest() if options.cpu is None else None
        if digest is not None:
            return f"{library()}, x86_64, processor {digest}"
        from tilec_llvm.target import processor, versions

        target = processor(options.cpu)
        return f"{versions()}, {target.triple}, {target.cpu}, {target.features}"

    def core(self, options: Options) -> Core:
        """The processor that the options name, else this machine."""
        return core.host_core() if options.cpu is None else core.load(options.cpu)

    def compile(self, module: Module, options: Options) -> bytes:
        """Object code of a module, with its large constants."""
        from tilec_llvm.direct import direct_image
        from tilec_llvm.emit import emit_module
        from tilec_llvm.pool import pool_image
        from tilec_llvm.target import compiler, processor

        target = compiler(processor(options.cpu))
        emitted = emit_module(module, target.abilities)
        image = target.object_code(emitted.text, verify=options.debug)
        helpers = (direct_image(), *((pool_image(),) if emitted.is_parallel else ()))
        parts = (image, *helpers, *emitted.constants)
        needs = (emitted.workspace_bytes, emitted.is_parallel, emitted.worker_bytes)
        head = _HEAD.pack(_MAGIC, *needs, len(parts))
        sizes = struct.pack(f"<{len(parts)}Q", *map(len, parts))
        return b"".join((head, sizes, *parts))

    def text(self, module: Module, stage: str, options: Options) -> str:
        """LLVM IR as it is given to LLVM, or the assembly that comes out."""
        from tilec_llvm.emit import emit_module
        from tilec_llvm.target import compiler, processor

        target = compiler(processor(options.cpu))
        emitted = emit_module(module, target.abilities)
        if stage == "llvm":
            return emitted.text
        if stage == "asm":
            lines = [line for kernel in module.kernels for line in kernel.header]
            header = "".join(f"# {line}\n" for line in lines)
            return header + target.assembly(emitted.text)
        raise TargetError(
            f"the target llvm has no stage {stage!r}", help=f"stages: {', '.join(self.stages)}"
        )

    def library(self, module: Module, interface: Interface, options: Options) -> Library:
        """See ``tilec.runtime.library.LibraryBackend``."""
        from tilec_llvm.library import make_library

        return make_library(module, interface, options)

    def open_library(self, code: bytes, name: str, architecture: str, weights: str) -> Runner:
        """See ``tilec.runtime.library.LibraryBackend``."""
        from tilec_llvm.library import open_library

        return open_library(code, name, architecture, weights)

    def load(self, code: bytes, module_name: str, workspace_bytes: int) -> Runner:
        """Make compiled code runnable; the workspace it needs is noted in the code."""
        if len(code) < _HEAD.size:
            raise InternalError(f"the code of {module_name} is cut off")
        magic, needed, is_parallel, worker_bytes, count = _HEAD.unpack_from(code)
        if magic != _MAGIC:
            raise InternalError(f"the code of {module_name} is not of this backend")
        sizes = struct.unpack_from(f"<{count}Q", code, _HEAD.size)
        at = _HEAD.size + 8 * count
        parts: list[bytes] = []
        for size in sizes:
            parts.append(code[at : at + size])
            at += size
        needed = max(needed, workspace_bytes)
        enter = entry(parts[1], load_forever)
        if is_parallel:
            from tilec_llvm.pool import ParallelRunner, pool

            team, own = pool(parts[2]), (parts[0], module_name, needed, parts[3:], worker_bytes)
            return ParallelRunner(*own, team, enter)
        return LlvmRunner(parts[0], module_name, needed, parts[2:], enter=enter)
