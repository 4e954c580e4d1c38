"""Elementary functions on processors: tilec's formulas, to the last bit what LLVM's code gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.llvm.conftest import targets
from tests.llvm.harness import Array, Current, elementwise
from tests.llvm.test_math import numbers
from tilec.dtypes import F16, F32, F64
from tilec.kernel.elementary import FORMULAS
from tilec.kernel.ir import Apply, Expr, VType
from tilec_opencl.device import Machine
from tilec_opencl.devices import choose
from tilec_opencl.formulas import formula, has_formula
from tilec_opencl.spelling import OPENCL

CPU = Machine("two cores", is_gpu=False, workers=2)
PROCESSORS = [
    name for name in targets() if name != "llvm" and choose(name.partition(":")[2]).kind == "cpu"
]


def function(op: str) -> Callable[..., Expr]:
    """A function of the first operand, ``pow`` of both."""

    def make(x: Expr, y: Expr) -> Expr:
        return Apply(op, (x, y) if op == "pow" else (x,), x.type)

    return make


def results(target: str, x: Array, y: Array, lanes: int) -> dict[str, Array]:
    Current.target = target
    dtype = F32 if x.dtype == np.float32 else F64
    return elementwise({op: function(op) for op in FORMULAS}, [(dtype, x), (dtype, y)], lanes)


@pytest.mark.skipif(not PROCESSORS, reason="no OpenCL device is a processor")
@pytest.mark.parametrize(("dtype", "lanes"), [("f32", 16), ("f64", 16), ("f32", 1), ("f64", 1)])
def test_results_are_those_of_llvm(dtype: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Current, "target", "llvm")
    x = np.random.default_rng(1).permutation(numbers(dtype))[:20_000]
    y = np.random.default_rng(2).permutation(numbers(dtype))[:20_000]
    expected = results("llvm", x, y, lanes)
    for target in PROCESSORS:
        for op, found in results(target, x, y, lanes).items():
            np.testing.assert_array_equal(found, expected[op], err_msg=f"{op} on {target}")


def test_gpus_have_functions_of_their_own() -> None:
    gpu = Machine("a GPU", is_gpu=True, workers=8)
    small = Machine("two cores", is_gpu=False, workers=2, has_f64=False)
    assert has_formula("exp", F32, CPU)
    assert not has_formula("exp", F32, gpu)
    assert not has_formula("exp", F16, CPU)
    assert not has_formula("sin", F32, CPU)
    assert [has_formula("pow", F32, machine) for machine in (CPU, small)] == [True, False]
    assert not has_formula("exp", F64, small)


def test_each_operation_is_a_statement() -> None:
    """What could be fused with an addition stands alone."""
    text = formula("erf", VType(F32, 16), 1, "f", OPENCL)
    assert text.startswith("float16 f(float16 x) {\n  const ")
    sides = [line.partition(" = ")[2] for line in text.splitlines() if " = " in line]
    assert all(len([c for c in ("*", "+", "-") if f" {c} " in side]) <= 1 for side in sides)
