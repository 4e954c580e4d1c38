from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Tilec

GOOD = "function f(A[N]) -> (B) { B[i : N] = +(A[i + k]), k < 2; }"
UNTIED = "function g(A[N]) -> (O) { O[i : N - 1] = >(A[i + j]); }"
FAULTY = "function h(A[N]) -> (B) { B = A + C; D = E; }"


def test_nothing_to_say(tilec: Tilec) -> None:
    assert tilec("check", "-e", GOOD) == tilec("check", "-e", "C = A + 1")
    result = tilec("check", "-e", GOOD, "--shape", "A=8")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_a_warning(tilec: Tilec) -> None:
    result = tilec("check", "-e", UNTIED)
    assert result.status == 0
    assert result.err == ""
    first, excerpt, caret, hint = result.out.splitlines()[:4]
    assert first.startswith("<command line>:1:")
    assert ": warning: " in first
    assert excerpt.endswith(UNTIED)
    assert "^" in caret
    assert hint.startswith("  help: ")
    assert tilec("check", "-e", UNTIED, "--strict").status == 1


def test_errors_of_several_files(tilec: Tilec) -> None:
    Path("good.tile").write_text(GOOD)
    Path("faulty.tile").write_text(FAULTY)
    Path("broken.tile").write_text("function (A) -> (B) { B = (A; }")
    Path("untied.tile").write_text(UNTIED)
    result = tilec("check", "good.tile", "faulty.tile", "broken.tile", "untied.tile")
    assert result.status == 1
    assert "faulty.tile:1:35: " in result.err
    assert "faulty.tile:1:42: " in result.err
    assert "broken.tile:1:" in result.err
    assert "untied.tile:1:" in result.out


def test_every_function_of_a_file_is_looked_at(tilec: Tilec) -> None:
    Path("both.tile").write_text(UNTIED + "\n" + GOOD)
    assert "both.tile:1:" in tilec("check", "both.tile").out
    assert tilec("check", "both.tile", "--function", "f").out == ""
    assert tilec("check", "both.tile", "--function", "z").status == 2


def test_json(tilec: Tilec) -> None:
    result = tilec("check", "-e", FAULTY, "--json")
    assert result.status == 1
    assert result.err == ""
    found: list[dict[str, Any]] = json.loads(result.out)
    assert [(each["severity"], each["line"], each["column"]) for each in found] == [
        ("error", 1, 35),
        ("error", 1, 42),
    ]
    assert found[0]["kind"] == "NameResolutionError"
    warned: list[dict[str, Any]] = json.loads(tilec("check", "-e", UNTIED, "--json").out)
    assert {each["severity"] for each in warned} == {"warning"}
    assert json.loads(tilec("check", "-e", GOOD, "--json").out) == []


def test_wrong_usage(tilec: Tilec) -> None:
    assert tilec("check").status == 2
    assert tilec("check", "x.tile", "-e", GOOD).status == 2
    assert tilec("check", "-e", GOOD, "--shape", "Z=4").status == 2
