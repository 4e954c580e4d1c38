"""Schedules given by callers: obeyed, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tilec
from tilec import Options, ScheduleError, Spec, Tiled

MATMUL = "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }"
CONV = """function (I[H, W, C], F[R, S, C, D]) -> (O) {
  O[h, w, d : H, W, D] = +(I[h + r - 1, w + s - 1, c] * F[r, s, c, d]);
}"""
SPECS = Spec((40, 50)), Spec((50, 70))
CPU = Options(cpu="cascadelake")  # what is legal depends on the processor

Array = NDArray[Any]


def schedule_of(text: str, *specs: Spec, schedule: str | None = None) -> str:
    executable = tilec.function(text).compile(*specs, options=CPU, schedule=schedule)
    return str(executable.schedule)


def matrices() -> tuple[Array, Array]:
    random = np.random.default_rng(3)
    a = random.integers(-3, 4, SPECS[0].shape).astype(np.float32)
    return a, random.integers(-3, 4, SPECS[1].shape).astype(np.float32)


@pytest.mark.parametrize(
    "schedule",
    [
        "tile i=3 j=1x4",
        "tile i=3 j=2x4, pack j",
        "tile i=5 j=2x4, pack j,i, reduce block 7, row block 11, 3 tasks over j",
        "tile i=5 j=2x4, pack j, reduce block 7, panel block 3, 2 tasks over j",
        "tile i=5 j=2x4, pack j, panel block 2, 3 tasks over i",
        "tile i=5 j=1x2, pack i, reduce block 50, 2 tasks over i",
        "tile i=5 j=1x2, reduce block 50 of k",
        "tile -=1 j=3x4",
        "vector j=4",
        "vector k=4 reduction, parallel i",
        "vector i=2, parallel j",
        "scalar",
    ],
)
def test_a_schedule_is_obeyed(schedule: str) -> None:
    a, b = matrices()
    f = tilec.function(MATMUL)
    executable = f.compile(a, b, schedule=schedule)
    (given,) = executable.schedule.values()
    assert str(given) == schedule
    np.testing.assert_array_equal(executable(a, b), a @ b)
    np.testing.assert_array_equal(f(a, b, schedule=schedule), a @ b)
    # What an executable says, it takes.
    assert f.compile(a, b, schedule=executable.schedule).schedule == executable.schedule


def test_the_chosen_schedule_is_a_value() -> None:
    f = tilec.function(MATMUL)
    executable = f.compile(*SPECS)
    (chosen,) = executable.schedule.values()
    assert isinstance(chosen, Tiled)
    again = f.compile(*SPECS, schedule=executable.schedule)
    assert again.source("kernel") == executable.source("kernel")


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("tile i=4 x=2x16", "there is no output loop x; the output loops are i, j"),
        ("tile j=4 i=2x16", "the operand along i does not have unit stride"),
        ("tile i=30 j=2x16", "30 rows and 2 vectors needs 63 registers, but there are 32"),
        ("tile i=41 j=1x2", "the tile has 41 rows, but the loop i has 40"),
        ("tile -=2 j=1x16", "the tile has 2 rows, but without a row loop there is 1"),
        ("tile i=4 j=2x12", "a vector has 12 lanes, but they are a power of two from 2 to 16"),
        ("tile i=4 j=2x32", "a vector has 32 lanes"),
        ("tile i=4 j=0x16", "a tile has at least one row and one vector"),
        ("tile i=4 j=2x16, row block 8", "a row block is of packed rows"),
        ("tile i=4 j=2x16, panel block 2", "a panel block is of panels along j"),
        ("tile i=4 j=2x16, pack j ahead", "is no constant that could be packed ahead"),
        ("tile i=4 j=2x16, 2 tasks over k", "there is no output loop k"),
        ("vector q=4", "there is no output loop q; the output loops are i, j"),
        ("vector i=4 reduction", "there is no reduction loop i; there are k"),
        ("vector j=3", "a vector has 3 lanes, but they are a power of two from 2 to 16"),
        ("vector j=1", "a vector has 1 lanes"),
        ("vector j=4, parallel j", "only when it is alone"),
        ("vector j=4, parallel k", "there is no output loop k to divide"),
        ("scalar; scalar", "it has 2 loops for 1 pieces"),
    ],
)
def test_an_illegal_schedule_is_refused(schedule: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        schedule_of(MATMUL, *SPECS, schedule=schedule)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("text", "schedule", "reason"),
    [
        (
            "function (A[M, K], B[N, K]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[j, k]); }",
            "tile i=4 j=1x4",
            "the operand along j does not have unit stride, so it has to be packed",
        ),
        (
            "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * exp(B[k, j])); }",
            "tile i=4 j=1x4",
            "the operand along j has arithmetic, so it has to be packed",
        ),
        (
            "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = >(A[i, k] * B[k, j]); }",
            "tile i=4 j=1x4",
            "not a sum of f32 or f64 values",
        ),
    ],
)
def test_other_programs(text: str, schedule: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        schedule_of(text, Spec((40, 40)), Spec((40, 40)), schedule=schedule)
    assert reason in caught.value.message


def test_constraints_on_rows_forbid_to_pack_them_and_to_cut_their_reductions() -> None:
    specs = Spec((9, 9, 8)), Spec((3, 3, 8, 32))
    for part, reason in [
        ("pack w", "cannot be packed"),
        ("reduce block 1 of s", "couples w with a reduction loop that is cut"),
        ("reduce block 1 of d", "there is no reduction loop d; the reduction loops are r, s, c"),
    ]:
        with pytest.raises(ScheduleError, match=reason):
            schedule_of(CONV, *specs, schedule=f"tile w=3 d=1x16, {part}")


def test_the_workspace_is_limited() -> None:
    tight = Options(cpu="cascadelake", workspace_bytes=1 << 12)
    f = tilec.function(MATMUL)
    specs = Spec((512, 512)), Spec((512, 512))
    with pytest.raises(ScheduleError, match="more than the limit of 4096"):
        f.compile(*specs, options=tight, schedule="tile i=14 j=2x16, pack j")
    chosen = f.compile(*specs, options=tight).schedule
    assert "pack" not in str(chosen)


def test_names_of_kernels() -> None:
    two = "function (A[N, N], B[N, N]) -> (C, D) {\n"
    two += "  C[i, j : N, N] = +(A[i, k] * B[k, j]); D[j : N] = +(C[i, j]);\n}"
    specs = Spec((40, 40)), Spec((40, 40))
    f = tilec.function(two)
    names = list(f.compile(*specs).schedule)
    assert len(names) == 2
    one = f.compile(*specs, schedule=f"{names[0]}: scalar").schedule
    assert str(one[names[0]]) == "scalar"
    assert str(one[names[1]]) != "scalar"
    with pytest.raises(ScheduleError, match="there is no kernel nobody"):
        f.compile(*specs, schedule="nobody: scalar")
    with pytest.raises(ScheduleError, match="does not say for which of 2 kernels"):
        f.compile(*specs, schedule="scalar")


def test_packed_ahead_by_schedule() -> None:
    a, b = matrices()
    f = tilec.function(MATMUL).bind(B=b)
    np.testing.assert_array_equal(f(a, schedule="tile i=3 j=1x4, pack j"), a @ b)
    np.testing.assert_array_equal(f(a, schedule="tile i=3 j=1x4"), a @ b)
    ahead = f.compile(a, schedule="tile i=3 j=2x4, pack j ahead")
    assert "ahead" in str(ahead.schedule)
    np.testing.assert_array_equal(ahead(a), a @ b)


def test_a_saved_executable_keeps_its_schedule(tmp_path: Path) -> None:
    executable = tilec.function(MATMUL).compile(*SPECS, schedule="tile i=3 j=1x4")
    executable.save(tmp_path / "e")
    assert tilec.load(tmp_path / "e").schedule == executable.schedule


@pytest.mark.parametrize(
    "schedule",
    [
        "tile i=4 j=2x4, pack j",
        "tile i=7 j=1x4, pack j, 2 tasks over j",
        "tile j=4 i=2x4, pack i, turn j",
        "tile j=6 i=1x4, pack i, turn j",
    ],
)
def test_squares_of_vectors_at_every_edge(schedule: str) -> None:
    # 37 steps, 21 rows, 43 columns: neither is a number of whole vectors.
    layer = tilec.function(
        "function (A[M, K], B[N, K], D[N]) -> (R) {"
        " C[i, j : M, N] = +(A[i, k] * B[j, k]); R = relu(C + D); }"
    )
    generator = np.random.default_rng(0)
    a, b, d = (
        generator.integers(-3, 4, shape).astype(np.float32) for shape in ((21, 37), (43, 37), (43,))
    )
    compiled = layer.compile(a, b, d, schedule=schedule, options=Options(debug=True))
    assert "zip_upper" in compiled.source("kernel")
    assert np.array_equal(compiled(a, b, d), np.maximum(a @ b.T + d, 0))


@pytest.mark.parametrize(
    "schedule",
    [
        "tile i=6 j=2x4, pack j,i, 2 tasks over j",
        "tile i=3 j=2x4, pack j,i, reduce block 16, 2 tasks over i",
        "tile i=5 j=2x4, pack i, reduce block 6, 2 tasks over j",
        "tile i=4 j=2x4, pack j,i, reduce block 16, row block 8, 2 tasks over i",
        "tile i=4 j=2x4, pack j,i, 2 tasks over b",
    ],
)
@pytest.mark.parametrize("left", ["A[b, i, k]", "A[b, k, i]", "(A[b, i, k] + 1)"])
def test_packed_rows_at_every_edge(schedule: str, left: str) -> None:
    # 37 steps, 21 rows, 131 columns; a loop around the rows, whose packed copies are its own.
    f = tilec.function(f"C[i, b, j : 21, 3, 131] = +({left} * B[k, j])")
    generator = np.random.default_rng(0)
    shape = (3, 37, 21) if left == "A[b, k, i]" else (3, 21, 37)
    a, b = (generator.integers(-3, 4, size).astype(np.float32) for size in (shape, (37, 131)))
    compiled = f.compile(a, b, schedule=schedule, options=Options(debug=True))
    in_squares = "[b, i, k]" in left and "block 6" not in schedule
    assert ("zip_upper" in compiled.source("kernel")) is in_squares
    rows = a.swapaxes(1, 2) if left == "A[b, k, i]" else a + ("+" in left)
    assert np.array_equal(compiled(a, b), (rows @ b).swapaxes(0, 1))


@pytest.mark.parametrize(
    "schedule",
    [
        "tile m=3 n=2x8, pack n ahead, reduce block 7",
        "tile m=3 n=1x16, pack n ahead, reduce block 7 of k, 2 tasks over n",
        "tile m=5 n=2x8, pack n ahead, reduce block 16, 2 tasks over m",
        "tile m=4 n=2x8, pack n,m ahead, reduce block 8 of k, row block 8",
    ],
)
def test_panels_made_ahead_are_read_in_passes(schedule: str) -> None:
    rng = np.random.default_rng(3)
    text = """function f(A[M, K], B[K, N], G[N]) -> (D) {
        C[m, n : M, N] = +(A[m, k] * B[k, n]);
        D = relu(C + G);
    }"""
    for m, k, n in ((5, 40, 37), (13, 33, 48), (24, 14, 32)):
        a = rng.integers(-4, 5, (m, k)).astype(np.float32)
        b = rng.integers(-4, 5, (k, n)).astype(np.float32)
        g = rng.integers(-4, 5, n).astype(np.float32)
        run = tilec.function(text).bind(B=b, G=g).compile(a, schedule=schedule)
        np.testing.assert_array_equal(run(a), np.maximum(a @ b + g, 0))


def test_convolutions_read_panels_made_ahead_in_passes() -> None:
    rng = np.random.default_rng(4)
    text = """function f(X[N, H, W, C], K[I, J, C, O]) -> (Y) {
        Y[n, y, x, o : N, 5, 6, O] = +(X[n, 2*y+i-1, 2*x+j-1, c] * K[i, j, c, o]);
    }"""
    x = rng.integers(-4, 5, (2, 10, 11, 12)).astype(np.float32)
    k = rng.integers(-4, 5, (3, 3, 12, 40)).astype(np.float32)
    bound = tilec.function(text).bind(K=k)
    wanted = bound.compile(x, options=Options(target="reference"))(x)
    for cut in ("1 of i", "2 of i"):
        schedule = f"tile x=3 o=2x8, pack o ahead, reduce block {cut}, 2 tasks over o"
        np.testing.assert_array_equal(bound.compile(x, schedule=schedule)(x), wanted)
    with pytest.raises(ScheduleError, match="name the reduction loop"):
        bound.compile(x, schedule="tile x=3 o=2x8, pack o ahead, reduce block 4")


def test_long_panels_made_ahead_are_cut() -> None:
    bound = tilec.function("C[m, n : M, N] = +(A[m, k] * B[k, n])").bind(
        B=np.zeros((2048, 512), np.float32)
    )
    (plan,) = bound.compile(Spec((49, 2048)), options=Options(cpu="cascadelake")).schedule.values()
    assert isinstance(plan, Tiled)
    assert 0 < plan.reduce_block < 1024
