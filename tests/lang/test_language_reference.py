"""Every Tile block of the documents, and every idiom of the reference, is a valid program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tilec.lang.check import check_file
from tilec.lang.parse import parse
from tilec.lang.printer import print_file, print_function
from tilec.source import Source

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
REFERENCE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^ *```tile\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

BLOCKS = [
    pytest.param(match[1], id=f"{document.name}:{text.count(chr(10), 0, match.start()) + 2}")
    for document in DOCUMENTS
    for text in [document.read_text(encoding="utf-8")]
    for match in BLOCK.finditer(text)
]


@pytest.mark.parametrize("text", BLOCKS)
def test_blocks(text: str) -> None:
    file = parse(Source("document.tile", text))
    check_file(file)
    assert parse(Source("again.tile", print_file(file))) == file


def rows(section: str) -> list[tuple[str, ...]]:
    """The rows of the first table of a section, without its head."""
    body = REFERENCE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = [line for line in body.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in table[2:]]


@pytest.mark.parametrize(("task", "inputs", "statements"), rows("Idioms"))
def test_idioms(task: str, inputs: str, statements: str) -> None:
    text = f"function ({inputs.strip('`')}) -> (R) {{ {statements.strip('`')}; }}"
    check_file(parse(Source(task, text)))


@pytest.mark.parametrize(("text", "header"), rows("Bare statements"))
def test_inferred_headers(text: str, header: str) -> None:
    (function,) = parse(Source("bare.tile", text.strip("`"))).functions
    assert print_function(function).startswith(f"function {header.strip('`')} {{")
