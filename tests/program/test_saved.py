"""``Executable``, and saving and loading it."""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.program import compile as compile_module
from tilec.runtime.container import pack, unpack

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"


def ramp(*shape: int) -> Any:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


@pytest.fixture
def executable() -> tilec.Executable:
    return tilec.function(MATMUL).compile(tilec.Spec((3, 4)), ramp(4, 5))


@pytest.fixture
def file(tmp_path: Path, executable: tilec.Executable) -> Path:
    executable.save(tmp_path / "matmul.tilec")
    return tmp_path / "matmul.tilec"


def rewritten(file: Path, **changes: object) -> Path:
    """The same file with other facts and a right checksum, as someone malicious could make it."""
    contents = unpack(file.read_bytes())
    manifest = {k: v for k, v in contents.manifest.items() if k != "blobs"} | changes
    file.write_bytes(b"".join(pack(manifest, contents.blobs)))
    return file


def test_executable(executable: tilec.Executable) -> None:
    a, b = ramp(3, 4), ramp(4, 5)
    for _ in range(2):
        np.testing.assert_array_equal(executable(a, b), a @ b)
    c = np.zeros((3, 5), np.float32)
    assert executable(a, b, out=c) is c
    np.testing.assert_array_equal(c, a @ b)
    assert repr(executable) == (
        "<tilec.Executable (A: f32[3, 4], B: f32[4, 5]) -> (C: f32[3, 5]) for llvm>"
    )
    assert [str(kernel) for kernel in executable.kernels] == ["main_C"]
    memory = executable.memory
    assert (memory.inputs, memory.outputs, memory.constants) == (48 + 80, 60, 0)


def test_every_stage_has_a_text(executable: tilec.Executable) -> None:
    assert executable.stages == ("tile", "tensor", "kernel", "llvm", "asm")
    texts = [executable.source(stage) for stage in executable.stages]
    assert texts == [executable.source(stage) for stage in executable.stages]
    assert len(set(texts)) == 5
    assert tilec.function(texts[0])(ramp(2, 2), ramp(2, 2)).shape == (2, 2)
    for stage, text in zip(executable.stages[2:], texts[2:], strict=True):
        assert "sizes: " in text, stage
    with pytest.raises(tilec.ArgumentError, match="there is no stage 'ptx'") as caught:
        executable.source("ptx")
    assert caught.value.help == "the stages are tile, tensor, kernel, llvm, asm"
    reference = tilec.function(MATMUL).compile(ramp(2, 2), ramp(2, 2), target="reference")
    assert reference.stages == ("tile", "tensor")
    assert reference.kernels == ()


@pytest.mark.parametrize(
    ("a", "kind", "words"),
    [
        (ramp(4, 3), tilec.ShapeError, "A has shape [4, 3], but this executable was compiled"),
        (ramp(3, 4).astype("f8"), tilec.TileTypeError, "A has dtype f64, but this executable"),
        (ramp(4, 3).T, tilec.ArgumentError, "A has strides [1, 3] (in elements)"),
        (1.0, tilec.ShapeError, "A has shape []"),
    ],
)
def test_executable_takes_only_what_it_was_compiled_for(
    executable: tilec.Executable, a: Any, kind: type[tilec.TilecError], words: str
) -> None:
    for _ in range(2):
        with pytest.raises(kind, match=re.escape(words)):
            executable(a, ramp(4, 5))
    with pytest.raises(tilec.ArgumentError, match="1 arguments were given, but this executable"):
        executable(a)


def test_executable_for_other_layouts() -> None:
    a = ramp(4, 3).T
    executable = tilec.function(MATMUL).compile(a, tilec.Spec((4, 5)))
    for _ in range(2):
        np.testing.assert_array_equal(executable(a, ramp(4, 5)), a @ ramp(4, 5))
    with pytest.raises(tilec.ArgumentError, match="has strides"):
        executable(a.copy(), ramp(4, 5))


def test_executable_for_a_size() -> None:
    f = tilec.function("function (A[N], K) -> (C) { C[i : K] = +(A[i + j]), j < 2; }")
    executable = f.compile(tilec.Spec((5,)), 3)
    for k in (3, np.int64(3), np.array(3)):
        np.testing.assert_array_equal(executable(ramp(5), k), [1, 3, 5])
    with pytest.raises(tilec.ArgumentError, match="K is 4, but it is used as a size"):
        executable(ramp(5), 4)
    with pytest.raises(tilec.ArgumentError, match="K is used as a size, so its value is needed"):
        f.compile(tilec.Spec((5,)), tilec.Spec(()))


def test_another_cpu_can_be_shown_but_not_run() -> None:
    options = tilec.Options(cpu="x86-64")
    executable = tilec.function(MATMUL).compile(ramp(9, 9), ramp(9, 9), options=options)
    assert "zmm" not in executable.source("asm")
    with pytest.raises(tilec.TargetError, match="compiled for the CPU 'x86-64'"):
        executable(ramp(9, 9), ramp(9, 9))


def test_unknown_pass() -> None:
    options = tilec.Options(disable=("speed",))
    with pytest.raises(tilec.ArgumentError, match="there is no pass 'speed'") as caught:
        tilec.function(MATMUL).compile(ramp(2, 2), ramp(2, 2), options=options)
    assert caught.value.help is not None
    assert "vectorise" in caught.value.help


def test_observer_sees_every_pass_in_order() -> None:
    events: list[Any] = []
    f = tilec.function(MATMUL)
    for _ in range(2):  # a cache hit would show nothing
        events.clear()
        f.compile(ramp(8, 8), ramp(8, 8), observe=events.append)
        names = [event.name for event in events]
        assert names[0] == "bind"
        assert names[-2:] == ["module", "llvm"]
        assert "drop-dead" in names
        assert all(event.seconds >= 0 and event.text() for event in events)


