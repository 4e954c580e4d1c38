"""The backend object that ``tilec.runtime.backend`` finds."""

from __future__ import annotations

import struct

from tilec.errors import InternalError, TargetError
from tilec.kernel.ir import Module
from tilec.options import Options
from tilec.runtime.backend import Runner
from tilec_llvm.emit import emit_module
from tilec_llvm.jit import LlvmRunner
from tilec_llvm.pool import ParallelRunner
from tilec_llvm.target import compiler, processor, versions

# Code is: magic, bytes of workspace, whether it is parallel, further bytes of workspace per thread,
# number of parts, length of each; the object file; the constants.
_MAGIC = b"tilecobj"
_HEAD = struct.Struct("<8sQQQQ")


class LlvmBackend:
    """The target ``llvm``."""

    name = "llvm"
    stages = ("llvm", "asm")

    def fingerprint(self, options: Options) -> str:
        """Versions and processor that the code depends on."""
        target = processor(options.cpu)
        return f"{versions()}, {target.triple}, {target.cpu}, {target.features}"

    def compile(self, module: Module, options: Options) -> bytes:
        """Object code of a module, with its large constants."""
        target = compiler(processor(options.cpu))
        emitted = emit_module(module, target.abilities)
        image = target.object_code(emitted.text, verify=options.debug)
        parts = (image, *emitted.constants)
        needs = (emitted.workspace_bytes, emitted.is_parallel, emitted.worker_bytes)
        head = _HEAD.pack(_MAGIC, *needs, len(parts))
        sizes = struct.pack(f"<{len(parts)}Q", *map(len, parts))
        return b"".join((head, sizes, *parts))

    def text(self, module: Module, stage: str, options: Options) -> str:
        """LLVM IR as it is given to LLVM, or the assembly that comes out."""
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
        if is_parallel:
            return ParallelRunner(parts[0], module_name, needed, parts[1:], worker_bytes)
        return LlvmRunner(parts[0], module_name, needed, parts[1:])
