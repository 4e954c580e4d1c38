"""What is asked for ahead while small products are formed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.lower.interpret import Interpreter
from tilec.dtypes import F32
from tilec.kernel.ir import Buffer, Expr, Kernel, Prefetch, VType
from tilec.kernel.walk import statements
from tilec.lower.tileloops import Multiply
from tilec.tensor.affine import Affine

LINE = 16
CHANNELS = 6


class Listener(Interpreter):
    """Notes the lines that are asked for."""

    def value(self, expr: Expr) -> Any:
        found = super().value(expr)
        if any(isinstance(s, Prefetch) and s.index is expr for s in statements(self.kernel.body)):
            self.memory["asked"] = np.append(self.memory["asked"], int(found) // LINE)
        return found


def asked(vectors: int, slots: int) -> set[int]:
    """The lines of the weights that the first of two products asks for, in tiles of 3 slots."""
    width = vectors * LINE
    buffers = {
        name: Buffer(name, VType(F32), elems, writable=name == "S")
        for name, elems in (
            ("T", slots * CHANNELS),
            ("W", 2 * CHANNELS * width),
            ("S", slots * width),
        )
    }
    zero = Affine.number(0)
    made = Multiply(
        tiles="T",
        data=zero,
        row=CHANNELS,
        weights=buffers["W"],
        panel=zero,
        channels=CHANNELS,
        width=width,
        sums="S",
        result=zero,
        result_row=width,
        dtype=F32,
        far=True,
    )
    body, registers = made.slots(slots, 3, LINE)
    kernel = Kernel("k", (), tuple(buffers.values()), tuple(registers), body)
    memory = {name: np.ones(each.high, np.float32) for name, each in buffers.items()}
    running = Listener(kernel, {**memory, "asked": np.zeros(0, int)})
    running.run()
    np.testing.assert_array_equal(memory["S"], CHANNELS)
    return set(running.memory["asked"].tolist())


@pytest.mark.parametrize(("vectors", "slots"), [(1, 6), (2, 4), (2, 9), (3, 7), (4, 6)])
def test_passes_over_a_panel_ask_for_all_of_the_next(vectors: int, slots: int) -> None:
    panel = CHANNELS * vectors
    assert set(range(panel, 2 * panel)) <= asked(vectors, slots)
