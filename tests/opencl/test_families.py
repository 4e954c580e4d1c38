"""Random programs under the schedules of every family of GPUs, on the devices that are here.

A few are drawn, with their families and limits of groups; many with ``pytest --many``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.llvm.conftest import targets
from tests.property.products import convolutions, matrix_products, moves, reductions
from tests.property.programs import RANDOM, Case, cases
from tests.property.test_llvm_against_reference import LAYOUTS, check_target
from tilec.errors import GroupError
from tilec.options import Options
from tilec.target.gpu import families
from tilec_opencl import build
from tilec_opencl.program import Program, launches

DEVICES = [name for name in targets() if name != "llvm"]
FAMILIES = sorted(each.gpu.name for each in families() if each.gpu.name != "pocl")
KINDS: dict[str, tuple[Callable[[], st.SearchStrategy[Case]], int]] = {
    "products": (matrix_products, 4),
    "convolutions": (convolutions, 3),
    "reductions": (reductions, 4),
    "moves": (moves, 4),
    "programs": (cases, 4),
}
"""What makes programs, and how many are drawn where nobody asks for more."""

MANY = 100

ITEMS = st.sampled_from([None, 256, 64, 48, 16, 1])
"""Items of a group that a device says it has."""

LIMITS = st.sampled_from([None, None, 100, 32])
"""Items of a group that it takes once a kernel is built."""

pytestmark = pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")


def check(case: Case, family: str, items: int | None, limit: int | None, layout: str) -> None:
    """Hold a program for a family against the reference, on every device."""

    def refuse(device: object, program: object, parts: Program) -> None:
        for run in parts.runs:
            for launch in launches(run.steps):
                if limit is not None and prod(launch.local) > limit:
                    raise GroupError("too many items", limit)

    options = Options(gpu=family, group_items=items, conv="direct", debug=True)
    for device in DEVICES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(build, "check_groups", refuse)
            check_target(case, device, layout, options)


@pytest.mark.parametrize("kind", KINDS)
def test_families_equal_the_reference(kind: str, pytestconfig: pytest.Config) -> None:
    make, examples = KINDS[kind]

    @settings(RANDOM, max_examples=MANY if pytestconfig.getoption("--many") else examples)
    @given(make(), st.sampled_from(FAMILIES), ITEMS, LIMITS, LAYOUTS)
    def run(case: Case, family: str, items: int | None, limit: int | None, layout: str) -> None:
        check(case, family, items, limit, layout)

    run()
