"""Products for groups of items: run by the interpreter, item by item, from barrier to barrier."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lower.grouped import small
from tests.lower.interpret import run_module
from tests.lower.texts import program
from tilec.kernel.ir import Module
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.schedule.values import Schedule

MATMUL = "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }"
TURNED = "function (A[K, M], B[N, K]) -> (C) { C[i, j : M, N] = +(A[k, i] * B[j, k]); }"
DENSE = (
    "function (A[M, K], B[K, N], V[N]) -> (R) "
    "{ C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C + V); }"
)


def lowered(text: str, schedule: str, **shapes: tuple[int, ...]) -> Module:
    module = lower_program(program(text, **shapes), core=small(), schedule=Schedule.parse(schedule))
    verify(module)
    return module


def run(
    text: str, schedule: str, **shapes: tuple[int, ...]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    module = lowered(text, schedule, **shapes)
    random = np.random.default_rng(1)
    given = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
    (found,) = run_module(module, {name: each.reshape(-1) for name, each in given.items()})
    return given, found


@pytest.mark.parametrize(
    ("schedule", "m", "k", "n"),
    [
        ("groups 16x16x4, items 8x8", 17, 9, 16),
        ("groups 16x16x4, items 8x8, one buffer", 16, 8, 18),
        ("groups 8x16x2, items 4x8, 2 parts", 16, 7, 16),
    ],
)
def test_products(schedule: str, m: int, k: int, n: int) -> None:
    given, found = run(MATMUL, schedule, A=(m, k), B=(k, n))
    np.testing.assert_allclose(found.reshape(m, n), given["A"] @ given["B"], rtol=1e-5)


def test_operands_that_lie_the_other_way() -> None:
    given, found = run(TURNED, "groups 16x16x4, items 8x8", A=(5, 16), B=(16, 5))
    np.testing.assert_allclose(found.reshape(16, 16), given["A"].T @ given["B"].T, rtol=1e-5)


def test_an_epilogue_of_parts_comes_after_the_sum() -> None:
    given, found = run(DENSE, "groups 16x16x4, items 8x8, 2 parts", A=(16, 8), B=(8, 17), V=(17,))
    wanted = given["A"] @ given["B"] + given["V"]
    np.testing.assert_allclose(found.reshape(16, 17), wanted, rtol=1e-5)


def test_batches() -> None:
    text = (
        "function (A[B, M, K], D[B, K, N]) -> (C) "
        "{ C[b, i, j : B, M, N] = +(A[b, i, k] * D[b, k, j]); }"
    )
    given, found = run(text, "groups 16x16x2, items 8x8", A=(2, 16, 3), D=(2, 3, 16))
    np.testing.assert_allclose(found.reshape(2, 16, 16), given["A"] @ given["D"], rtol=1e-5)


def test_a_convolution_gathers_its_left_side() -> None:
    text = (
        "function (X[H, W, C], K[2, 2, C, D]) -> (R) "
        "{ R[y, x, d : H, W, D] = +(X[y + i - 1, x + j - 1, c] * K[i, j, c, d]); }"
    )
    given, found = run(text, "groups 16x16x8, items 8x8", X=(4, 4, 4), K=(2, 2, 4, 16))
    padded = np.pad(given["X"], ((1, 0), (1, 0), (0, 0)))
    wanted = sum(
        padded[i : i + 4, j : j + 4] @ given["K"][i, j] for i in range(2) for j in range(2)
    )
    np.testing.assert_allclose(found.reshape(4, 4, 16), wanted, rtol=1e-5)


def test_edges_are_tested_where_there_are_some() -> None:
    from tilec.kernel.printer import print_module

    whole = print_module(lowered(MATMUL, "groups 16x16x8, items 4x4", A=(32, 16), B=(16, 32)))
    assert "if" not in whole.replace("if .round + 1 < 2", "")
    assert ".left.next[0; 4] = A[" in whole
    edged = print_module(lowered(MATMUL, "groups 16x16x8, items 4x4", A=(33, 16), B=(16, 32)))
    assert "if .m < 33" in edged
    assert "if .n" not in edged


def test_everything_else_is_spread_over_items() -> None:
    from tilec.kernel.printer import print_module

    text = "function (A[M, N], V[N]) -> (B) { B = A + V; }"
    module = lower_program(program(text, A=(5, 7), V=(7,)), core=small())
    verify(module)
    assert print_module(module).count("parallel for") == 2
