"""Neighbouring iterations in one item: what is moved at once, and what stays single."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lower.grouped import NVIDIA, small
from tests.lower.interpret import run_module
from tests.lower.texts import program
from tilec.dtypes import F64
from tilec.kernel.printer import print_module
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.tensor.ir import TensorType

SCALED = "function (A[M, N], V[N]) -> (C) { C = A * V + 1; }"


@pytest.mark.parametrize("shape", [(9, 32), (301,), (303,), (304,)])
def test_elements_are_moved_four_at_a_time(shape: tuple[int, ...]) -> None:
    header = SCALED if len(shape) == 2 else "function (A[N], V[N]) -> (C) { C = A * V + 1; }"
    module = lower_program(program(header, A=shape, V=shape[-1:]), core=small())
    verify(module)
    text = print_module(module)
    assert ".A.x4.0[0; 4] = A[" in text
    assert "; 4] = .C.x4.out[0; 4]" in text
    assert ("i0.rest" in text) == (shape[-1] % 4 != 0)
    random = np.random.default_rng(1)
    a, v = random.random(shape, np.float32), random.random(shape[-1:], np.float32)
    (found,) = run_module(module, {"A": a.reshape(-1), "V": v})
    np.testing.assert_array_equal(found.reshape(shape), a * v + 1)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (SCALED, {"A": (40, 33), "V": (33,)}),  # rows begin anywhere
        ("function (A[N]) -> (C) { C[i : N/2] = =(A[2*i]); }", {"A": (2048,)}),
        ("function (A[N]) -> (C) { C[i : N - 1] = =(A[i + 1]); }", {"A": (1025,)}),
        ("function (A[N]) -> (C) { C = A > 1; }", {"A": (2048,)}),
        ("function (A[M, N]) -> (C) { C = A + 1; }", {"A": (4, 8)}),  # too few items
    ],
)
def test_what_is_not_beside_or_not_aligned_stays(
    text: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    assert "; 4]" not in print_module(lower_program(program(text, **shapes), core=small()))


def test_wide_types_are_moved_two_at_a_time() -> None:
    a, v = TensorType(F64, (40, 32)), TensorType(F64, (32,))
    module = lower_program(program(SCALED, A=a, V=v), core=small())
    assert "; 2] = .C.x2.out[0; 2]" in print_module(module)


def test_a_gpu_with_many_items_wants_enough_of_them() -> None:
    def text(*shape: int) -> str:
        return print_module(lower_program(program(SCALED, A=shape, V=shape[1:]), core=NVIDIA))

    assert "; 4]" in text(4096, 4096)
    assert "; 4]" not in text(256, 256)
