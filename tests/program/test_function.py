"""``tilec.function`` and ``Function``: from a text and some arrays to the right numbers."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.program import compile as compile_module
from tilec.program.function import KEPT_SIGNATURES
from tilec.source import Source

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
SCALE = "function (A[N], S) -> (C) { C = A * S; }"
WINDOW = "function (A[N], K) -> (C) { C[i : K] = +(A[i + j]), j < 2; }"
TWO = "function two(A[N]) -> (Sum, Twice) { Sum[] = +(A[i]); Twice = 2 * A; }"

TARGETS = ["llvm", "reference"]


def numbers(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(sum(shape)).integers(-9, 9, shape).astype(dtype)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one at each run of the compiler."""
    monkeypatch.setenv("TILEC_CACHE", "off")
    done: list[str] = []
    real = compile_module.compile_anew

    def counted(*args: Any) -> Any:
        done.append("compiled")
        return real(*args)

    monkeypatch.setattr(compile_module, "compile_anew", counted)
    return done


@pytest.mark.parametrize("target", TARGETS)
def test_matrix_product(target: str) -> None:
    a, b = numbers(5, 7), numbers(7, 3)
    c = tilec.function(MATMUL)(a, b, target=target)
    assert c.dtype == np.float32
    assert c.flags.c_contiguous
    np.testing.assert_array_equal(c, a @ b)


def test_header_facts() -> None:
    f = tilec.function(
        "function f(A[M, 3]: f16, K, S[]) -> (C, D) { C[i:K] = +(A[i,j]); D = C*S; }"
    )
    assert f.name == "f"
    assert [str(each) for each in f.inputs] == ["A[M, 3]: f16", "K", "S[]"]
    assert [each.specialised for each in f.inputs] == [False, True, False]
    assert f.outputs == ("C", "D")
    assert repr(f) == "<tilec.Function f(A[M, 3]: f16, K, S[]) -> (C, D)>"
    assert tilec.function(f.source).source == f.source


def test_text_may_come_from_a_file_or_a_source(tmp_path: Path) -> None:
    file = tmp_path / "matmul.tile"
    file.write_text(MATMUL)
    for source in (file, Source("here", MATMUL)):
        np.testing.assert_array_equal(
            tilec.function(source)(numbers(2, 2), np.eye(2)), numbers(2, 2)
        )
    file.write_text("function (A) -> (B) { B = C; }")
    with pytest.raises(tilec.UserError, match=re.escape(f"{file}:1:")):
        tilec.function(file)


def test_text_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(tilec.ArgumentError, match="cannot be read: No such file"):
        tilec.function(tmp_path / "none.tile")
    with pytest.raises(tilec.ArgumentError, match="cannot be read: Is a directory"):
        tilec.function(tmp_path)
    data: Any = b"C"
    with pytest.raises(tilec.ArgumentError, match="is a string or a path, not a bytes"):
        tilec.function(data)


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.tile").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tilec.ArgumentError, match="not UTF-8"):
        tilec.function(tmp_path / "x.tile")


def test_function_of_a_file_by_name() -> None:
    text = "function f(A[N]) -> (B) { B = A + 1; } function g(A[N]) -> (B) { B = f(A) * 2; }"
    a = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(tilec.function(text)(a), (a + 1) * 2)
    np.testing.assert_array_equal(tilec.function(text, name="f")(a), a + 1)
    assert "g" not in tilec.function(text, name="f").source
    assert "function f" in tilec.function(text, name="g").source
    with pytest.raises(tilec.ArgumentError, match="there is no function 'h'") as caught:
        tilec.function(text, name="h")
    assert caught.value.help == "it has f, g"
    assert tilec.function(MATMUL, name="product").name == "product"


@pytest.mark.parametrize("target", TARGETS)
def test_arguments_by_name(target: str) -> None:
    a, b = numbers(2, 3), numbers(3, 4)
    f = tilec.function(MATMUL)
    for result in (f(a, B=b, target=target), f(B=b, A=a, target=target)):
        np.testing.assert_array_equal(result, a @ b)


