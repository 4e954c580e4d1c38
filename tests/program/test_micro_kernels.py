"""The inner loops of register tiles, read from the assembly of several processors."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

import tilec

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
CONV = """function (I[N, H, W, C], K[R, S, C, D]) -> (O) {
  O[n, h, w, d : N, H, W, D] = +(I[n, h + r - 1, w + s - 1, c] * K[r, s, c, d]);
}"""
PROGRAMS = {"gemm": (MATMUL, ((512, 512),) * 2), "conv": (CONV, ((1, 56, 56, 64), (3, 3, 64, 64)))}
LABEL = re.compile(r"^(\.?L?BB\w+):")
FMA = re.compile(r"^\tvfn?m(?:add|sub)\w+ps\b|^\tfml[as]\b")
BRANCH = re.compile(r"^\t(j\w+|b|b\.\w+|cbn?z|tbn?z)\t")
# Frame pointers are omitted, so rbp and x29 are registers like any other.
STACK = re.compile(r"\(%rsp|\[sp\b")


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions between a label and the branch back to it."""

    lines: tuple[str, ...]
    branches: int

    @property
    def fmas(self) -> int:
        return sum(FMA.match(line) is not None for line in self.lines)

    @property
    def stack_references(self) -> int:
        return sum(STACK.search(line) is not None for line in self.lines)


def innermost_loops(assembly: str) -> list[Block]:
    """Loops of one basic block: what runs from a label to a branch back to that label."""
    found: list[Block] = []
    label, lines = "", list[str]()
    for line in assembly.splitlines():
        match = LABEL.match(line)
        if match is not None:
            label, lines = match.group(1), []
        elif line.startswith("\t") and not line.startswith("\t."):
            lines.append(line)
            if BRANCH.match(line) and line.rstrip().endswith(label):
                branches = sum(
                    re.match(r"\t(j|b\.?\w*\t|cb|tb)", each) is not None for each in lines
                )
                found.append(Block(tuple(lines), branches))
                lines = []
    return found


def assembly(program: str, cpu: str) -> tuple[str, str]:
    """Assembly for a processor, and the schedule line."""
    text, shapes = PROGRAMS[program]
    specs = [tilec.Spec(shape, "f32") for shape in shapes]
    options = tilec.Options(cpu=cpu, conv="direct")
    executable = tilec.function(text).compile(*specs, options=options)
    (kernel,) = executable.kernels
    schedule = next(line for line in kernel.header if line.startswith("schedule: "))
    return executable.source("asm"), schedule


def tile(schedule: str) -> tuple[int, int, int]:
    match = re.search(r"tile \w+=(\d+) \w+=(\d+)x(\d+)", schedule)
    assert match is not None, schedule
    rows, vectors, lanes = match.groups()
    return int(rows), int(vectors), int(lanes)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("cpu", "lanes"),
    [("cascadelake", 16), ("znver4", 16), ("haswell", 8), ("neoverse-n1", 4)],
)
def test_the_inner_loop_is_one_block_of_fmas(program: str, cpu: str, lanes: int) -> None:
    text, schedule = assembly(program, cpu)
    rows, vectors, found = tile(schedule)
    assert found == lanes
    full = [loop for loop in innermost_loops(text) if loop.fmas >= rows * vectors]
    assert full, schedule
    for loop in full:
        assert loop.fmas % (rows * vectors) == 0
        assert loop.branches == 1
        assert loop.stack_references == 0
        # Each step loads the vectors and the rows once; what else there is counts.
        assert len(loop.lines) <= loop.fmas + (loop.fmas // vectors) + vectors + 12


def test_vectors_are_those_of_the_processor() -> None:
    haswell, _ = assembly("gemm", "haswell")
    assert re.search(r"vfmadd\w+ps\t.*%ymm", haswell)
    assert "zmm" not in haswell
    arm, _ = assembly("gemm", "neoverse-n1")
    assert re.search(r"fmla\tv\d+\.4s", arm)
    server, _ = assembly("gemm", "cascadelake")
    assert re.search(r"vfmadd\w+ps\t.*%zmm", server)
    old, _ = assembly("gemm", "nehalem")
    assert "mulps" in old
    assert "ymm" not in old
