"""Facts about f32 and f64 that several formulas need."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary.values import Value
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A binary float format.

    Attributes:
        bits: Width.
        fraction: Stored bits of the significand.
        bias: Exponent bias, also the largest exponent.
        tiniest: Smallest normal number.
        log2_e: 1 / ln(2).
        ln2_high: ln(2) rounded to the format.
        ln2_low: The rest, rounded to the format.
        half_pi: pi/2 and the rest.
        exp_low: exp of less is 0 even after rounding to nearest.
        exp_high: exp of more is infinity.
    """

    bits: int
    fraction: int
    bias: int
    log2_e: float
    ln2_high: float
    ln2_low: float
    half_pi: tuple[float, float]
    exp_low: float
    exp_high: float

    @property
    def tiniest(self) -> float:
        """Smallest normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def shifter(self) -> float:
        """Added to ``|v| < 2**(fraction - 1)``, it leaves v rounded to a whole number.

        The low bits of the sum are then that number, and subtracting the shifter again gives it
        as a float: cheaper than a rounding instruction, and the integer comes for free.
        """
        return 1.5 * 2.0**self.fraction


F32: Final = Format(
    bits=32,
    fraction=23,
    bias=127,
    log2_e=1.4426950216293335,
    ln2_high=0.6931471824645996,
    ln2_low=-1.9046542121259336e-09,
    half_pi=(1.5707963705062866, -4.371138828673793e-08),
    exp_low=-104.0,
    exp_high=89.0,
)
F64: Final = Format(
    bits=64,
    fraction=52,
    bias=1023,
    log2_e=1.4426950408889634,
    ln2_high=0.6931471805599453,
    ln2_low=2.3190468138462996e-17,
    half_pi=(1.5707963267948966, 6.123233995736766e-17),
    exp_low=-746.0,
    exp_high=710.0,
)


def format_of(x: Value) -> Format:
    """The format of a float value."""
    return F32 if x.type.bits == 32 else F64