@pytest.mark.parametrize(
    ("positional", "named", "words", "advice"),
    [
        (0, "", "the function takes 2 arguments, but A and B are missing", "the inputs are A, B"),
        (1, "", "the function takes 2 arguments, but B is missing", "the inputs are A, B"),
        (3, "", "the function takes 2 arguments, but 3 were given", "the inputs are A, B"),
        (1, "A", "the function got the argument A twice", None),
        (1, "X", "the function has no input 'X'", "the inputs are A, B"),
    ],
)
def test_wrong_number_or_names(positional: int, named: str, words: str, advice: str | None) -> None:
    a = numbers(2, 2)
    with pytest.raises(tilec.ArgumentError, match=f"^{re.escape(words)}") as caught:
        tilec.function(MATMUL)(*[a] * positional, **dict.fromkeys(named, a))
    assert caught.value.help == advice


def test_wrong_sizes_point_at_the_text() -> None:
    f = tilec.function("function (A[N], B[N]) -> (C) { C = A + B; }")
    with pytest.raises(
        tilec.ShapeError, match="N is 2 in argument A but 3 in argument B"
    ) as caught:
        f(numbers(2), numbers(3))
    assert caught.value.span is not None
    with pytest.raises(tilec.TileTypeError, match="A was given 2 axes, but the header has 1"):
        f(numbers(2, 2), numbers(2))
    with pytest.raises(tilec.TileTypeError):
        tilec.function("function (A[N]: f32) -> (C) { C = A + 1; }")(np.zeros(3))


def test_error_leaves_the_function_usable() -> None:
    f = tilec.function(MATMUL)
    for _ in range(2):
        with pytest.raises(tilec.ShapeError):
            f(numbers(2, 3), numbers(2, 3))
        np.testing.assert_array_equal(f(np.eye(2), np.eye(2)), np.eye(2))


def test_several_results_are_a_named_tuple() -> None:
    result: Any = tilec.function(TWO)(np.arange(4.0))
    assert (type(result).__name__, result._fields) == ("two", ("Sum", "Twice"))
    assert result.Sum.shape == ()
    assert result.Sum == 6
    total, twice = tuple(result)
    assert total == 6
    np.testing.assert_array_equal(twice, [0, 2, 4, 6])


def test_one_value_under_two_names_is_two_arrays() -> None:
    f = tilec.function("function (A[N]) -> (B, A) { B = A + 1; }")
    a = np.zeros(3)
    for target in TARGETS:
        b, copy = f(a, target=target)
        copy[...] = 5
        assert not a.any()
        np.testing.assert_array_equal(b, [1, 1, 1])


@pytest.mark.parametrize("target", TARGETS)
def test_results_that_are_inputs_are_copies(target: str) -> None:
    a = np.arange(3.0)
    b = tilec.function("function (A[N]) -> (A) { }")(a, target=target)
    np.testing.assert_array_equal(b, a)
    assert not np.shares_memory(a, b)


@pytest.mark.parametrize("target", TARGETS)
def test_strided_inputs(target: str) -> None:
    base = numbers(8, 12)
    f = tilec.function(MATMUL)
    views = [
        (base[::2, :5], base[:5, ::-1]),
        (base.T[:4, :3], base[2:5, 1:2]),
        (np.broadcast_to(base[0], (4, 12)), base.T),
        (base[::-2, ::-3], base[:4]),
    ]
    for a, b in views:
        a.flags.writeable = b.flags.writeable = False
        np.testing.assert_array_equal(f(a, b, target=target), a @ b)


def test_layouts_do_not_mix() -> None:
    """Equal shapes with other strides are other signatures, on the fast path too."""
    a = numbers(4, 4)
    f = tilec.function("function (A[N, N]) -> (B) { B = A + 0; }")
    for _ in range(3):
        for view in (a, a.T, a[::-1], a[:, ::-1], np.asfortranarray(a)):
            np.testing.assert_array_equal(f(view), view)