@pytest.mark.parametrize("trust", [False, True])
def test_saved_and_loaded(file: Path, trust: bool) -> None:
    loaded = tilec.load(file, trust=trust)
    np.testing.assert_array_equal(loaded(ramp(3, 4), ramp(4, 5)), ramp(3, 4) @ ramp(4, 5))
    assert loaded.inputs == (("A", tilec.Spec((3, 4))), ("B", tilec.Spec((4, 5))))
    assert "C[i, j : M, N]" in loaded.source("tile")
    assert "main_C" in loaded.source("kernel")
    loaded.save(file)
    assert tilec.load(str(file)).memory == loaded.memory


@pytest.mark.parametrize("target", ["llvm", "reference"])
@pytest.mark.parametrize("trust", [False, True])
def test_bound_arrays_are_saved(tmp_path: Path, target: str, trust: bool) -> None:
    f = tilec.function("function (A[N], W[N], K) -> (C) { V = W * K; C[i : K] = +(A[i] * V[i]); }")
    bound = f.bind(W=ramp(6), K=4)
    bound.compile(tilec.Spec((6,)), target=target).save(tmp_path / "x")
    loaded = tilec.load(tmp_path / "x", trust=trust)
    np.testing.assert_array_equal(loaded(np.ones(6, np.float32)), 4 * ramp(4))


def test_trusted_code_is_not_compiled_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> object:
        raise AssertionError("the compiler ran")

    monkeypatch.setattr(compile_module, "compile_anew", refuse)
    loaded = tilec.load(file, trust=True)
    np.testing.assert_array_equal(loaded(ramp(3, 4), ramp(4, 5)), ramp(3, 4) @ ramp(4, 5))


def test_code_of_another_machine_is_compiled_again(file: Path) -> None:
    rewritten(file, key="0" * 64)
    for trust in (False, True):
        loaded = tilec.load(file, trust=trust)
        np.testing.assert_array_equal(loaded(ramp(3, 4), ramp(4, 5)), ramp(3, 4) @ ramp(4, 5))


def test_code_of_an_untrusted_file_is_not_touched(file: Path) -> None:
    contents = unpack(file.read_bytes())
    manifest = {k: v for k, v in contents.manifest.items() if k != "blobs"}
    file.write_bytes(b"".join(pack(manifest, {**contents.blobs, "main": b"\xcc" * 5000})))
    loaded = tilec.load(file)
    np.testing.assert_array_equal(loaded(ramp(3, 4), ramp(4, 5)), ramp(3, 4) @ ramp(4, 5))


def test_damaged_files(file: Path) -> None:
    whole = file.read_bytes()
    chance = random.Random(3)
    for _ in range(100):
        file.write_bytes(whole[: chance.randrange(len(whole))])
        with pytest.raises(tilec.ArgumentError, match="is no executable that this version"):
            tilec.load(file)
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(tilec.ArgumentError, match="is no executable that this version"):
            tilec.load(file)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 99, "version": "9.9"},
        {"format": "1"},
        {"text": 5},
        {"text": "function"},
        {"text": "function (A) -> (B) { B = A; }"},
        {"text": f"function f(A[M, K], B[K, N]) -> (C) {{ {MATMUL}; }}", "function": "nobody"},
        {"arguments": []},
        {"arguments": "AB"},
        {"arguments": [{"name": "A"}, {"name": "B"}]},
        {"options": {}},
        {"options": {"target": "tpu", "disable": [], "cpu": "", "gpu": ""}},
        {"options": {"target": "llvm", "disable": ["x"], "cpu": "", "gpu": ""}},
        {"main": [], "key": "0" * 64},
    ],
    ids=str,
)
def test_files_with_wrong_facts(file: Path, changes: dict[str, object]) -> None:
    rewritten(file, **changes)
    if "main" in changes:
        assert tilec.load(file).kernels
        return
    with pytest.raises(tilec.UserError):
        tilec.load(file)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, -4]},
        {"shape": [3, 1 << 70]},
        {"shape": [3.5, 4]},
        {"shape": [3, 4, 5]},
        {"strides": [1]},
        {"strides": [1 << 80, 1]},
        {"dtype": "f31"},
        {"dtype": None},
        {"name": "Z"},
        {"value": 3},
        {"value": [3]},
        {"bound": True},
        {"bound": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("trust", [False, True])
def test_files_with_wrong_arguments(file: Path, change: dict[str, object], trust: bool) -> None:
    arguments: Any = json.loads(json.dumps(unpack(file.read_bytes()).manifest["arguments"]))
    arguments[0] |= change
    rewritten(file, arguments=arguments)
    with pytest.raises(tilec.UserError):
        tilec.load(file, trust=trust)


def test_deeply_nested_manifest(file: Path) -> None:
    data = b"TILEC\0\1\n"
    text = b"[" * 100_000
    body = len(text).to_bytes(8, "little") + text
    file.write_bytes(data + hashlib.sha256(body).digest() + body)
    with pytest.raises(tilec.ArgumentError, match="its manifest cannot be read"):
        tilec.load(file)


def test_places_that_cannot_be_used(tmp_path: Path, executable: tilec.Executable) -> None:
    with pytest.raises(tilec.ArgumentError, match="cannot be read: No such file"):
        tilec.load(tmp_path / "none")
    with pytest.raises(tilec.ArgumentError, match="cannot be written: No such file"):
        executable.save(tmp_path / "no" / "folder")
    with pytest.raises(tilec.ArgumentError, match="cannot be written"):
        executable.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
