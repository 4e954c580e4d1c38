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

    lower_program(made, core=core, decide=note, disable=("stream",))
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


def test_eleven_panels_are_fewer_than_many_rows() -> None:
    """Packing all panels twice is less than the one panel that a thread has more."""
    assert chosen(Core(vector_bytes=64), 5124, 2560, 700).parallel == "i"
    assert chosen(Core(vector_bytes=64), 512, 2560, 1500).parallel == "j"


@pytest.mark.parametrize("columns", [2, 4, 7])
def test_few_columns_are_part_of_a_vector_where_rows_are_long(columns: int) -> None:
    """Rows of 2 MB lie too far apart to be packed, and plain loops would gather them."""
    plan = chosen(Core(vector_bytes=64), 512, 500_000, columns)
    assert (plan.vector, plan.row, plan.vectors, plan.pack_vector) == ("j", "i", 1, False)


def test_rows_are_packed_as_far_as_the_second_level_holds_them() -> None:
    core = Core(vector_bytes=64)
    plan = chosen(core, 7680, 2560, 4)
    assert (plan.vector, plan.pack_vector, plan.turn) == ("i", True, "j")
    assert plan.lanes * plan.vectors * 2560 * 4 <= core.l2_bytes // 4