def test_unaligned_and_foreign_inputs_on_every_path() -> None:
    f = tilec.function("function (A[N]) -> (B) { B = A + 1; }")
    plain = np.arange(4, dtype=np.float32)
    unaligned = np.frombuffer(b"\0" + plain.tobytes(), np.uint8)[1:].view(np.float32)
    odd = np.zeros(4, [("x", "u1"), ("y", "<f4")])["y"]
    odd[...] = plain
    for _ in range(2):
        for array in (plain, unaligned, odd, plain.astype(">f4"), unaligned, plain):
            np.testing.assert_array_equal(f(array), plain + 1)


def test_sizes_from_zero() -> None:
    f = tilec.function("function (A[M, N]) -> (B) { B = A * 2; }")
    for shape in [(0, 3), (3, 0), (0, 0), (1, 1), (7, 13)]:
        result = f(np.ones(shape, np.float32))
        assert result.shape == shape
        assert (result == 2).all()


@pytest.mark.parametrize("target", TARGETS)
def test_scalars(target: str) -> None:
    f = tilec.function(SCALE)
    a = np.arange(4, dtype=np.float32)
    for s in (2.0, np.float32(2), np.array(2, np.float32), 2, True, np.int8(2)):
        np.testing.assert_array_equal(f(a, s, target=target), a * float(s))
    assert f(a, 2.0, target=target).dtype == np.float32
    assert f(a, np.float64(2), target=target).dtype == np.float64


def test_new_value_of_a_scalar_compiles_nothing(compilations: list[str]) -> None:
    f = tilec.function(SCALE + " // one code for all values")
    a = np.arange(4, dtype=np.float32)
    for s in (0.5, -1.0, 1e30, 3.25):
        np.testing.assert_array_equal(f(a, s), a * np.float32(s))
    assert len(compilations) == 1
    assert np.isinf(f(a, 1e300)[1:]).all()
    np.testing.assert_array_equal(f(a, 1 << 40), a * np.float32(1 << 40))
    np.testing.assert_array_equal(f(a, 3), a * 3)
    assert len(compilations) == 3  # f32, i64, i32


@pytest.mark.parametrize("target", TARGETS)
def test_scalar_used_as_a_size_is_specialised(target: str) -> None:
    f = tilec.function(WINDOW)
    a = np.arange(9, dtype=np.float32)
    for k in (3, 5, np.int64(4), np.array(2), 3):
        result = f(a, k, target=target)
        np.testing.assert_array_equal(result, a[: int(k)] + a[1 : int(k) + 1])


def test_each_size_compiles_once(compilations: list[str]) -> None:
    f = tilec.function(WINDOW + " // once")
    a = np.arange(9, dtype=np.float32)
    for k in (3, 5, 3, 5, 3):
        assert f(a, k).shape == (k,)
    assert len(compilations) == 2
    with pytest.raises(tilec.ArgumentError, match="K is used as a size, but it has 1 axes"):
        f(a, np.zeros(1, int))


def test_same_text_shares_code(compilations: list[str]) -> None:
    for _ in range(3):
        tilec.function(MATMUL + " // shared")(np.eye(3), np.eye(3))
    assert len(compilations) == 1


def test_out() -> None:
    f = tilec.function(MATMUL)
    a, b = numbers(4, 3), numbers(3, 5)
    for c in 2 * (
        np.zeros((4, 5), np.float32),
        np.zeros((5, 4), np.float32).T,
        np.zeros((8, 10), np.float32)[::-2, ::2],
    ):
        c[...] = 0
        assert f(a, b, out=c) is c
        np.testing.assert_array_equal(c, a @ b)
    total, twice = np.zeros((), np.float32), np.zeros(3, np.float32)
    two = tilec.function(TWO)
    for out in ((total, twice), [total, twice], {"Twice": twice, "Sum": total}, (total, twice)):
        total[...], twice[...] = 0, 0
        assert two(numbers(3), out=out) is out
        assert total == numbers(3).sum()
        np.testing.assert_array_equal(twice, 2 * numbers(3))


