from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from tests.cli.conftest import Tilec
from tests.onnx.models import model

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
TWO_RESULTS = "function (A[N]) -> (B, C) { B = A + 1; C = A * 2; }"


def test_lists_and_numbers(tilec: Tilec) -> None:
    result = tilec("run", "-e", "C[i] = +(A[i, k])", "A=[[1, 2], [3, 4]]")
    assert (result.status, result.out, result.err) == (0, "C: i32[2]\n[3 7]\n", "")
    assert tilec("run", "-e", "C = A / 2", "A=3:f64").out == "C: f64[] = 1.5\n"
    assert tilec("run", "-e", "C = A / 2", "A=-3").out == "C: i32[] = -1\n"
    assert tilec("run", "-e", "C = A ? 1.5 : 2.5", "A=true").out == "C: f32[] = 1.5\n"
    assert "f32[2]" in tilec("run", "-e", "C = A + 1", "A=[1, 2.5]").out
    assert "i8[2]" in tilec("run", "-e", "C = -A", "A=[1, 2]:i8").out


def test_what_the_header_declares_counts(tilec: Tilec) -> None:
    text = "function (A[N]: f16, S: f16) -> (B) { B = A * S; }"
    assert tilec("run", "-e", text, "A=[1, 2]", "S=2").out == "B: f16[2]\n[2. 4.]\n"


def test_arrays_from_files(tilec: Tilec) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4), np.float32)
    np.save("a.npy", a)
    np.savez("both.npz", A=a, B=b)
    np.savez("one.npz", anything=b)
    np.save("c.npy", a @ b)
    for inputs in [
        ("A=a.npy", "B=both.npz"),
        ("both.npz",),
        ("A=a.npy", "B=one.npz"),
        ("A=both.npz:A", "B=one.npz:anything"),
        ("both.npz", "B=both.npz:B"),
    ]:
        result = tilec("run", "-e", MATMUL, *inputs, "-o", "out.npy")
        assert result.status == 0, result.err
        assert result.err == "wrote out.npy\n"
        np.testing.assert_array_equal(np.load("out.npy"), a @ b)
    wide = tilec("run", "-e", MATMUL, "A=a.npy:f64", "B=both.npz:f64", "-o", "wide.npy")
    assert wide.status == 0
    assert np.load("wide.npy").dtype == np.float64


def test_several_results(tilec: Tilec) -> None:
    result = tilec("run", "-e", TWO_RESULTS, "A=[1, 2]", "-o", "all.npz")
    assert result.err == "wrote all.npz\n"
    with np.load("all.npz") as found:
        assert sorted(found) == ["B", "C"]
        assert found["C"].tolist() == [2, 4]
    result = tilec("run", "-e", TWO_RESULTS, "A=[1, 2]", "-o", "C=c.npy")
    assert result.out == "B: i32[2]\n[2 3]\n"
    wrong = tilec("run", "-e", TWO_RESULTS, "A=[1, 2]", "-o", "c.npy")
    assert wrong.status == 2
    assert "-o B=c.npy" in wrong.err
    wrong = tilec("run", "-e", TWO_RESULTS, "A=[1, 2]", "-o", "B=c.npy", "-o", "C=c.npy")
    assert wrong.status == 2


def test_images(tilec: Tilec) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(pixels).save("in.png")
    negative = "function (P[H, W, C]) -> (R) { R = 255 - P; }"
    assert tilec("run", "-e", negative, "P=in.png", "-o", "out.png").status == 0
    with Image.open("out.png") as picture:
        np.testing.assert_array_equal(np.array(picture), 255 - pixels)
    grey = "R[y, x : H, W] = +(P[y, x, c] / 3.0)"
    text = "function (P[H, W, C]: f32) -> (R) { " + grey + "; }"
    assert tilec("run", "-e", text, "P=in.png", "-o", "R=grey.png").status == 0
    with Image.open("grey.png") as picture:
        assert picture.mode == "L"
        expected = pixels.mean(axis=2)
        assert np.abs(np.array(picture) - expected).max() <= 1
    again = tilec("run", "-e", "S[] = +(P[y, x])", "P=grey.png:f64", "--json")
    total = json.loads(again.out)["outputs"]["S"]["values"]
    assert math.isclose(total, pixels.mean() * 30 / 255, rel_tol=0.01)


def test_values_outside_of_an_image_are_clipped(tilec: Tilec) -> None:
    result = tilec("run", "-e", "C = A", "A=[[-1.0, 0.5], [2.0, 1.0]]", "-o", "C=c.png")
    assert result.status == 0
    with Image.open("c.png") as picture:
        assert np.array(picture).tolist() == [[0, 128], [255, 255]]
    wrong = tilec("run", "-e", "C = A", "A=[1.0, 2.0]", "-o", "C=c.png")
    assert wrong.status == 2
    assert "an array of shape 2 is no image" in wrong.err


def test_a_size_on_the_command_line(tilec: Tilec) -> None:
    text = "function (A[M], N) -> (B) { B[i : N] = =(A[2*i]); }"
    assert tilec("run", "-e", text, "A=[1, 2, 3, 4]", "N=2").out == "B: i32[2]\n[1 3]\n"


