"""Products by quarters: the identity, what is recognised, and the same values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import Options
from tilec.program import pipeline
from tilec.program.pipeline import Hook
from tilec.rewrite.strassen import LEFT, RESULT, RIGHT, divided, multiplication_of
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Contraction, Program
from tilec.tensor.verify import verify

FORMS = {
    "C[i, j : M, N] = +(A[i, k] * B[k, j])": ("ik", "kj"),
    "C[i, j : M, N] = +(A[k, i] * B[j, k])": ("ki", "jk"),
    "C[i, j : M, N] = +(B[k, j] * A[i, k])": ("ik", "kj"),
    "C[j, i : N, M] = +(A[i, k] * B[k, j])": ("ik", "kj"),
}
SIZES = {"i": 6, "k": 8, "j": 10}


def bound(text: str, *shapes: tuple[int, ...]) -> Program:
    function = tilec.function(text)
    recipe = function.recipe(*(tilec.Spec(shape) for shape in shapes))
    return pipeline.bind(function.parts.text, recipe, Hook(lambda event: None, debug=False))


def contraction(program: Program) -> Contraction:
    (found,) = (node for node in program.nodes if isinstance(node, Contraction))
    return found


def test_seven_products_of_quarters_are_the_product() -> None:
    """Every quarter of the result has just the pairs of quarters that the definition has."""
    halves = [(one, other) for one in range(2) for other in range(2)]
    for a, c in halves:
        for x, y in halves:
            for z, w in halves:
                total = sum(RESULT[a][c][p] * LEFT[p][x][y] * RIGHT[p][z][w] for p in range(7))
                assert total == int(a == x and c == w and y == z)


@pytest.mark.parametrize("text", FORMS)
def test_values_are_the_same_in_exact_arithmetic(text: str) -> None:
    shapes = {
        name: tuple(SIZES[index] for index in form)
        for name, form in zip("AB", FORMS[text], strict=True)
    }
    names = [each.name for each in tilec.function(text).inputs]
    program = bound(text, *(shapes[name] for name in names))
    node = contraction(program)
    found = multiplication_of(node, program.types())
    assert not isinstance(found, str), found
    assert found.flops == 2 * 6 * 8 * 10
    made = replace(program, nodes=divided(found))
    verify(made)
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        name: random.integers(-9, 9, shapes[name]).astype(np.float32) for name in names
    }
    before, after = evaluate(program, arrays), evaluate(made, arrays)
    np.testing.assert_array_equal(before["C"], after["C"])


@pytest.mark.parametrize(
    ("text", "shapes", "why"),
    [
        ("C[i, j : M, N] = +(A[i, k] * B[k, j])", ((6, 7), (7, 8)), "a size is odd"),
        ("C[i, j : M, N] = >(A[i, k] * B[k, j])", ((6, 8), (8, 8)), "no sum of products"),
        ("C[i, j : M, N] = +(A[i, k] + B[k, j])", ((6, 8), (8, 8)), "no sum of products"),
        ("C[i, j : 4, N] = +(A[i, k] * B[k, j])", ((6, 8), (8, 8)), "does not reach all"),
        ("C[i, j : M, N] = +(A[i, k] * B[k, j]), k < 4", ((6, 8), (8, 8)), "three indices"),
        ("C[b, i, j : S, M, N] = +(A[b, i, k] * B[b, k, j])", ((2, 6, 8), (2, 8, 8)), "three"),
        ("C[i : M] = +(A[i, k] * B[k])", ((6, 8), (8,)), "three indices"),
        ("C[i, j : M, M] = +(A[i, k] * A[j, k + 1])", ((6, 8),), "more than an index"),
        ("C[i, j : M, N] = +(A[i, k] * B[i, j])", ((6, 8), (6, 8)), "share one index"),
    ],
)
def test_what_is_no_product_of_matrices(
    text: str, shapes: tuple[tuple[int, ...], ...], why: str
) -> None:
    program = bound(text, *shapes)
    found = multiplication_of(contraction(program), program.types())
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_compute_it(threads: int) -> None:
    random = np.random.default_rng(1)
    a, b = (random.standard_normal(s, np.float32) for s in ((66, 130), (130, 98)))
    bias = random.standard_normal(98, np.float32)
    function = tilec.function(
        "function (A[M, K], B[K, N], D[N]) -> (R) "
        "{ C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C + D); }"
    )
    options = Options(product="strassen", num_threads=threads, debug=True)
    for part, given in ((function, (a, b, bias)), (function.bind(B=b), (a, bias))):
        executable = part.compile(*given, options=options)
        assert any("products" in kernel.name for kernel in executable.kernels)
        wanted = np.maximum(a.astype(np.float64) @ b + bias, 0)
        np.testing.assert_allclose(executable(*given), wanted, atol=1e-4)


def test_small_products_keep_the_definition() -> None:
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    spec = tilec.Spec((512, 512))
    assert len(function.compile(spec, spec).kernels) == 1
    with pytest.raises(tilec.ArgumentError, match="no method 'fast' of products"):
        function.compile(spec, spec, options=Options(product="fast"))


def test_the_choice_is_explained() -> None:
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    spec = tilec.Spec((256, 256))
    executable = function.compile(spec, spec, options=Options(product="strassen"))
    text = str(executable.explain(measure=False))
    assert "strassen" in text
    assert "direct" in text
