from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.cli.conftest import Tilec
from tests.onnx.models import model

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
SHAPES = ("--shape", "A=4x8:f32", "--shape", "B=8x5:f32")
TWO = """
function first(A[N]) -> (B) { B = A + 1; }
function second(A[N]) -> (B) { B = first(A) * 2; }
"""


def test_the_kernel_is_the_default(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES)
    assert result.status == 0
    assert result.err == ""
    assert "kernel " in result.out
    assert "f32[4, 5]" in result.out
    assert "==>" not in result.out


def test_several_stages_have_headings(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--emit", "tile,tensor,kernel,llvm,asm")
    headings = [line for line in result.out.splitlines() if line.startswith("==>")]
    assert headings == [f"==> {s} <==" for s in ("tile", "tensor", "kernel", "llvm", "asm")]


def test_the_canonical_text_needs_no_sizes(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, "--emit", "tile")
    assert result.out.startswith("function (A[M, K], B[K, N]) -> (C) {\n")
    again = tilec("compile", "-e", result.out, "--emit", "tile")
    assert again.out == result.out


def test_a_file(tilec: Tilec) -> None:
    Path("two.tile").write_text(TWO)
    result = tilec("compile", "two.tile", "--emit", "tile")
    assert "second(A[N])" in result.out
    result = tilec("compile", "two.tile", "--emit", "tile", "--function", "first")
    assert "second" not in result.out
    result = tilec("compile", "two.tile", "--function", "third")
    assert result.status == 2
    assert "no function 'third'" in result.err
    assert "first, second" in result.err


def test_standard_input(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MATMUL.encode())))
    assert tilec("compile", "-", "--emit", "tile").status == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"C = (A")))
    assert tilec("compile", "-").err.startswith("<standard input>:1:7: ")


def test_a_folder_gets_one_file_a_stage(tilec: Tilec) -> None:
    result = tilec("compile", "-e", TWO, "--shape", "A=8", "-o", "out/deep")
    files = {path.name for path in Path("out/deep").iterdir()}
    assert files == {f"second.{suffix}" for suffix in ("tile", "tensor", "kernel", "ll", "s")}
    assert result.out.split() == [
        str(Path("out/deep") / f"second.{suffix}")
        for suffix in ("tile", "tensor", "kernel", "ll", "s")
    ]
    Path("file").touch()
    assert tilec("compile", "-e", TWO, "--shape", "A=8", "-o", "file/below").status == 2


def test_json(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--json", "--emit", "tile,asm")
    facts: dict[str, Any] = json.loads(result.out)
    assert facts["target"] == "llvm"
    assert facts["inputs"][1] == {"name": "B", "dtype": "f32", "shape": [8, 5]}
    assert facts["outputs"] == [{"name": "C", "dtype": "f32", "shape": [4, 5]}]
    assert list(facts["stages"]) == ["tile", "asm"]
    assert facts["kernels"][0]["header"]
    assert "passes" not in facts
    timed = json.loads(tilec("compile", "-e", MATMUL, *SHAPES, "--json", "--time-passes").out)
    assert all(each["seconds"] >= 0 for each in timed["passes"])


def test_passes_are_timed(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--time-passes")
    assert result.status == 0
    assert "kernel " in result.out
    names = [line.split()[0] for line in result.err.splitlines()[2:]]
    assert names[0] == "bind"
    assert names[-2:] == ["llvm", "all"]


def test_print_after(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--print-after", "bind")
    assert result.out.startswith("==> ")
    assert " after bind <==" in result.out
    assert "==> kernel <==" not in result.out
    both = tilec("compile", "-e", MATMUL, *SHAPES, "--print-after", "all", "--emit", "tile")
    assert both.out.count(" after ") > 2
    assert "==> tile <==" in both.out
    wrong = tilec("compile", "-e", MATMUL, *SHAPES, "--print-after", "bundle")
    assert wrong.status == 2
    assert "there is no such pass; those that ran are bind, " in wrong.err


def test_a_pass_is_left_out(tilec: Tilec) -> None:
    text = "C[i : N] = =(A[i] + B[i])"
    shapes = ("--shape", "A=64", "--shape", "B=64")
    assert "vector i" in tilec("compile", "-e", text, *shapes).out
    assert "vector i" not in tilec("compile", "-e", text, *shapes, "--disable", "vectorise").out
    wrong = tilec("compile", "-e", text, *shapes, "--disable", "nothing")
    assert wrong.status == 2
    assert "no pass 'nothing'" in wrong.err


def test_another_cpu(tilec: Tilec) -> None:
    text = "C[i : N] = =(A[i] + B[i])"
    shapes = ("--shape", "A=64", "--shape", "B=64")
    printed = tilec("compile", "-e", text, *shapes, "--cpu", "x86-64", "--emit", "asm")
    assert printed.status in (0, 2)  # 2 on machines that are no x86
    if printed.status == 0:
        assert "xmm" in printed.out
        assert "zmm" not in printed.out
    assert tilec("compile", "-e", text, *shapes, "--cpu", "z80", "--emit", "asm").status == 2


def test_inputs_that_follow_from_others(tilec: Tilec) -> None:
    text = "function (A[M, N], B[N], C[3]) -> (D) { D[i : M] = +(A[i, j] * B[j] * C[0]); }"
    result = tilec("compile", "-e", text, "--shape", "A=4x8:f64", "--json", "--emit", "tile,tensor")
    shapes = [(each["dtype"], each["shape"]) for each in json.loads(result.out)["inputs"]]
    assert shapes == [("f64", [4, 8]), ("f32", [8]), ("f32", [3])]


def test_a_number_that_is_a_size(tilec: Tilec) -> None:
    text = "function (A[M], N) -> (B) { B[i : N] = +(A[i + k]), k < 2; }"
    assert tilec("compile", "-e", text, "--shape", "A=8", "--set", "N=4").status == 0
    missing = tilec("compile", "-e", text, "--shape", "A=8")
    assert missing.status == 2
    assert "--set N=16" in missing.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--shape", "A=4x8"), "the sizes of the input B[K, N] are not known: add them, "
         "e.g. --shape B=8x64:f32"),
        (("--shape", "A"), "--shape 'A' cannot be read"),
        (("--shape", "A=4x8:f33"), "there is no dtype 'f33'; the dtypes are bool, i8"),
        (("--shape", "A=4x-8"), "cannot be read"),
        (("--shape", "A=4", "--shape", "A=5"), "names the input A twice"),
        (("--shape", "Z=4"), "there is no input Z; the inputs are A, B"),
        (("--shape", "A=99999999999999999999x8"), "a size is too large"),
        (("--set", "A=x"), "--set 'A=x' cannot be read"),
        ((*SHAPES, "--emit", "tile,ptx"), "--emit ptx: there is no such stage; for the target "
         "llvm they are tile, tensor, kernel, llvm, asm"),
        ((*SHAPES, "--target", "abacus"), "there is no target 'abacus'; the targets are "),
        (("-", *SHAPES), "the program is given twice"),
    ],
)  # fmt: skip
def test_wrong_usage(tilec: Tilec, arguments: tuple[str, ...], words: str) -> None:
    result = tilec("compile", "-e", MATMUL, *arguments)
    assert result.status == 2
    assert words in " ".join(result.err.split())
    assert result.out == ""


