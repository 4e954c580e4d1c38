"""What the cost model of products decides for machines that are described here."""

from __future__ import annotations

import pytest

from tests.lower.texts import program
from tilec.lower.pipeline import lower_program
from tilec.schedule.values import Tiled
from tilec.target.core import Core


def chosen(core: Core, *sizes: int) -> Tiled:
    """The schedule of a matrix product."""
    found: list[Tiled] = []
    rows, inner, columns = sizes
    made = program("C[i, j : M, N] = +(A[i, k] * B[k, j])", A=(rows, inner), B=(inner, columns))

    def note(decision: object) -> None:
        plan = getattr(decision, "plan", None)
        assert isinstance(plan, Tiled)
        found.append(plan)

    lower_program(made, core=core, decide=note)
    return found[0]


@pytest.mark.parametrize(
    ("vector_bytes", "size", "tasks"), [(64, 64, 1), (64, 96, 2), (32, 48, 1), (32, 72, 2)]
)
def test_small_products_have_one_thread(vector_bytes: int, size: int, tasks: int) -> None:
    """The slower a core, the smaller the product that is worth a second one."""
    plan = chosen(Core(vector_bytes=vector_bytes), size, size, size)
    assert plan.tasks == tasks


def test_uneven_panels_are_not_divided() -> None:
    """Three panels would leave half of the time of a thread unused."""
    plan = chosen(Core(vector_bytes=64), 192, 192, 192)
    assert (plan.parallel, plan.tasks) == ("i", 2)
