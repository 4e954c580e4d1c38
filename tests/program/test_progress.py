"""What is told about compiling, and who shows it."""

from __future__ import annotations

import sys
from typing import Self

import pytest

import tilec
from tilec.cli import report

TEXT = "function f(A[N]) -> (C) { B[] = +(A[i]); C[i : N] = =(A[N - 1 - i] * B[]); }"
FRESH = tilec.Options(debug=True)


def test_kernels_and_code_are_told() -> None:
    seen: list[tuple[str, int, int]] = []
    with tilec.progress(lambda step, done, total: seen.append((step, done, total))):
        tilec.function(TEXT).compile(tilec.Spec((5,)), options=FRESH)
    tilec.function(TEXT).compile(tilec.Spec((6,)), options=FRESH)
    kernels = [(done, total) for step, done, total in seen if step == "kernels"]
    assert kernels == [(done, 2) for done in range(3)]
    assert seen[3:] == [("machine code", 0, 1), ("machine code", 1, 1)]


def test_a_bar_is_for_terminals_and_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def compiled() -> list[str]:
        shown.clear()
        with report.compile_bar():
            tilec.function(TEXT).compile(tilec.Spec((5,)), options=FRESH)
        return shown

    monkeypatch.setattr(report, "_PATIENCE", 0.0)
    assert compiled() == []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bars: list[str] = []

    class Bar:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *about: object) -> None:
            bars.append("closed")

        def __call__(self, step: str, done: float, total: float) -> None:
            shown.append(step)

    def progress_bar(title: str) -> Bar:
        bars.append(title)
        return Bar()

    monkeypatch.setattr(report, "progress_bar", progress_bar)
    assert compiled()[-1] == "machine code"
    assert bars == ["compiling", "closed"]
    monkeypatch.setattr(report, "_PATIENCE", 60.0)
    assert compiled() == []
    assert bars == ["compiling", "closed"]
