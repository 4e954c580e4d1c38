"""``Executable.export``: libraries that C programs link, and loading them again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.runtime.library import Weights, checksum
from tilec_llvm import features
from tilec_llvm.target import CPUS

RNG = np.random.default_rng(7)
PROGRAM = Path(__file__).with_name("library.c")
COMPILER = shutil.which("cc")
NM = shutil.which("nm")

needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="there is no C compiler, cc, that could link a program"
)
# Code and headers can be written on any system; running them is for the system they are for.
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="libraries without --cpu are made on Linux"
)


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


WEIGHTS = floats(96, 64)
LAYERS = """
function (X[N, K], W[K, M]) -> (Y, S) {
  H[i, j : N, M] = +(X[i, k] * W[k, j]);
  Y = tanh(H);
  S[i : N] = >(Y[i, j]);
}
"""


@pytest.fixture(scope="module")
def layers() -> tilec.Executable:
    """Weights that are packed, threads, a workspace and two outputs."""
    return tilec.function(LAYERS).bind(W=WEIGHTS).compile(tilec.Spec((300, 96)))


@pytest.fixture
def folder(tmp_path: Path, layers: tilec.Executable) -> Path:
    layers.export(tmp_path / "lib", name="model")
    return tmp_path / "lib"


def linked(folder: Path) -> Path:
    """The C program, linked with the library in a folder."""
    program = folder / "program"
    warnings = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    files = [f"-I{folder}", str(PROGRAM), str(folder / "model.o"), "-o", str(program)]
    run([str(COMPILER), *warnings, *files, "-lpthread"])
    return program


def run(
    command: list[str], given: bytes = b"", status: int = 0
) -> subprocess.CompletedProcess[Any]:
    found = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    assert found.returncode == status, found.stderr.decode()
    return found


def outputs(executable: tilec.Executable, *arrays: Any) -> bytes:
    found = executable(*arrays)
    several: tuple[Any, ...] = found if len(executable.outputs) > 1 else (found,)
    return b"".join(each.tobytes() for each in several)


@needs_compiler
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_a_program_in_c(folder: Path, layers: tilec.Executable, threads: int) -> None:
    x = floats(300, 96)
    command = [str(linked(folder)), str(folder / "model.weights"), str(threads)]
    assert run(command, x.tobytes()).stdout == outputs(layers, x)


@needs_compiler
@pytest.mark.parametrize(
    ("text", "arrays"),
    [
        ("function (A, B) -> (C) { C = A * B + 1; }", (floats(5), floats(3, 5))),
        ("function (A) -> (C, D) { C = A > 0; D = A * 2; }", (floats(7).astype("f2"),)),
        ("function (A) -> (C) { C = A * 2; }", (np.float64(3),)),
        ("function (A', A_prime) -> (C') { C' = A' - A_prime; }", (floats(4), floats(4))),
        ("function (A[N]) -> (C) { C[i : N] = =(A[i]); }", (floats(0),)),
    ],
)
def test_types_and_names(tmp_path: Path, text: str, arrays: tuple[Any, ...]) -> None:
    executable = tilec.function(text).compile(*arrays)
    executable.export(tmp_path, name="model")
    given = b"".join(each.tobytes() for each in arrays)
    assert run([str(linked(tmp_path)), "", "2"], given).stdout == outputs(executable, *arrays)
    assert not (tmp_path / "model.weights").exists()


@needs_compiler
@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_is_c_and_c_plus_plus(folder: Path, language: str) -> None:
    if language == "c++" and shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler, c++")
    source = folder / "typed"
    source.write_text(
        '#include "model.h"\n#include "model.h"\n'
        "int main(void) {\n"
        "  static float x[300 * 96], y[300 * 64], s[300];\n"
        "  model_model *model = NULL;\n"
        "  if (model_call(model, x, y, s, 1) != TILEC_ARGUMENT) return 1;\n"
        "  return model_input(0)->shape[1] == 96 && model_output(1)->rank == 1 ? 0 : 1;\n"
        "}\n"
    )
    command = ["cc" if language == "c" else "c++", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    command += ["-x", language, str(source), "-x", "none", str(folder / "model.o"), "-lpthread"]
    run([*command, "-o", str(folder / "typed.out")])
    run([str(folder / "typed.out")])


@needs_compiler
def test_two_libraries_in_one_shared_object(folder: Path) -> None:
    tilec.function("C = A + 1").compile(floats(3)).export(folder, name="other")
    shared = folder / "both.so"
    objects = [str(folder / "model.o"), str(folder / "other.o")]
    run([str(COMPILER), "-shared", "-Wl,-z,text", *objects, "-o", str(shared), "-lpthread"])
    if NM is not None:
        listed = run([NM, "-D", "--defined-only", str(shared)]).stdout.decode()
        assert "other_run" in listed
        assert "model_run" in listed
        assert "tilec" not in listed


def test_load(folder: Path, layers: tilec.Executable) -> None:
    x = floats(300, 96)
    library = tilec.load(folder, trust=True)
    assert str(library) == str(layers)
    assert outputs(library, x) == outputs(layers, x)
    assert library.memory.constants >= WEIGHTS.nbytes
    assert library.kernels == layers.kernels
    assert library.stages == ("tile",)
    with pytest.raises(tilec.ShapeError, match="X has shape"):
        library(floats(301, 96))
    out = [np.empty((300, 64), np.float32), np.empty(300, np.float32)]
    library(x, out=out)
    np.testing.assert_array_equal(out[1], layers(x).S)


def test_load_a_size_and_a_strided_array(tmp_path: Path) -> None:
    text = "function (A[N, M], K) -> (C) { C[i : K] = +(A[i, j]); }"
    a = floats(6, 5).T
    executable = tilec.function(text).compile(a, 3)
    executable.export(tmp_path)
    library = tilec.load(tmp_path, trust=True)
    for k in (3, np.int64(3)):
        np.testing.assert_array_equal(library(a, k), executable(a, 3))
    with pytest.raises(tilec.ArgumentError, match="K is 4, but it is used as a size"):
        library(a, 4)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [each["name"] for each in manifest["inputs"]] == ["A"]
    assert manifest["inputs"][0]["strides"] == [1, 5]


def test_calls_at_the_same_time(folder: Path, layers: tilec.Executable) -> None:
    library = tilec.load(folder, trust=True)
    given = [floats(300, 96) for _ in range(16)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(partial(outputs, library), given))
    assert found == [outputs(layers, x) for x in given]


def test_machine_code_is_not_run_unasked(folder: Path) -> None:
    with pytest.raises(tilec.ArgumentError, match="folder with machine code") as caught:
        tilec.load(folder)
    assert caught.value.help is not None
    assert "trust=True" in caught.value.help


def refused(folder: Path, words: str, status: int) -> None:
    """Python says these words, and C returns this status and says the last part of them."""
    with pytest.raises(tilec.ArgumentError, match=words):
        tilec.load(folder, trust=True)
    if COMPILER is not None:
        command = [str(linked(folder)), str(folder / "model.weights"), "1"]
        assert words.encode() in run(command, status=status).stderr


@pytest.mark.parametrize("at", [0, 8, -1])
def test_damaged_weights(folder: Path, at: int) -> None:
    weights = folder / "model.weights"
    data = bytearray(weights.read_bytes())
    data[at] ^= 1
    weights.write_bytes(data)
    refused(folder, "the file of weights is damaged, or belongs to another library", 3)


def test_weights_that_are_cut_off_or_missing(folder: Path) -> None:
    weights = folder / "model.weights"
    weights.write_bytes(weights.read_bytes()[:-64])
    refused(folder, "the file of weights is damaged, or belongs to another library", 3)
    weights.unlink()
    refused(folder, "the file of weights cannot be opened or read", 2)


def test_a_folder_that_holds_no_library(folder: Path) -> None:
    code, manifest = folder / "model.o", folder / "manifest.json"
    code.write_bytes(code.read_bytes()[:-1])
    with pytest.raises(tilec.ArgumentError, match=r"model\.o is damaged"):
        tilec.load(folder, trust=True)
    code.unlink()
    with pytest.raises(tilec.ArgumentError, match=r"model\.o cannot be read: No such file"):
        tilec.load(folder, trust=True)
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**facts, "abi": 99, "version": "9.9"}))
    with pytest.raises(tilec.ArgumentError, match=r"written by tilec 9\.9"):
        tilec.load(folder, trust=True)
    manifest.write_text(json.dumps({**facts, "files": {"object": "../model.o"}}))
    with pytest.raises(tilec.ArgumentError, match="lies elsewhere"):
        tilec.load(folder, trust=True)
    manifest.write_text("[]")
    with pytest.raises(tilec.ArgumentError, match="its manifest is not an object"):
        tilec.load(folder, trust=True)
    manifest.unlink()
    with pytest.raises(tilec.ArgumentError, match=r"manifest\.json cannot be read"):
        tilec.load(folder, trust=True)


@pytest.mark.skipif("x86_64" not in features.portable(None).target.triple, reason="no x86-64")
@pytest.mark.parametrize(
    "there",
    [
        features.Feature("leaf1.c", 16),  # a bit that is reserved, and 0 on every processor
        features.Feature("leaf1.c", 0, 1 << 31),  # registers that no system saves
    ],
)
def test_a_machine_that_lacks_a_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: features.Feature
) -> None:
    monkeypatch.setattr(features, "X86", {"sse3": features.X86["sse3"], "ssse3": there})
    monkeypatch.setattr(features, "KNOWN", {"x86_64": features.X86})
    options = tilec.Options(cpu="x86-64")
    monkeypatch.setattr(features, "NAMED", {"x86-64": "sse3 ssse3"})
    executable = tilec.function("C = A + 1").compile(floats(3), options=options)
    executable.export(tmp_path, name="model")
    with pytest.raises(tilec.TargetError, match="this machine lacks ssse3, which") as caught:
        tilec.load(tmp_path, trust=True)
    assert caught.value.help is not None
    if COMPILER is not None:
        said = run([str(linked(tmp_path)), "", "1"], status=1).stderr
        assert b"lacks instructions that the library was compiled for, which are: sse3 s" in said


def test_another_cpu_of_this_architecture(tmp_path: Path) -> None:
    target = features.portable(None).target
    cpu = "x86-64" if target.architecture == "x86_64" else "armv8-a"
    options = tilec.Options(cpu=cpu)
    executable = (
        tilec.function(LAYERS).bind(W=WEIGHTS).compile(tilec.Spec((30, 96)), options=options)
    )
    executable.export(tmp_path)
    x = floats(30, 96)
    expected = np.tanh(x @ WEIGHTS)
    found = tilec.load(tmp_path, trust=True)(x)
    np.testing.assert_allclose(found.Y, expected, rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "manifest.json").read_text())["features"] == []


def test_another_architecture(tmp_path: Path) -> None:
    here = features.portable(None).target.architecture
    cpu, machine = ("neoverse-n1", 183) if here == "x86_64" else ("haswell", 62)
    executable = (
        tilec.function(LAYERS)
        .bind(W=WEIGHTS)
        .compile(tilec.Spec((30, 96)), options=tilec.Options(cpu=cpu))
    )
    executable.export(tmp_path, name="model")
    code = (tmp_path / "model.o").read_bytes()
    assert int.from_bytes(code[18:20], "little") == machine
    with pytest.raises(tilec.TargetError, match=f"and this machine is {here}"):
        tilec.load(tmp_path, trust=True)


def test_every_processor_has_its_features() -> None:
    assert set(features.NAMED) == {name for names in CPUS.values() for name in names}
    for architecture, names in CPUS.items():
        for name in names:
            assert set(features.NAMED[name].split()) <= set(features.KNOWN[architecture])


def test_what_cannot_be_exported(folder: Path, layers: tilec.Executable) -> None:
    reference = tilec.function("C = A + 1").compile(floats(3), target="reference")
    with pytest.raises(tilec.TargetError, match="the target reference makes no libraries"):
        reference.export(folder)
    with pytest.raises(tilec.ArgumentError, match="cannot be called '2x'"):
        layers.export(folder, name="2x")
    library = tilec.load(folder, trust=True)
    with pytest.raises(tilec.ArgumentError, match="loaded from a library"):
        library.export(folder / "again")
    with pytest.raises(tilec.ArgumentError, match="has the array W only as the code takes it"):
        library.save(folder / "again")
    (folder / "file").write_text("")
    with pytest.raises(tilec.ArgumentError, match="file cannot be made: File exists"):
        layers.export(folder / "file")


def test_the_checksum_sees_changes_and_swaps() -> None:
    words = np.arange(1 << 18, dtype=np.uint64)
    total = sum(int(word) * (2 * at + 1) for at, word in enumerate(words)) % (1 << 64)
    assert checksum(words.data.cast("B")) == total
    weights = Weights()
    assert [weights.add(bytes(range(70))), weights.add(b"x" * 64), weights.add(b"")] == [
        0,
        128,
        192,
    ]
    whole = b"".join(weights.pieces)
    assert weights.checksum == checksum(whole)
    assert checksum(whole[64:] + whole[:64]) != checksum(whole)
