"""Random programs, layouts, schedules and thread counts on arrays between unreadable pages.

Run as ``python -m tests.property.guarded SEED EXAMPLES NOTE``. Before each run the case is written
to the file NOTE, so that whoever started this process can say on what it died. ``SEED`` may be
``beyond``: then one element beyond an array is read, which has to be fatal.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tilec
from tests.property.products import convolutions, matrix_products, reductions
from tests.property.programs import RANDOM, Case, cases
from tests.property.schedules import schedules
from tests.property.test_llvm_against_reference import LAYOUTS, laid_out
from tests.property.tolerance import assert_close
from tilec import Options, ScheduleError
from tilec.lower import split
from tilec.schedule import model

Array = NDArray[Any]

_NO_ACCESS = 0


class Guards:
    """Memory between unreadable pages; keep it while arrays in it are used."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._kept: list[mmap.mmap] = []

    def like(self, array: Array, *, at_end: bool) -> Array:
        """A copy with the same strides, whose first or last byte lies beside such a page."""
        if not array.size:
            return array.copy()
        reach = [step * (n - 1) for step, n in zip(array.strides, array.shape, strict=True)]
        low, high = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
        room = self._room(high - low + array.itemsize, at_end=at_end)
        view: Array = np.ndarray(array.shape, array.dtype, room.data, -low, array.strides)
        view[...] = array
        return view

    def _room(self, size: int, *, at_end: bool) -> NDArray[np.uint8]:
        page = mmap.PAGESIZE
        inside = -(-size // page) * page
        memory = mmap.mmap(-1, inside + 2 * page)
        self._kept.append(memory)
        whole = np.frombuffer(memory, np.uint8)
        for start in (whole.ctypes.data, whole.ctypes.data + page + inside):
            if self._libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(page), _NO_ACCESS):
                raise OSError(ctypes.get_errno(), "mprotect")
        first = page + (inside - size if at_end else 0)
        return whole[first : first + size]


def check(
    case: Case, layout: str, at_end: bool, threads: int, data: st.DataObject, note: Path
) -> None:
    """Run a case, under a random schedule if that is legal, on guarded arrays."""
    function = tilec.function(case.text)
    arrays = [laid_out(array, layout) for array in case.arrays.values()]
    options = Options(num_threads=threads)
    executable = function.compile(*arrays, options=options)
    wanted = data.draw(schedules(executable))
    with suppress(ScheduleError):
        executable = function.compile(*arrays, options=options, schedule=wanted)
    expected: Sequence[Any] = function.compile(*arrays, target="reference")(*arrays)
    if len(case.facts) == 1:
        expected = (expected,)
    guards = Guards()
    inputs = [guards.like(array, at_end=at_end) for array in arrays]
    outputs = [guards.like(np.asarray(value), at_end=at_end) for value in expected]
    for output in outputs:
        output[...] = 0
    note.write_text(
        f"{case!r}\nlayout {layout}, {threads} threads, guard {'behind' if at_end else 'before'}\n"
        f"{executable.schedule}\n"
    )
    executable(*inputs, out=outputs[0] if len(outputs) == 1 else tuple(outputs))
    for value, output, fact in zip(expected, outputs, case.facts.values(), strict=True):
        assert_close(output, np.asarray(value), fact.dtype, error=fact.error)


def campaign(number: int, examples: int, note: Path) -> None:
    """Many random cases."""
    # Small problems are tiled, split and divided like large ones.
    model.MIN_WORK = model.PARALLEL_CYCLES = 1
    split.MANY_POINTS, split.TASKS = 64, 5

    @seed(number)
    @settings(RANDOM, max_examples=examples, database=None)
    @given(
        cases() | matrix_products() | convolutions() | reductions(),
        LAYOUTS,
        st.booleans(),
        st.sampled_from([1, 2, 2, 3]),
        st.data(),
    )
    def run(case: Case, layout: str, at_end: bool, threads: int, data: st.DataObject) -> None:
        check(case, layout, at_end, threads, data, note)

    run()


def main() -> None:
    """See the module."""
    number, examples, note = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if number == "beyond":
        array = Guards().like(np.zeros(1000, np.float32), at_end=True)
        note.write_text("one element beyond")
        print(ctypes.c_float.from_address(array.ctypes.data + array.nbytes).value)
    else:
        campaign(int(number), examples, note)


if __name__ == "__main__":
    main()
