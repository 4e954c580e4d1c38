"""Straight-line Fourier transforms against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilec.dtypes import F64
from tilec.errors import InternalError
from tilec.kernel.ir import Apply, Const, Expr, Let, Var, VType
from tilec.lower.dft import Complex, is_length, real_inverse, real_transform, transform
from tilec.lower.straight import Straight

KIND = VType(F64)
LENGTHS = [1, 2, 3, 4, 6, 8, 9, 12, 18, 24, 32]


def names(letter: str, count: int) -> list[Expr]:
    return [Var(f"{letter}{at}", KIND) for at in range(count)]


def run(code: Straight, known: dict[str, float], results: list[Complex]) -> Any:
    """The complex numbers that the code computes."""

    def value(expr: Expr | None) -> float:
        match expr:
            case None:
                return 0.0
            case Var():
                return known[expr.name]
            case Const():
                return float(expr.value)
            case Apply(op=op):
                a, *rest = map(value, expr.args)
                found = {"neg": -a}
                if rest:
                    found = {"add": a + rest[0], "sub": a - rest[0], "mul": a * rest[0]}
                    found["fma"] = a * rest[0] + rest[-1]
                return found[op]
            case _:
                raise AssertionError(expr)

    for stmt in code.stmts:
        assert isinstance(stmt, Let)
        known[stmt.var.name] = value(stmt.value)
    return np.array([complex(value(real), value(imaginary)) for real, imaginary in results])


@pytest.mark.parametrize("count", LENGTHS)
def test_transforms(count: int) -> None:
    random = np.random.default_rng(count)
    x, y = random.standard_normal(count), random.standard_normal(count)
    known = dict(zip([f"x{at}" for at in range(count)], map(float, x), strict=True))
    both = known | {f"y{at}": float(each) for at, each in enumerate(y)}
    values = list(zip(names("x", count), names("y", count), strict=True))
    for sign, expected in ((-1, np.fft.fft(x + 1j * y)), (1, np.fft.ifft(x + 1j * y) * count)):
        code = Straight(KIND, ".v")
        results = transform(code, list(values), sign)
        np.testing.assert_allclose(run(code, dict(both), results), expected, atol=1e-12)
    code = Straight(KIND, ".v")
    half = real_transform(code, names("x", count))
    np.testing.assert_allclose(run(code, dict(known), half), np.fft.rfft(x), atol=1e-12)
    spectrum = np.fft.rfft(x)
    known = {f"x{at}": float(each.real) for at, each in enumerate(spectrum)}
    known |= {f"y{at}": float(each.imag) for at, each in enumerate(spectrum)}
    code = Straight(KIND, ".v")
    back = real_inverse(code, values[: count // 2 + 1], count)
    found = run(code, known, [(each, None) for each in back])
    np.testing.assert_allclose(found, x * count, atol=1e-12)


def test_few_operations() -> None:
    """Split-radix takes 4 N log2 N - 6 N + 8 operations: 648 for 32 elements, without fusing."""
    code = Straight(KIND, ".v")
    transform(code, list(zip(names("x", 32), names("y", 32), strict=True)), -1)
    assert len(code.stmts) < 400


def test_other_lengths_have_no_code() -> None:
    assert [count for count in range(1, 13) if is_length(count)] == [1, 2, 3, 4, 6, 8, 9, 12]
    assert not is_length(0)
    with pytest.raises(InternalError, match="no code for transforms of 5"):
        real_transform(Straight(KIND, ".v"), names("x", 10))