def test_a_file_and_its_function(tilec: Tilec) -> None:
    Path("f.tile").write_text(
        "function a(X[N]) -> (Y) { Y = X + 1; } function b(X[N]) -> (Y) { Y = X + 2; }"
    )
    assert tilec("run", "f.tile", "X=[1]").out.endswith("[3]\n")
    assert tilec("run", "f.tile", "X=[1]", "--function", "a").out.endswith("[2]\n")
    assert tilec("run", "f.tile", "X=[1]", "--threads", "1").status == 0
    assert tilec("run", "f.tile", "X=[1]", "--target", "reference").out.endswith("[3]\n")


def test_large_results_are_summed_up(tilec: Tilec) -> None:
    np.save("a.npy", np.arange(10_000, dtype=np.float32))
    result = tilec("run", "-e", "C = A + 1", "A=a.npy")
    assert result.out.startswith("C: f32[10000], min 1, mean 5000.5, max 10000\n")
    assert "..." in result.out


def test_json(tilec: Tilec) -> None:
    result = tilec("run", "-e", TWO_RESULTS, "A=[1, 2]", "--json", "-o", "C=c.npy")
    facts: dict[str, Any] = json.loads(result.out)
    assert facts["outputs"]["B"] == {"dtype": "i32", "shape": [2], "values": [2, 3]}
    assert facts["outputs"]["C"]["file"] == "c.npy"
    infinite = tilec("run", "-e", "C = 1.0 / A", "A=[0.0, 2.0]", "--json")
    assert json.loads(infinite.out)["outputs"]["C"]["values"] == ["inf", 0.5]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no value for A[M, K], B[K, N]: add NAME=VALUE"),
        (("A=[[1]]", "B"), "'B' cannot be read"),
        (("A=[[1]]", "Z=1"), "there is no input Z"),
        (("A=[[1]]", "A=[[1]]"), "the input A is given twice"),
        (("A=[[1]]", "B=[[1], [2, 3]]"), "no list of numbers whose rows have one length"),
        (("A=[[1]]", 'B=["x"]'), "no list of numbers"),
        (("A=[[1]]", "B=missing.npy"), "cannot read missing.npy: No such file or directory"),
        (("A=[[1]]", "B=broken.npy"), "cannot read broken.npy: "),
        (("A=[[1]]", "B=broken.npz"), "cannot read broken.npz: "),
        (("A=[[1]]", "B=broken.png"), "cannot read broken.png: "),
        (("A=[[1]]", "B=good.npz:Q"), "it holds X, Y"),
        (("A=[[1]]", "B=objects.npy"), "cannot read objects.npy: it holds Python objects"),
        (("A=[[1]]", "B=text.npy"), "cannot read text.npy: it is no .npy file"),
        (("A=[[1]]", "B="), "there is no value behind B="),
        (("A=[[1]]", "B=[[1]]", "-o", "out.txt"), "results are written as .npy, .npz or an image"),
        (("A=[[1]]", "B=[[1]]", "-o", "Q=c.npy"), "there is no output Q; the outputs are C"),
        (("A=[[1]]", "B=[[1]]", "-o", "no/such/c.npy"), "cannot write"),
        (("A=[[1]]", "B=[[1]]", "-o", "no/such/c.npz"), "cannot write"),
        (("A=[[1]]", "B=[[1]]", "--threads", "0"), "0 is not in the range"),
        (("A=[[1]]", "B=[[1]]", "--target", "abacus"), "there is no target 'abacus'"),
    ],
)
def test_wrong_usage(tilec: Tilec, arguments: tuple[str, ...], words: str) -> None:
    for name in ("broken.npy", "broken.npz", "broken.png"):
        Path(name).write_bytes(b"\x93NUMPY and then nothing")
    Path("text.npy").write_text("1 2 3")
    np.savez("good.npz", X=np.ones(2), Y=np.ones(2))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    result = tilec("run", "-e", MATMUL, *arguments)
    assert result.status == 2, result.err
    assert words in " ".join(result.err.split())


def test_an_input_without_a_program(tilec: Tilec) -> None:
    result = tilec("run", "A=1")
    assert result.status == 2
    assert "no program: A=1 is an input" in result.err


def test_arguments_that_do_not_fit(tilec: Tilec) -> None:
    result = tilec("run", "-e", MATMUL, "A=[[1, 2]]", "B=[[1, 2]]")
    assert result.status == 1
    assert result.err.startswith("<command line>:1:")
    assert tilec("run", "-e", MATMUL, "A=1", "B=2").status in (1, 2)
    # Text in a file stays text: nothing is unpickled, nothing is run.
    Path("evil.npy").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    assert tilec("run", "-e", "C = A", "A=evil.npy").status == 2
    assert not Path("owned").exists()


def test_models_in_onnx_files(tilec: Tilec) -> None:
    nodes = [helper.make_node("Relu", ["in.x"], ["y"])]
    Path("net.onnx").write_bytes(model(nodes, {"in.x": ["n"]}, ["y"]).SerializeToString())
    np.save("x.npy", np.array([-1, 2], np.float32))
    assert tilec("run", "net.onnx", "--input", "x.npy").out == "y: f32[2]\n[0. 2.]\n"
    assert tilec("run", "net.onnx", "in.x=x.npy").out == "y: f32[2]\n[0. 2.]\n"
    assert "for 1 inputs" in tilec("run", "net.onnx", "-i", "x.npy", "-i", "x.npy").err
    assert "in.x: f32[n]" in tilec("run", "net.onnx").err
    assert "for Tile programs" in tilec("run", "net.onnx", "x=x.npy", "--threads", "2").err
    found = tilec("run", "-e", MATMUL, "-i", "[[2]]:f32", "--input", "[[3]]:f32")
    assert found.out.endswith("6.]]\n")
