from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Tilec
from tilec.cli import report
from tilec.cli.main import run

ROOT = Path(__file__).parents[2]
FAULTY = "C[i : N] = +(A[i] * B[i]"


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = [str(ROOT), str(ROOT / "grammar"), str(ROOT / "backends")]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tilec", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_version(tilec: Tilec) -> None:
    result = tilec("--version")
    assert (result.status, result.out) == (0, f"tilec {sys.modules['tilec'].__version__}\n")


@pytest.mark.parametrize(
    "command",
    [(), ("compile",), ("run",), ("check",), ("targets",), ("cache",), ("cache", "info"),
     ("cache", "clear"), ("cache", "verify"), ("completion",)],
)  # fmt: skip
def test_help_is_worth_reading(tilec: Tilec, command: tuple[str, ...]) -> None:
    result = tilec(*command, "--help")
    assert result.status == 0
    assert result.err == ""
    assert max(map(len, result.out.splitlines())) <= 90
    assert len(result.out.splitlines()) > 4


def test_wrong_usage(tilec: Tilec) -> None:
    for arguments in [("nonsense",), ("compile", "--nonsense"), ("completion", "tcsh"), ()]:
        result = tilec(*arguments)
        assert result.status == 2, arguments
        assert result.out == ""
        assert "Usage: tilec" in result.err


def test_a_faulty_program(tilec: Tilec) -> None:
    result = tilec("compile", "-e", FAULTY)
    assert result.status == 1
    assert result.out == ""
    first, excerpt, caret, *_ = result.err.splitlines()
    assert first.startswith("<command line>:1:25: ")
    assert excerpt.endswith(FAULTY)
    assert caret.index("^") == excerpt.index(FAULTY) + len(FAULTY)
    assert "Traceback" not in result.err


def test_a_variable_that_cannot_be_read(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_NUM_THREADS", "many")
    result = tilec("run", "-e", "C = A + 1", "A=1")
    assert result.status == 2
    assert "TILEC_NUM_THREADS is 'many'" in result.err


def test_debugging_keeps_the_traceback(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_DEBUG", "1")
    with pytest.raises(sys.modules["tilec"].TileSyntaxError):
        tilec("compile", "-e", FAULTY)


def test_a_bug_is_told_from_a_mistake(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("tilec.cli.targets.host", broken)
    result = tilec("targets")
    assert result.status == 70
    assert "internal error: ZeroDivisionError: nobody thought of this" in result.err
    assert "report" in result.err


def test_colours_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(["compile", "-e", FAULTY]) == 1
    assert "\033[" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["compile", "-e", FAULTY]) == 1
    assert "\033[31m" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["compile", "-e", FAULTY]) == 1
    assert "\033[" not in capsys.readouterr().err


def test_code_is_highlighted_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    report.print_code("%sum = fadd float %a, %b", "llvm")
    assert "\033[" in capsys.readouterr().out
    report.print_code("C[i : N] = +(A[i, k]);", None)
    assert "\033[" not in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="there is no SIGPIPE here")
def test_a_reader_that_has_enough() -> None:
    # The pipe holds less than the text, so that the writer is still at it when the reader leaves.
    text = "; ".join(f"C{n}[i, j] = +(A[i, k] * B[k, j])" for n in range(8))
    arguments = ["compile", "-e", text]
    arguments += ["--shape", "A=64x64", "--shape", "B=64x64", "--emit", "llvm,asm"]
    path = [str(ROOT), str(ROOT / "grammar"), str(ROOT / "backends")]
    with subprocess.Popen(
        [sys.executable, "-m", "tilec", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=4096,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.read(10)
        writer.stdout.close()
        assert writer.stderr.read() == b""
        assert writer.wait(60) == -signal.SIGPIPE


def test_as_a_module() -> None:
    done = process("run", "-e", "C = A + 1", "A=41")
    assert (done.returncode, done.stdout, done.stderr) == (0, "C: i32[] = 42\n", "")


def test_help_imports_little() -> None:
    script = "import sys; from tilec.cli.main import run; run(['--help']); print(*sys.modules)"
    path = [str(ROOT), str(ROOT / "grammar"), str(ROOT / "backends")]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = done.stdout.splitlines()[-1].split()
    assert not {"llvmlite", "islpy", "lark", "rich", "pygments", "PIL"} & set(modules)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tilec: Tilec, shell: str) -> None:
    result = tilec("completion", shell)
    assert result.status == 0
    assert "_TILEC_COMPLETE" in result.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tilec ca", ["calibrate", "cache"]),
        ("tilec compile --emit tile,te", ["tile,tensor"]),
        ("tilec run --target re", ["reference"]),
        ("tilec completion z", ["zsh"]),
    ],
)
def test_completion(words: str, expected: list[str]) -> None:
    at = str(len(words.split()) - 1)
    done = process(_TILEC_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=at)
    offered = [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert offered == expected
