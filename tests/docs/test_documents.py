"""Every Python block and every ``tilec`` command of the documents runs, and prints what they say.

Python blocks of one document share their names. A block with ``>>>`` is a doctest. In a console
block a line ``$ tilec ...`` is a command and the lines below it are its output, on both streams;
``...`` stands for any text.
"""

from __future__ import annotations

import contextlib
import doctest
import inspect
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import tilec
import tilec.ops
from tilec.cli.main import run

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """Line number and text of each block of a language."""
    text = document.read_text()
    return [
        (text.count("\n", 0, match.start()) + 2, match.group(2))
        for match in BLOCK.finditer(text)
        if match.group(1) == language
    ]


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block and what the document says that it prints."""
    joined = block.replace("\\\n", " ")
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def identifier(path: object) -> str:
    return path.name if isinstance(path, Path) else str(path)


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=identifier)
def test_python(document: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}  # dataclasses look their module up
    for line, text in blocks(document, "python"):
        if ">>>" in text:
            test = doctest.DocTestParser().get_doctest(text, names, document.name, None, line - 1)
            runner = doctest.DocTestRunner(optionflags=FLAGS)
            runner.run(test, clear_globs=False)
            assert runner.summarize(verbose=False).failed == 0, f"{document.name}:{line}"
            names.update(test.globs)
        else:
            # The padding makes a traceback show the document's own line.
            exec(compile("\n" * (line - 1) + text, document.name, "exec"), names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=identifier)
def test_console(
    document: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for line, text in blocks(document, "console"):
        for command, expected in commands(text):
            words = shlex.split(command)
            if words[0] != "tilec":
                continue
            capfd.readouterr()
            status = run(words[1:])
            printed = "".join(capfd.readouterr())
            where = f"{document.name}:{line}: $ {command}"
            if not expected:
                assert status == 0, f"{where}\n{printed}"
                continue
            same = doctest.OutputChecker().check_output(expected, printed, FLAGS)
            assert same, f"{where}\nexpected:\n{expected}\nprinted:\n{printed}"


def test_every_row_of_the_language_by_example_is_tile() -> None:
    table = (ROOT / "README.md").read_text().partition("| to compute | write |")[2]
    rows = re.findall(r"^\| .* \| `(.*)` \|$", table.partition("\n\n")[0], re.MULTILINE)
    assert len(rows) > 8
    for row in rows:
        # Those that are no programs on their own stand in a function.
        with contextlib.suppress(tilec.NameResolutionError):
            tilec.function(row)
            continue
        tilec.function(f"function (A[N], F[K]) -> (R) {{ {row}; }}")


def test_every_operation_stands_in_the_documents() -> None:
    text = (ROOT / "docs" / "ops.md").read_text()
    functions = [name for name in tilec.ops.__all__ if inspect.isfunction(vars(tilec.ops)[name])]
    assert [name for name in functions if f"`{name}`" not in text] == []


def test_links() -> None:
    for document in [*DOCUMENTS, ROOT / "CHANGELOG.md", *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