def test_files_that_are_no_programs(tilec: Tilec) -> None:
    assert "No such file" in tilec("compile", "missing.tile").err
    assert tilec("compile", ".").status == 2
    Path("binary.tile").write_bytes(b"C = A\xff")
    result = tilec("compile", "binary.tile")
    assert result.status == 2
    assert "byte 5 is 0xff" in result.err
    Path("empty.tile").touch()
    assert tilec("compile", "empty.tile").status == 1


def test_sizes_that_do_not_fit(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, "--shape", "A=4x8", "--shape", "B=9x5")
    assert result.status == 1
    assert result.err.startswith("<command line>:1:")
    assert "8" in result.err
    assert "9" in result.err


def test_the_reference_has_no_kernels(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--target", "reference")
    assert result.status == 0
    assert "contraction" in result.out or "C: f32[4, 5]" in result.out


def test_a_library(tilec: Tilec) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--aot", "-o", "out", "--name", "product")
    assert result.status == 0, result.err
    assert result.out.split() == ["out/product.o", "out/product.h", "out/manifest.json"]
    assert all(Path(file).stat().st_size for file in result.out.split())
    result = tilec("compile", "-e", MATMUL, *SHAPES, "--aot", "-o", "out", "--json")
    assert json.loads(result.out)["memory"]["inputs"] == 4 * (4 * 8 + 8 * 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--aot",), "a library needs a folder: add -o DIR"),
        (("--aot", "-o", "out", "--emit", "asm"), "a library has no stages to show"),
        (("--name", "product"), "--name is the name of a library: add --aot"),
        (("--aot", "-o", "out", "--cpu", "z80"), "knows no CPU 'z80'"),
    ],
)
def test_what_a_library_needs(tilec: Tilec, options: tuple[str, ...], words: str) -> None:
    result = tilec("compile", "-e", MATMUL, *SHAPES, *options)
    assert result.status != 0
    assert words in result.err


def test_a_model_is_a_library(tilec: Tilec) -> None:
    nodes = [helper.make_node("MatMul", ["in.x", "w"], ["y"])]
    weights = {"w": np.ones((2, 3), np.float32)}
    net = model(nodes, {"in.x": ["n", 2]}, ["y"], weights)
    Path("a net.onnx").write_bytes(net.SerializeToString())
    result = tilec("compile", "a net.onnx", "--shape", "in.x=4x2", "-o", "out")
    assert result.status == 0, result.err
    names = [Path(file).name for file in result.out.splitlines()]
    assert names == ["a_net.o", "a_net.h", "a_net.weights", "manifest.json"]
    for arguments, words in (
        ((), "a library needs a folder"),
        (("-o", "out"), "in.x: f32[n, 2] are not known: add them, e.g. --shape in.x=1x2"),
        (("-o", "out", "--shape", "x=3"), "the model has no input 'x'"),
        (("-o", "out", "--shape", "in.x=4x2:f64"), "the dtypes of a model are in its file"),
        (("-o", "out", "--set", "n=3"), "-e, --function and --set are for Tile programs"),
    ):
        assert words in tilec("compile", "a net.onnx", *arguments).err
