"""Addresses: what is computed outside which loop, and that it is the same element."""

from __future__ import annotations

import re

import numpy as np

from tests.llvm.harness import OPTIONS, input_buffer, module_of, output_buffer, run
from tilec.dtypes import F32
from tilec.kernel import build
from tilec.kernel.ir import Apply, Expr, For, Load, Module, Stmt, Store, VType
from tilec_llvm import backend

F = VType(F32)
y, x, c = (build.var(name) for name in "yxc")


def loops(bounds: dict[str, int], *body: Stmt) -> Stmt:
    inside: tuple[Stmt, ...] = body
    for name, stop in reversed(bounds.items()):
        inside = (For(name, build.const(0), build.const(stop), inside),)
    (outermost,) = inside
    return outermost


def offset(*terms: tuple[Expr, int], constant: int = 0) -> Expr:
    total: Expr = build.const(0)
    for value, factor in terms:
        total = build.add(total, build.mul(value, build.const(factor)))
    return build.add(total, build.const(constant))


def sums(rows: int) -> Module:
    """``out[y, x] += in[y + r, x, c]`` for some rows ``r``, over ``c``."""
    out = offset((y, 5), (x, 1))
    value: Expr = Load("out", out, F)
    for row in range(rows):
        read = Load("in", offset((y, 40), (x, 8), (c, 1), constant=40 * row), F)
        value = Apply("add", (value, read), F)
    body = loops({"y": 3, "x": 5, "c": 8}, Store("out", out, value))
    inputs = [input_buffer("in", F32, 40 * (rows + 2))]
    return module_of([body], inputs, [output_buffer("out", F32, 15)])


def innermost(text: str) -> list[str]:
    """The lines of the loop over ``c``."""
    match = re.search(r"^loop\.\d+:\n(  %c\.\d+ = phi.*?)  br i1", text, re.DOTALL | re.MULTILINE)
    assert match is not None, text
    return match[1].splitlines()


def test_each_part_of_an_offset_is_added_in_its_own_loop() -> None:
    lines = innermost(backend.text(sums(4), "llvm", OPTIONS))
    addresses = [line for line in lines if "getelementptr" in line]
    assert len(addresses) == 4  # one that moves with c, and one for each row beyond the first
    moving = [line for line in addresses if re.search(r"i64 %c\.\d+$", line)]
    assert len(moving) == 1
    assert all(re.search(r", i64 \d+$", line) for line in addresses if line not in moving)
    assert not any(" mul " in line for line in lines)
    assert sum(" add " in line for line in lines) == 1  # the counter


def test_the_sums_of_outer_loops_are_hidden_from_llvm() -> None:
    # Reading them it spends most of the time to compile on loop strength reduction.
    text = backend.text(sums(2), "llvm", OPTIONS)
    moving = next(line for line in innermost(text) if re.search(r"i64 %c\.\d+$", line))
    base = re.search(r"ptr (%[\w.]+),", moving)
    assert base is not None
    assert re.search(rf'^  {re.escape(base[1])} = call ptr asm "", "=r,0"', text, re.MULTILINE)


def test_accesses_before_and_behind_the_first_one() -> None:
    rows = 6
    array = np.arange(40 * (rows + 2), dtype=np.float32)
    result = np.zeros((3, 5), np.float32)
    run(sums(rows), [array], [result])
    cube = array.reshape(rows + 2, 5, 8)
    wanted = [[cube[at : at + rows, x].sum() for x in range(5)] for at in range(3)]
    np.testing.assert_allclose(result, wanted)


def test_differences_and_parts_that_cancel() -> None:
    n = 6
    backwards = build.sub(build.const(n - 1), x)
    cancelled = build.add(build.sub(build.mul(y, build.const(2)), y), build.sub(build.var("x"), y))
    body = loops(
        {"y": 2, "x": n},
        Store("out", offset((y, n), (backwards, 1)), Load("in", cancelled, F)),
    )
    array = np.arange(n, dtype=np.float32)
    result = np.zeros((2, n), np.float32)
    run(module_of([body], [input_buffer("in", F32, n)], [output_buffer("out", F32, 2 * n)]),
        [array], [result])  # fmt: skip
    np.testing.assert_array_equal(result, [array[::-1]] * 2)
