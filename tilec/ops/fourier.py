"""Discrete Fourier transforms by their definition: products with tables of cosines and sines.

That takes n multiplications for each frequency; a fast transform would take log(n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.errors import ShapeError
from tilec.ops.joining import pad, stack
from tilec.ops.matrices import tensordot
from tilec.ops.shapes import moveaxis, reshape
from tilec.ops.texts import axis_of, single, text
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor, tensor
from tilec.runtime.arrays import numpy_dtype


@public
def dft(
    x: Operand,
    axis: int = -2,
    *,
    length: int | None = None,
    inverse: bool = False,
    one_sided: bool = False,
) -> Tensor:
    """The discrete Fourier transform: ``numpy.fft.fft``, ``rfft``, ``ifft`` and ``irfft``.

    Args:
        x: Floats. The last axis holds the real part, or the real and the imaginary part.
        axis: Along which; not the last one.
        length: How many elements are transformed: the rest is cut off, or zeros are added.
        inverse: The inverse transform.
        one_sided: Of a real signal, the frequencies up to the half; of the inverse, the real
            signal with such frequencies.

    Returns:
        Real and imaginary parts along the last axis; the real part alone of an inverse, one-sided
        transform.

    Raises:
        ShapeError: the last axis has neither one nor two elements, or is the one to transform.
    """
    found = tensor(x)
    at = axis_of("dft", axis, found.ndim)
    if found.shape[-1] not in (1, 2) or at == found.ndim - 1:
        raise ShapeError(f"dft: shape {list(found.shape)} has no complex numbers along axis {axis}")
    given = found.shape[at]
    count = length or (2 * (given - 1) if inverse and one_sided else given)
    bins = count // 2 + 1 if one_sided else count
    wanted = bins if inverse else count
    if wanted != given:
        widths = [(0, wanted - given) if each == at else (0, 0) for each in range(found.ndim)]
        found = pad(found, widths)
    shape = (count, bins) if inverse else (bins, count)
    angles: Any = np.outer(*map(np.arange, shape)) * (2 * np.pi / count)
    scale: Any = 1.0
    if inverse:
        # Of a real signal, the frequencies beyond the half are the conjugates of those below.
        twice = np.full(bins, 2.0 if one_sided else 1.0)
        if one_sided:
            twice[0] = 1.0
            twice[bins - 1 :] = 1.0 if count % 2 == 0 else 2.0
        scale = twice / count
    kind = numpy_dtype(found.dtype)
    cosines = tensor((np.cos(angles) * scale).astype(kind))
    sines = tensor((np.sin(angles) * scale * (1 if inverse else -1)).astype(kind))

    def against(table: Tensor, part: int) -> Tensor:
        return moveaxis(tensordot(table, found[..., part], ((1,), (at,))), 0, at)

    real, imaginary = against(cosines, 0), against(sines, 0)
    if found.shape[-1] == 2:
        real, imaginary = real - against(sines, 1), imaginary + against(cosines, 1)
    parts = [real] if inverse and one_sided else [real, imaginary]
    return stack(parts, -1)


@public
def stft(
    signal: Operand,
    step: int,
    length: int,
    window: Operand | None = None,
    *,
    one_sided: bool = True,
) -> Tensor:
    """Transforms of windows that follow each other: ``[batch, windows, frequencies, 2]``.

    Args:
        signal: ``[batch, samples, 1]``, or with 2 for complex ones.
        step: From one window to the next.
        length: Samples of a window.
        window: A factor for each of its samples.
        one_sided: The frequencies up to the half alone.

    Raises:
        ShapeError: the signal is shorter than a window.
    """
    found = tensor(signal)
    if found.ndim != 3 or found.shape[1] < length or step < 1:
        raise ShapeError(
            f"stft: windows of {length} every {step} do not fit a signal of shape "
            f"{list(found.shape)}"
        )
    count = (found.shape[1] - length) // step + 1
    framed = _windows(found, count, step, length)
    if window is not None:
        framed = framed * reshape(tensor(window), (length, 1))
    return dft(framed, 2, one_sided=one_sided)


def _windows(x: Tensor, count: int, step: int, length: int) -> Tensor:
    """Windows of axis 1, one behind the other."""
    source = (
        "function windows_of(X[B, N, C], W, S, L) -> (Y) "
        "{ Y[b, w, t, c : B, W, L, C] = =(X[b, S*w + t, c]); }"
    )
    return single(text(source), x, count, step, length)