@pytest.mark.parametrize("target", TARGETS)
def test_out_that_does_not_fit(target: str) -> None:
    f = tilec.function(MATMUL)
    a = numbers(4, 4)
    with pytest.raises(tilec.ArgumentError, match="out shares memory with argument B"):
        f(numbers(4, 4), a, out=a, target=target)
    with pytest.raises(
        tilec.ArgumentError, match=r"out has shape \(4,\), but C has shape \(4, 4\)"
    ):
        f(a, a, out=np.zeros(4, np.float32), target=target)
    with pytest.raises(tilec.TileTypeError, match="out has dtype float64, but C is float32"):
        f(a, a, out=np.zeros((4, 4)), target=target)
    np.testing.assert_array_equal(a, numbers(4, 4))


def test_bind() -> None:
    f = tilec.function(MATMUL)
    b = numbers(3, 3)
    g = f.bind(B=b)
    right = b.copy()
    b[...] = 0  # what was bound stays as it was
    for rows in (2, 5, 2):
        np.testing.assert_array_equal(g(numbers(rows, 3)), numbers(rows, 3) @ right)
    np.testing.assert_array_equal(g.bind(A=np.eye(3, dtype=np.float32))(), right)
    assert [each.name for each in g.inputs] == ["A"]
    assert repr(g).endswith(", with B bound>")
    with pytest.raises(tilec.ArgumentError, match="there is no input 'X' to bind"):
        f.bind(X=1)
    with pytest.raises(tilec.ArgumentError, match="has no input 'B'") as caught:
        g(A=right, B=right)
    assert caught.value.help == "it is bound already"
    with pytest.raises(tilec.ShapeError, match="size K is"):
        g(numbers(2, 4))


@pytest.mark.parametrize("target", TARGETS)
def test_what_depends_on_bound_inputs_alone(target: str) -> None:
    f = tilec.function(
        """function (A[N], W[N], V[N]) -> (C, D, E) {
            P = W * 2 + 1; Q = P * V; S[] = +(Q[i]);
            C = A * Q + S; D = Q; E = W; }"""
    )
    a, w, v = numbers(6), numbers(6) + 1, numbers(6) - 3
    expected = f(a, w, v, target=target)
    for bound in ({"W": w}, {"W": w, "V": v}, {"A": a}, {"A": a, "W": w, "V": v}):
        rest = [x for name, x in (("A", a), ("W", w), ("V", v)) if name not in bound]
        result = f.bind(**bound)(*rest, target=target)
        for mine, right in zip(result, expected, strict=True):
            np.testing.assert_array_equal(mine, right)
    g = f.bind(W=w, V=v)
    g(a, target=target).D[...] = 0  # a result is never the constant itself
    np.testing.assert_array_equal(g(a, target=target).D, expected.D)


def test_constants_are_computed_once_per_shape() -> None:
    """Bound work does not happen in the kernels of a call."""
    f = tilec.function("function (A[M, N], W[N]) -> (C) { V = exp(W * 2); C = A * V; }")
    executable = f.bind(W=np.ones(5, np.float32)).compile(tilec.Spec((3, 5)))
    assert executable.memory.constants == 20
    assert all("exp" not in line for kernel in executable.kernels for line in kernel.header)
    assert executable.memory.inputs == executable.memory.outputs == 60


def test_large_constants() -> None:
    w = np.ones((1000, 1000), np.float32)
    g = tilec.function(MATMUL).bind(B=w)
    assert (g(np.ones((1, 1000), np.float32)) == 1000).all()


def test_bound_sizes() -> None:
    g = tilec.function(WINDOW).bind(K=3)
    np.testing.assert_array_equal(g(np.arange(5.0)), [1, 3, 5])


def test_check() -> None:
    f = tilec.function("function (A[N], K) -> (B) { B[i : K] = +(A[i + j]); }")
    given = [
        f.check(),
        f.check(tilec.Spec((5,)), 5),
        f.check(numbers(5), K=5),
        f.bind(K=5).check(numbers(5)),
        f.bind(K=5, A=numbers(5)).check(),
    ]
    for lints in given:
        assert "untied-index" in [found.id for found in lints]
    assert tilec.function(MATMUL).check() == ()
    with pytest.raises(tilec.ShapeError):
        tilec.function(MATMUL).check(numbers(2, 3), numbers(2, 3))


