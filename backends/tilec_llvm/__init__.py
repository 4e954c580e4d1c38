"""The LLVM backend: kernel IR as machine code of this processor, run in process."""

from __future__ import annotations

from tilec_llvm.backend import LlvmBackend

__all__ = ["LlvmBackend", "backend"]

backend = LlvmBackend()
