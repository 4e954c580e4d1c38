"""Transposes in local memory, run item by item."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from tests.lower.grouped import NVIDIA, small
from tests.lower.interpret import run_module
from tests.lower.texts import program
from tilec.dtypes import F16, F64
from tilec.kernel.ir import Module
from tilec.kernel.printer import print_module
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.tensor.ir import TensorType

TURNED = "function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }"


def lowered(text: str, *, squares: bool = True, **shapes: tuple[int, ...] | TensorType) -> Module:
    module = lower_program(program(text, **shapes), core=small())
    verify(module)
    assert ("local .tile0" in print_module(module)) is squares
    return module


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (33, 8), (31, 64)])
def test_two_axes(size: tuple[int, int]) -> None:
    given = np.random.default_rng(1).random(size, np.float32)
    (found,) = run_module(lowered(TURNED, A=size), {"A": given.reshape(-1)})
    np.testing.assert_array_equal(found.reshape(size[::-1]), given.T)


def test_limits_of_groups_that_are_no_powers_of_two() -> None:
    """Three rows of 32 at once would leave two of a square to nobody."""
    core = small(100)
    assert core.gpu is not None
    core = replace(core, gpu=replace(core.gpu, group_local_bytes=1 << 15))
    module = lower_program(program(TURNED, A=(33, 34)), core=core)
    verify(module)
    assert "local .tile0: f32[1056]" in print_module(module)
    given = np.random.default_rng(1).random((33, 34), np.float32)
    (found,) = run_module(module, {"A": given.reshape(-1)})
    np.testing.assert_array_equal(found.reshape(34, 33), given.T)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_three_axes(axes: tuple[int, ...]) -> None:
    to, of = ("".join(letters[axis] for axis in axes) for letters in ("ijk", "LMN"))
    header = f"T[{', '.join(to)} : {', '.join(of)}]"
    text = f"function (A[L, M, N]) -> (T) {{ {header} = =(A[i, j, k]); }}"
    given = np.random.default_rng(1).random((9, 10, 17), np.float32)
    module = lowered(text, A=given.shape, squares=axes[-1] != 2)
    (found,) = run_module(module, {"A": given.reshape(-1)})
    np.testing.assert_array_equal(
        found.reshape([given.shape[a] for a in axes]), given.transpose(axes)
    )


def test_arithmetic_on_the_way() -> None:
    text = """function (A[N, M], D[N, M], B[M, N], V[N]) -> (C) {
      T[j, i : M, N] = =(A[i, j] * D[i, j] + V[i]); C = T * 2 + B; }"""
    random = np.random.default_rng(1)
    a, d, b = (random.random(shape, np.float32) for shape in ((18, 19), (18, 19), (19, 18)))
    v = random.random(18, np.float32)
    module = lowered(text, A=a.shape, D=d.shape, B=b.shape, V=v.shape)
    given = {"A": a, "D": d, "B": b, "V": v}
    (found,) = run_module(module, {name: each.reshape(-1) for name, each in given.items()})
    wanted = (a * d + v[:, None]).T * 2 + b
    np.testing.assert_allclose(found.reshape(19, 18), wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", [F16, F64])
def test_squares_of_other_types(dtype: object) -> None:
    given = np.random.default_rng(1).random((17, 16)).astype(str(dtype).replace("f", "float"))
    kind = TensorType(F16 if dtype == F16 else F64, given.shape)
    (found,) = run_module(lowered(TURNED, A=kind), {"A": given.reshape(-1)})
    np.testing.assert_array_equal(found.reshape(16, 17), given.T)


@pytest.mark.parametrize("size", [(3, 4096), (4096, 3)])
def test_what_would_leave_squares_empty_stays(size: tuple[int, int]) -> None:
    assert "group for" not in print_module(lower_program(program(TURNED, A=size), core=NVIDIA))
