"""Each elementary function against a more exact one: errors, special values, every width."""

from __future__ import annotations

import math
import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.math_judge import error_f64, errors_f32, exact, in_f64
from benchmarks.math_probe import apply, compile_probe, module_text
from tilec.errors import InternalError
from tilec_llvm.math import FUNCTIONS, float_type, function
from tilec_llvm.target import compiler, host, processor

Array = NDArray[Any]

# The errors that docs/elementwise.md promises, in units of the last place: f32, f64.
PROMISED = {
    "recip": (0.5, 0.5),
    "mod": (0.0, 0.0),
    "exp": (0.9, 1.0),
    "log": (0.9, 0.9),
    "pow": (0.6, 0.9),
    "sigmoid": (1.5, 1.5),
    "erf": (0.95, 1.0),
    "sin": (0.8, 0.8),
    "cos": (0.8, 0.8),
    "tan": (1.1, 1.1),
    "asin": (1.3, 1.3),
    "acos": (1.3, 1.3),
    "atan": (1.4, 1.4),
    "sinh": (1.8, 1.8),
    "cosh": (1.5, 1.5),
    "tanh": (1.5, 1.5),
    "asinh": (1.6, 1.6),
    "acosh": (1.6, 1.6),
    "atanh": (1.0, 1.0),
}
INF, NAN = math.inf, math.nan
UNARY = [op for op, (arity, _) in FUNCTIONS.items() if arity == 1]
DTYPES = ["f32", "f64"]
LANES = {"f32": 16, "f64": 8}
KIND: dict[str, type[np.floating[Any]]] = {"f32": np.float32, "f64": np.float64}


@cache
def numbers(dtype: str) -> Array:
    """Special values, all magnitudes, and dense stretches where formulas change."""
    kind = KIND[dtype]
    facts = np.finfo(kind)
    random = np.random.default_rng(3)
    bits = random.integers(0, 1 << facts.bits, 30_000, dtype=f"u{facts.bits // 8}")
    breaks = [0.25, 0.3466, 0.5, 1.0, 1.0397, 1.0627, math.sqrt(0.5), math.sqrt(2), math.pi / 2]
    breaks += [2.0, math.pi, 3.925, 5.95, 9.01, 16.6, 22.2, 88.03, 88.72, 103.97, 709.78, 745.13]
    near = [b * (1 + random.uniform(-1e-3, 1e-3, 500)) for b in breaks]
    usual = [random.uniform(-span, span, 4000) for span in (1.0, 10.0, 100.0)]
    special = [0.0, 1.0, INF, float(facts.max), float(facts.tiny), float(facts.smallest_subnormal)]
    positive = np.concatenate([*near, *usual, special, np.geomspace(1e-44, 1e38, 3000)])
    found = np.concatenate([positive, -positive, [NAN]]).astype(kind)
    return np.concatenate([found, bits.view(kind)])


@pytest.mark.parametrize("op", UNARY)
def test_f32_error_is_as_promised(op: str) -> None:
    x = numbers("f32")
    with np.errstate(invalid="ignore"):
        errors = errors_f32(apply(op, x), in_f64(op, x))
    worst = int(np.argmax(errors))
    assert errors[worst] <= PROMISED[op][0], f"{op}({x[worst]!r})"


@pytest.mark.parametrize("op", UNARY)
def test_f64_error_is_as_promised(op: str) -> None:
    x = np.random.default_rng(5).choice(numbers("f64"), 1500, replace=False)
    result = apply(op, x, lanes=LANES["f64"])
    for operand, value in zip(x.tolist(), result.tolist(), strict=True):
        wanted = exact(op, operand) if math.isfinite(operand) else None
        if wanted is not None:
            assert error_f64(value, wanted) <= PROMISED[op][1], f"{op}({operand!r})"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", UNARY)
def test_special_values(op: str, dtype: str) -> None:
    kind = KIND[dtype]
    facts = np.finfo(kind)
    positive = [0.0, 1.0, 2.0, INF, float(facts.max), float(facts.smallest_subnormal)]
    x = np.array([*positive, *(-value for value in positive), NAN], kind)
    assert_close(op, (x,), kind)


def assert_close(op: str, operands: tuple[Array, ...], kind: type[np.floating[Any]]) -> None:
    """Every special value exact, every other number nearly so."""
    with np.errstate(all="ignore"):
        result, wanted = apply(op, *operands), in_f64(op, *operands).astype(kind)
        close = (result == wanted) | (abs(result - wanted) <= 3 * np.spacing(abs(wanted)))
    right = close & (np.signbit(result) == np.signbit(wanted))
    right |= np.isnan(result) & np.isnan(wanted)
    cases = zip(*(item.tolist() for item in (*operands, result, wanted)), right, strict=True)
    wrong = [f"{op}{case[:-3]} is {case[-3]}, not {case[-2]}" for case in cases if not case[-1]]
    assert not wrong, wrong[:5]


POW_VALUES = [
    *(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 1e-3, 1e3, 2.0**24 - 1, 2.0**24, 2.0**53 - 1, 2.0**53),
    *(INF, 1.0000001, 0.9999999, 3.4e38, 1.2e-38, 1e-45, 1e308, 2.3e-308, 5e-324),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["pow", "mod"])
def test_special_values_of_two_operands(op: str, dtype: str) -> None:
    kind = KIND[dtype]
    with np.errstate(over="ignore"):
        values = np.array([*POW_VALUES, *(-v for v in POW_VALUES), NAN]).astype(kind)
    x, y = (np.array(side, kind) for side in zip(*product(values, values), strict=True))
    assert_close(op, (x, y), kind)


