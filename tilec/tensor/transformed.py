"""Convolutions that are computed by transforms of tiles."""

from __future__ import annotations

from typing import TypeAlias

from tilec.tensor.fourier import Fourier
from tilec.tensor.winograd import Winograd

Transformed: TypeAlias = Winograd | Fourier
"""What a rewrite knows of such a convolution."""