def test_num_threads() -> None:
    f = tilec.function(MATMUL)
    for threads in (1, 2):
        np.testing.assert_array_equal(f(np.eye(3), np.eye(3), num_threads=threads), np.eye(3))
    wrong: list[Any] = [0, -1, True, "2", 1.0, []]
    for threads in wrong:
        with pytest.raises(tilec.ArgumentError, match="num_threads is"):
            f(np.eye(3), np.eye(3), num_threads=threads)


def test_unknown_target() -> None:
    with pytest.raises(tilec.TargetError, match="there is no target 'tpu'") as caught:
        tilec.function(MATMUL)(np.eye(3), np.eye(3), target="tpu")
    assert caught.value.help is not None
    assert "llvm, opencl, reference" in caught.value.help
    target: Any = []
    with pytest.raises(tilec.ArgumentError, match="it is the name of a target"):
        tilec.function(MATMUL)(np.eye(3), np.eye(3), target=target)


def test_environment_names_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_TARGET", "reference")
    f = tilec.function(MATMUL)
    assert f.compile(np.eye(3), np.eye(3)).target == "reference"
    monkeypatch.setenv("TILEC_NUM_THREADS", "none")
    with pytest.raises(tilec.ArgumentError, match="TILEC_NUM_THREADS is 'none'"):
        f(np.eye(3), np.eye(3))


def test_many_signatures_are_bounded(compilations: list[str]) -> None:
    f = tilec.function("function (A[N]) -> (B) { B = A; }")
    for n in range(40):
        f(np.zeros(n, np.int8), target="reference")
        f(np.zeros(n, np.int8), target="reference")
    assert KEPT_SIGNATURES >= 40


def test_arrays_are_not_kept_alive() -> None:
    class Kept(np.ndarray[Any, Any]):
        pass

    f = tilec.function(MATMUL)
    a = np.eye(3).view(Kept)
    watch = weakref.ref(a)
    f(a, np.eye(3))
    f(np.eye(3), a)
    del a
    gc.collect()
    assert watch() is None


def test_threads_share_a_function() -> None:
    f = tilec.function(MATMUL + " // by many threads")
    wrong: list[Any] = []
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        start.wait()
        for step in range(50):
            n = 1 + (seed + step) % 7
            a = np.full((n, n), seed, np.float32)
            c = f(a, np.eye(n, dtype=np.float32))
            if not (c == a).all():
                wrong.append((seed, step))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_traceback_of_the_compiler_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def depth() -> int:
        with pytest.raises(tilec.ShapeError) as caught:
            tilec.function(MATMUL)(numbers(2, 3), numbers(2, 3))
        return len(caught.traceback)

    short = depth()
    monkeypatch.setenv("TILEC_DEBUG", "1")
    assert depth() > short


def test_bug_becomes_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("tilec.program.function.engine", broken)
    with pytest.raises(tilec.InternalError, match=r"KeyError in tilec .*: 'oops'") as caught:
        tilec.function(MATMUL)(np.eye(3), np.eye(3))
    assert caught.value.help is not None
    assert "report" in caught.value.help


@pytest.mark.parametrize("target", TARGETS)
def test_bfloat16(target: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    c = tilec.function("function (A[M, N]) -> (B) { B = A + A; }")(a, target=target)
    assert c.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(c.astype(np.float32), 2 * a.astype(np.float32))


def test_a_value_under_two_names_of_which_its_own_comes_last() -> None:
    f = tilec.function("function (A[N]) -> (R, S) { S[i] = +(A[i] * A[k]); R = S; }")
    first, second = f(np.arange(3.0))
    np.testing.assert_array_equal(first, [0, 3, 6])
    np.testing.assert_array_equal(second, first)
