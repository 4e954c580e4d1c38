"""Discrete Fourier transforms as straight-line code, of lengths whose prime factors are 2 and 3.

Cooley and Tukey's recursion (1965): a transform of ``p * n`` elements is p transforms of every
p-th element, put together by butterflies. A butterfly a + w b, a - w b takes six fused operations
(Linzer and Feig 1993): the difference is twice the one operand less the sum. A pair of such steps
is one with p = 4, so that values that do not fit the registers are stored half as often. Transforms
of real data compute one half of the spectrum; the other one is its mirror image (Sorensen et al.
1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from tilec.errors import InternalError
from tilec.kernel.ir import Apply, Const, Expr
from tilec.lower.straight import Straight
from tilec.tensor.waves import wave

Complex: TypeAlias = "tuple[Expr, Expr | None]"
"""Real and imaginary part; without one the value is real."""


def is_length(count: int) -> bool:
    """Whether there is code for transforms of some elements."""
    for factor in (2, 3):
        while count and count % factor == 0:
            count //= factor
    return count == 1


def transform(code: Straight, values: Sequence[Complex], sign: int) -> list[Complex]:
    """``sum_j values[j] * exp(sign * 2 pi i j k / count)`` for every k."""
    count = len(values)
    if count == 1:
        return list(values)
    p, n = _split(count)
    parts = [transform(code, values[at::p], sign) for at in range(p)]
    found: list[Complex] = list(values)
    for k in range(n):
        group = _Waves(code, sign * k, count, sign).together([part[k] for part in parts])
        for q, value in enumerate(group):
            found[k + q * n] = value
    return found


def real_transform(code: Straight, values: Sequence[Expr]) -> list[Complex]:
    """Elements 0 to ``count // 2`` of the transform of real values, with sign -1."""
    count = len(values)
    if count == 1:
        return [(values[0], None)]
    p, n = _split(count)
    parts = [real_transform(code, values[at::p]) for at in range(p)]
    found: dict[int, Complex] = {}
    for k in range(n // 2 + 1):
        group = _Waves(code, -k, count, -1).together([part[k] for part in parts])
        for q, (real, imaginary) in enumerate(group):
            at = k + q * n
            if at <= count // 2:
                found[at] = real, None if 2 * at % count == 0 else imaginary
            elif count - at not in found and imaginary is not None:
                found[count - at] = real, code.name(Apply("neg", (imaginary,), code.kind))
    return [found[at] for at in range(count // 2 + 1)]


def real_inverse(code: Straight, spectrum: Sequence[Complex], count: int) -> list[Expr]:
    """``sum_k spectrum[k] * exp(2 pi i j k / count)`` for every j, which are real.

    ``spectrum`` has elements 0 to ``count // 2``; the others are its mirror image.
    """
    if count == 1:
        return [spectrum[0][0]]
    p, n = (3, count // 3) if count % 3 == 0 else (2, count // 2)
    parts: list[list[Complex]] = [[] for _ in range(p)]
    for k in range(n // 2 + 1):
        real = 2 * k % n == 0
        group = [_mirrored(code, spectrum, k + q * n, count) for q in range(p)]
        for r, value in enumerate(_Waves(code, 0, 1, 1).together(group)):
            turned = _times(code, value, r * k, count, real=real)
            parts[r].append(turned)
    found: list[Expr] = [spectrum[0][0]] * count
    for r, part in enumerate(parts):
        found[r::p] = real_inverse(code, part, n)
    return found


def _split(count: int) -> tuple[int, int]:
    for p in (4, 2, 3):
        if count % p == 0:
            return p, count // p
    raise InternalError(f"there is no code for transforms of {count} elements")


def _mirrored(code: Straight, spectrum: Sequence[Complex], at: int, count: int) -> Complex:
    """An element of a whole spectrum, of which one half is there."""
    if 2 * at <= count:
        return spectrum[at][0], None if 2 * at % count == 0 else spectrum[at][1]
    real, imaginary = spectrum[count - at]
    if imaginary is None:
        return real, None
    return real, code.name(Apply("neg", (imaginary,), code.kind))


def _times(code: Straight, value: Complex, number: int, count: int, *, real: bool) -> Complex:
    """A value times a root of unity; with ``real`` the product is known to be real."""
    cosine, sine = wave(number, count)
    a, b = value
    if sine == 0 and cosine == 1:
        return a, None if real else b
    real_part = _sum(code, (cosine, a), (-sine, b))
    return real_part, None if real else _sum(code, (sine, a), (cosine, b))


def _sum(code: Straight, *terms: tuple[float, Expr | None]) -> Expr:
    """A sum of multiples."""
    total: Expr | None = None
    for factor, value in sorted(terms, key=lambda term: abs(term[0]) != 1):
        if value is None or factor == 0:
            continue
        if total is None:
            if factor == 1:
                total = value
            elif factor == -1:
                total = code.name(Apply("neg", (value,), code.kind))
            else:
                total = code.name(Apply("mul", (value, Const(factor, code.kind)), code.kind))
        elif abs(factor) == 1:
            op = "add" if factor == 1 else "sub"
            total = code.name(Apply(op, (total, value), code.kind))
        else:
            terms_of = (value, Const(factor, code.kind), total)
            total = code.name(Apply("fma", terms_of, code.kind))
    return Const(0.0, code.kind) if total is None else total


class _Waves:
    """Puts transforms of parts together; the factors are powers of one root of unity."""

    def __init__(self, code: Straight, number: int, count: int, sign: int) -> None:
        self.code = code
        self.number = number
        self.count = count
        self.sign = sign

    def together(self, parts: Sequence[Complex]) -> list[Complex]:
        """The elements that p parts make: n elements apart, where n is the length of a part."""
        if len(parts) == 2:
            return list(self._butterfly(parts[0], parts[1], wave(self.number, self.count)))
        if len(parts) == 3:
            return self._three(parts)
        a, b, c, d = parts
        twice = wave(2 * self.number, self.count)
        even, odd = self._butterfly(a, c, twice), self._butterfly(b, d, twice)
        cosine, sine = wave(self.number, self.count)
        turned = -self.sign * sine, self.sign * cosine
        first, third = self._butterfly(even[0], odd[0], (cosine, sine))
        second, fourth = self._butterfly(even[1], odd[1], turned)
        return [first, second, third, fourth]

    def _butterfly(
        self, a: Complex, b: Complex, factor: tuple[float, float]
    ) -> tuple[Complex, Complex]:
        """``a + w b`` and ``a - w b``."""
        cosine, sine = factor
        (a_re, a_im), (b_re, b_im) = a, b
        re = self._pair(a_re, (cosine, b_re), (-sine, b_im))
        im = self._pair(a_im, (sine, b_re), (cosine, b_im))
        assert re[0] is not None
        assert re[1] is not None
        return (re[0], im[0]), (re[1], im[1])

    def _pair(
        self, a: Expr | None, *terms: tuple[float, Expr | None]
    ) -> tuple[Expr | None, Expr | None]:
        """``a`` plus and minus a sum of multiples."""
        code = self.code
        kept = [(factor, value) for factor, value in terms if factor != 0 and value is not None]
        if not kept:
            return a, a
        if a is None:
            total = _sum(code, *kept)
            return total, code.name(Apply("neg", (total,), code.kind))
        if len(kept) == 1:
            (factor, value) = kept[0]
            negative = _sum(code, (1.0, a), (-factor, value))
            return _sum(code, (1.0, a), (factor, value)), negative
        total = a
        for factor, value in kept:
            total = _sum(code, (1.0, total), (factor, value))
        minus = Apply("neg", (total,), code.kind)
        twice = code.name(Apply("fma", (a, Const(2.0, code.kind), minus), code.kind))
        return total, twice

    def _three(self, parts: Sequence[Complex]) -> list[Complex]:
        code, (_, height) = self.code, wave(self.sign, 3)
        a = parts[0]
        b, c = (
            _times(code, each, at * self.number, self.count, real=False)
            for at, each in enumerate(parts)
            if at
        )
        sums = [self._pair(b_part, (1.0, c_part)) for b_part, c_part in zip(b, c, strict=True)]
        (re, re_less), (im, im_less) = sums
        first = _optional(code, (1.0, a[0]), (1.0, re)), _optional(code, (1.0, a[1]), (1.0, im))
        middle = _optional(code, (1.0, a[0]), (-0.5, re)), _optional(code, (1.0, a[1]), (-0.5, im))
        second, third = (
            (
                _optional(code, (1.0, middle[0]), (-side, im_less)),
                _optional(code, (1.0, middle[1]), (side, re_less)),
            )
            for side in (height, -height)
        )
        return [(_some(re), im) for re, im in (first, second, third)]


def _optional(code: Straight, *terms: tuple[float, Expr | None]) -> Expr | None:
    """A sum of multiples; None without any."""
    return _sum(code, *terms) if any(value is not None for _, value in terms) else None


def _some(value: Expr | None) -> Expr:
    assert value is not None, "a real part"
    return value
