"""Every legal schedule gives the right numbers, and every other one is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from tests.lower.interpret import run_module
from tests.lower.test_contractions import arrays_shape, by_points
from tests.lower.test_tiles import products
from tilec.errors import ScheduleError
from tilec.kernel.ir import Scope
from tilec.kernel.verify import verify
from tilec.lower.decide import Decision
from tilec.lower.pipeline import lower_program
from tilec.schedule import blocks, model
from tilec.schedule.footprint import scratch_bytes
from tilec.schedule.legal import illegal
from tilec.schedule.product import Product
from tilec.schedule.values import Schedule, Tiled
from tilec.target.core import Core
from tilec.tensor.ir import Contraction, Program

CORE = Core(vector_bytes=64)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Program, Tiled]:
    """A product and a schedule that is often, but not always, legal for it."""
    program = draw(products())
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    outputs = list(node.indices[: len(node.output)])
    vector = draw(st.sampled_from([outputs[-1]] * 6 + outputs))
    others = [name for name in outputs if name != vector]
    row = draw(st.sampled_from([*others, *others, None]))
    parallel = draw(st.sampled_from([*outputs, None]))
    reductions = [name for name in node.indices if name not in outputs]
    pack_row = row is not None and draw(st.integers(0, 3)) == 0
    plan = Tiled(
        vector,
        row,
        1 if row is None else draw(st.integers(1, 6)),
        draw(st.sampled_from([2, 4, 8])),
        draw(st.integers(1, 3)),
        pack_vector=draw(st.sampled_from([True, True, False])),
        pack_row=pack_row,
        reduce_block=draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3, 5, 50])),
        row_block=draw(st.sampled_from([0, 1, 3, 8, 50])) if pack_row else 0,
        panel_block=draw(st.sampled_from([0, 0, 1, 2, 3, 9])),
        tasks=1 if parallel is None else draw(st.integers(1, 4)),
        parallel=parallel,
        turn=draw(st.sampled_from([None, None, None, *outputs])),
        reduce_loop=draw(st.sampled_from([None, *reductions])),
    )
    return program, plan


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(case=cases(), seed=st.integers(0, 99))
def test_any_schedule_is_right_or_refused(case: tuple[Program, Tiled], seed: int) -> None:
    program, plan = case
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        value.name: random.integers(-4, 5, size=arrays_shape(value.type)).astype(float)
        for value in program.inputs
    }
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    expected = by_points(node, program.types(), arrays)
    assume(expected is not None)
    assert expected is not None
    found: list[Decision] = []
    wanted = Schedule.of({"p_O": plan})
    try:
        module = lower_program(
            program, core=CORE, disable=("merge",), schedule=wanted, decide=found.append
        )
    except ScheduleError as error:
        event(error.message.partition("illegal: ")[2].split(" ")[0])
        return
    event("legal")
    verify(module)
    (result,) = run_module(module, {name: array.reshape(-1) for name, array in arrays.items()})
    np.testing.assert_array_equal(result.reshape(expected.shape), expected)
    (decision,) = found
    assert decision.plan == plan
    assert isinstance(decision.problem, Product)
    (kernel,) = module.kernels
    cached = [b for b in kernel.locals if b.scope is Scope.CACHE]
    needed = sum(buffer.high * buffer.type.dtype.bytes for buffer in cached)
    assert needed <= scratch_bytes(decision.problem, plan, 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(program=products(), limit=st.sampled_from([0, 1 << 10, 1 << 25]))
def test_the_model_proposes_legal_schedules_only(program: Program, limit: int) -> None:
    found: list[Decision] = []
    lower_program(
        program, core=CORE, workspace_bytes=limit, disable=("stream",), decide=found.append
    )
    for decision in found:  # one for each piece that is tiled by itself, and one for all
        if decision.plan is None:
            continue
        problem = decision.problem
        assert isinstance(problem, Product)
        small = replace(CORE, l2_bytes=2048)  # operands exceed it, so that passes are proposed
        options, _ = model.candidates(problem, small, False, limit)
        for each in options:
            assert illegal(problem, each.plan, CORE, workspace_bytes=limit) is None
            assert scratch_bytes(problem, each.plan, CORE.threads) <= limit


@pytest.fixture(autouse=True, scope="module")
def _small() -> Any:  # pyright: ignore[reportUnusedFunction]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "MIN_WORK", 1)
        patch.setattr(model, "PARALLEL_CYCLES", 1)
        patch.setattr(model, "REDUCE_BLOCK", 3)
        patch.setattr(blocks, "STEPS", (2, 5))
        yield
