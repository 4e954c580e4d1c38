"""Fits the polynomials of the elementary functions and writes ``elementary/coefficients.py``.

Each row of ``FITS`` (in ``fit_table.py``) states a function ``g``, an interval, a weight ``w`` and
a number of coefficients; the fit is the polynomial ``p`` that minimises ``max |w (p - g)|`` there.

    python benchmarks/fit_polynomials.py            # rewrite coefficients.py
    python benchmarks/fit_polynomials.py --check    # say whether it would change
    python benchmarks/fit_polynomials.py EXP_F32    # print one fit

Needs mpmath (gmpy2 makes it several times faster). All fits take about a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import mpmath
from fit_table import FITS
from remez import Fit, Real, rounded, solve

mp: Any = mpmath.mp
OUTPUT: Final = Path(__file__).parents[1] / "tilec" / "kernel" / "elementary" / "coefficients.py"


def _literal(value: Real, bits: int) -> str:
    """The shortest decimal text that rounds to ``value``."""
    if bits == 64:
        return repr(float(value))
    for digits in range(6, 12):
        text = f"{float(value):.{digits}g}"
        if rounded(mp.mpf(text), 32) == value:
            return repr(float(text))
    raise AssertionError(value)


def render(fit: Fit) -> str:
    """The Python text of one fitted polynomial."""
    coefficients, error = solve(fit)
    power = float(mp.log(error, 2))
    lines = [
        f"# {fit.meaning}",
        f"# on [{mp.nstr(fit.low, 5)}, {mp.nstr(fit.high, 5)}], relative error 2^{power:.1f}.",
        f"{fit.name}: Final = (",
        *(f"    {_literal(value, fit.bits)}," for value in coefficients),
        ")",
    ]
    return "\n".join(lines)


HEADER: Final = '''"""Coefficients of the polynomials, lowest power first.

Written by ``benchmarks/fit_polynomials.py``, which states how they are found; not edited by hand.
"""

from typing import Final
'''


def main(arguments: list[str]) -> int:
    """Write, check or print."""
    names = [name for name in arguments if not name.startswith("-")]
    if names:
        for fit in FITS:
            if fit.name in names:
                print(render(fit))
        return 0
    text = HEADER + "".join(f"\n{render(fit)}\n" for fit in FITS)
    if "--check" in arguments:
        same = OUTPUT.read_text() == text
        print("unchanged" if same else "would change")
        return 0 if same else 1
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
