"""Which kernels are computed block by block, and what is kept of a block."""

from __future__ import annotations

import pytest

from tests.lower.texts import program
from tilec.errors import ScheduleError
from tilec.kernel.ir import Module, Scope
from tilec.lower.decide import Decide, Decision
from tilec.lower.pipeline import lower_program
from tilec.schedule.values import Schedule
from tilec.target.core import Core

SMALL = Core(l2_bytes=1 << 14)
"""A processor whose caches hold little, so that small programs go beyond them."""

CHAIN = "H[i, j : M, P] = +(X[i, k] * W[k, j]); R = relu(H); Y[i, j : M, Q] = +(R[i, k] * V[k, j]);"
SOFTMAX = """Z[i, j : M, P] = +(X[i, k] * W[k, j]); R[i, 0 : M, 1] = >(Z[i, j]); E = exp(Z - R);
  S[i, 0 : M, 1] = +(E[i, j]); U[i, j : M, Q] = +(E[i, k] * V[k, j]); Y = U / S;"""


def lowered(
    body: str,
    outputs: str = "Y",
    core: Core = SMALL,
    schedule: str | None = None,
    decide: Decide = lambda decision: None,
) -> Module:
    text = f"function (X[M, K], W[K, P], V[P, Q]) -> ({outputs}) {{ {body} }}"
    made = program(text, X=(256, 16), W=(16, 24), V=(24, 16))
    wanted = None if schedule is None else Schedule.parse(schedule)
    return lower_program(made, core=core, schedule=wanted, decide=decide)


def names(module: Module) -> list[str]:
    return [kernel.name.removeprefix("main_") for kernel in module.kernels]


def cached(module: Module) -> dict[str, int]:
    return {b.name: b.high for b in module.kernels[0].locals if b.scope is Scope.CACHE}


def note(module: Module) -> str:
    return next(line for line in module.kernels[0].header if line.startswith("blocks: "))


def test_two_products_are_one_kernel() -> None:
    module = lowered(CHAIN)
    assert names(module) == ["Y"]
    assert not module.temporaries
    # 96 bytes of a row in 9216 are 96 rows; three blocks of 86 are not equal, four of 64 are.
    assert cached(module)[".R.block"] == 64 * 24
    assert note(module) == (
        "blocks: 2 kernels in one, 4 blocks, 0.0 MiB of traffic saved, "
        "kept in blocks: R: f32[256, 24]"
    )


def test_rows_between_two_products_go_along() -> None:
    module = lowered(SOFTMAX)
    assert names(module) == ["Y"]
    kept = {name: size for name, size in cached(module).items() if name.endswith(".block")}
    assert kept == {".Z.block": 32 * 24, ".E.block": 32 * 24, ".S.block": 32}


def test_what_fits_into_the_caches_stays_apart() -> None:
    assert names(lowered(CHAIN, core=Core())) == ["R", "Y"]


def test_what_is_needed_elsewhere_is_stored() -> None:
    module = lowered(SOFTMAX, "Y, E")
    assert names(module) == ["Y"]
    assert {b.name for b in module.outputs} == {"Y", "E"}
    assert ".E.block" not in cached(module)


def test_a_value_that_another_row_needs_ends_a_group() -> None:
    body = CHAIN.replace("R[i, k]", "R[M - 1 - i, k]")
    assert names(lowered(body)) == ["R", "Y"]
    turned = CHAIN.replace(
        "Y[i, j : M, Q] = +(R[i, k] * V[k, j])", "Y[i, j : P, P] = +(R[k, i] * R[k, j])"
    )
    assert names(lowered(turned)) == ["R", "Y"]


def test_a_group_does_not_depend_on_what_needs_it() -> None:
    """The second product needs a sum over all of the first one's values."""
    body = """H[i, j : M, P] = +(X[i, k] * W[k, j]); A[j : P] = +(H[i, j]);
      Y[i, q : M, Q] = +(H[i, k] * V[k, q] * A[k]);"""
    assert len(names(lowered(body))) == 3


def test_two_groups_do_not_need_each_other() -> None:
    """Each of two chains ends with a product with a sum over the other one's values."""
    text = """function (X[M, K], Z[M, K], W[K, R], V[R, R]) -> (D, C) {
      A[i, j : M, R] = +(X[i, k] * W[k, j]); P[i, j : M, R] = +(A[i, k] * V[k, j]);
      B[i, j : M, R] = +(Z[i, k] * W[k, j]); Q[i, j : M, R] = +(B[i, k] * V[k, j]);
      G[j, k : R, R] = +(P[i, j] * P[i, k]); H[j, k : R, R] = +(Q[i, j] * Q[i, k]);
      D[i, j : M, R] = +(P[i, k] * H[k, j]); C[i, j : M, R] = +(Q[i, k] * G[k, j]);
    }"""
    made = program(text, X=(256, 16), Z=(256, 16), W=(16, 24), V=(24, 24))
    called = [call.name for call in lower_program(made, core=SMALL).calls]
    assert called == ["main_B", "main_Q", "main_H", "main_D", "main_G", "main_C"]


def test_few_rows_are_not_worth_it() -> None:
    """An operand that is too large for L2 would be read again for every few rows."""
    assert names(lowered(CHAIN, core=Core(l2_bytes=1 << 11))) == ["R", "Y"]


def test_a_schedule_has_other_blocks() -> None:
    module = lowered(CHAIN, schedule="blocks of 50 along axis 0")
    assert cached(module)[".R.block"] == 50 * 24
    assert "schedule: blocks of 50 along axis 0" in module.kernels[0].header
    with pytest.raises(ScheduleError, match="there are no blocks of 257 along axis 0"):
        lowered(CHAIN, schedule="blocks of 257 along axis 0")


def test_a_schedule_for_one_of_the_kernels_keeps_them_apart() -> None:
    assert names(lowered(CHAIN, schedule="main_R: tile i=8 j=1x16")) == ["R", "Y"]


@pytest.mark.parametrize("body", [CHAIN, SOFTMAX])
@pytest.mark.parametrize("size", [50, 64, 256])
def test_its_operations_are_those_of_all_blocks(body: str, size: int) -> None:
    apart, together = list[Decision](), list[Decision]()
    lowered(body, core=Core(), decide=apart.append)
    lowered(body, schedule=f"blocks of {size} along axis 0", decide=together.append)
    assert len(apart) > len(together) == 1
    assert together[0].flops == sum(each.flops for each in apart)