def test_pow_f32_error_is_as_promised() -> None:
    random = np.random.default_rng(11)
    x = np.exp2(random.uniform(-149, 128, 100_000)).astype(np.float32)
    with np.errstate(all="ignore"):
        y = (random.uniform(-150, 128, x.size) / np.log2(x.astype(np.float64))).astype(np.float32)
    errors = errors_f32(apply("pow", x, y), in_f64("pow", x, y))
    worst = int(np.argmax(errors))
    assert errors[worst] <= PROMISED["pow"][0], f"pow({x[worst]!r}, {y[worst]!r})"


def test_pow_f64_error_is_as_promised() -> None:
    random = np.random.default_rng(13)
    x = np.exp2(random.uniform(-1074, 1024, 1500))
    y = random.uniform(-1074, 1024, x.size) / np.log2(x)
    result = apply("pow", x, y, lanes=8)
    for a, b, value in zip(x.tolist(), y.tolist(), result.tolist(), strict=True):
        assert error_f64(value, exact("pow", a, b)) <= PROMISED["pow"][1], f"pow({a!r}, {b!r})"


@pytest.mark.parametrize("dtype", DTYPES)
def test_mod_is_exact(dtype: str) -> None:
    kind, facts = KIND[dtype], np.finfo(KIND[dtype])
    random = np.random.default_rng(19)
    operands = [
        random.choice([-1.0, 1.0], 20_000) * np.exp2(random.uniform(low, facts.maxexp, 20_000))
        for low in (-3, facts.minexp - facts.nmant)
    ]
    x, y = (item.astype(kind) for item in operands)
    with np.errstate(under="ignore"):
        wanted = np.fmod(x, y)
    np.testing.assert_array_equal(apply("mod", x, y, lanes=LANES[dtype]), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["sin", "cos", "tan"])
def test_angles_of_all_sizes(op: str, dtype: str) -> None:
    kind, facts = KIND[dtype], np.finfo(KIND[dtype])
    random = np.random.default_rng(23)
    x = np.exp2(random.uniform(0, facts.maxexp, 800)).astype(kind)
    multiples = (np.exp2(random.uniform(0, 40, 800)).round() * (math.pi / 2)).astype(kind)
    angles = np.concatenate([x, multiples, -x[:100]])
    result = apply(op, angles, lanes=LANES[dtype])
    if dtype == "f32":
        errors = errors_f32(result, in_f64(op, angles))
        assert errors.max() <= PROMISED[op][0]
        return
    for angle, value in zip(angles.tolist(), result.tolist(), strict=True):
        assert error_f64(value, exact(op, angle)) <= PROMISED[op][1], f"{op}({angle!r})"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_every_width_gives_the_same_bits(op: str, dtype: str) -> None:
    random = np.random.default_rng(17)
    operands = [random.choice(numbers(dtype), 64) for _ in range(FUNCTIONS[op][0])]
    wanted = apply(op, *operands, lanes=16)
    for lanes in (1, 2, 3, 32):
        np.testing.assert_array_equal(apply(op, *operands, lanes=lanes), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["exp", "erf"])
def test_instructions_of_avx512_give_the_same_bits(op: str, dtype: str) -> None:
    if not compiler(host()).abilities.avx512:
        pytest.skip("this processor does not have them")
    x = numbers(dtype)
    for lanes in (16, 64):
        found = apply(op, x, lanes=lanes, avx512=True)
        np.testing.assert_array_equal(found, apply(op, x, lanes=lanes, avx512=False))


def test_only_some_processors_have_instructions_of_avx512() -> None:
    known = {name: compiler(processor(name)).abilities.avx512 for name in ("x86-64-v3", "znver4")}
    assert known == {"x86-64-v3": False, "znver4": True}
    assert not compiler(processor("neoverse-v1")).abilities.avx512
    kind = float_type("f32", 32)
    text = module_text(function("exp", "f32", 32, avx512=True), (kind,), kind)
    assert compiler(processor("znver4")).assembly(text).count("vscalefps") == 2


@pytest.mark.parametrize("op", FUNCTIONS)
def test_text_is_deterministic_and_calls_no_library(op: str) -> None:
    for dtype, lanes in LANES.items():
        kind = float_type(dtype, lanes)
        kinds = (kind,) * FUNCTIONS[op][0]
        text = module_text(function(op, dtype, lanes), kinds, kind)
        function.cache_clear()
        assert module_text(function(op, dtype, lanes), kinds, kind) == text
        assembly = compiler(processor("x86-64-v3")).assembly(text)
        calls = [line for line in assembly.splitlines() if "call" in line or "@PLT" in line]
        assert all("tilec." in line for line in calls), calls


def test_the_documented_errors_are_those_tested() -> None:
    text = (Path(__file__).parents[2] / "docs" / "elementwise.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \| [\d.]+ \|$", text, re.M)
    assert {op: (float(f32), float(f64)) for op, f32, f64 in rows} == PROMISED
    assert PROMISED.keys() == FUNCTIONS.keys()


def test_a_shorter_run_leaves_the_rest_alone() -> None:
    x, y = np.ones(32, np.float32), np.full(32, 7, np.float32)
    compile_probe("exp", "f32", 16)(x[:16], y)
    assert (y[:16] == np.float32(math.e)).all()
    assert (y[16:] == 7).all()


def test_unknown_function_is_an_internal_error() -> None:
    for op, dtype, lanes in (("gamma", "f32", 4), ("exp", "f16", 4), ("exp", "f32", 0)):
        with pytest.raises(InternalError, match="no vector code"):
            function(op, dtype, lanes)
