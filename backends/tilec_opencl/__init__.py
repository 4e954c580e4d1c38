"""The OpenCL backend: kernel IR as OpenCL C, run through pyopencl on any device."""

from __future__ import annotations

from tilec_opencl.backend import OpenClBackend

__all__ = ["OpenClBackend", "backend"]

backend = OpenClBackend()
"""The backend object that ``tilec.runtime.backend`` finds."""
