"""Whoever edits a source file gets another stamp."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tilec.runtime import stamp


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "some_package"
    (folder / "inner" / "__pycache__").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "rules.lark").write_text("start: A")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield folder
    forget()


def forget() -> None:
    stamp._stamp.cache_clear()  # pyright: ignore[reportPrivateUsage]


def taken() -> str:
    """The stamp that a fresh process would take."""
    forget()
    return stamp.source_stamp("some_package")


def test_every_change_counts(package: Path) -> None:
    seen = [taken()]
    (package / "inner" / "rules.lark").write_text("start: B A")
    seen.append(taken())
    (package / "more.py").write_text("")
    seen.append(taken())
    os.utime(package / "more.py", (1, 1))
    seen.append(taken())
    (package / "more.py").rename(package / "other.py")
    seen.append(taken())
    assert len(set(seen)) == len(seen)
    assert taken() == taken()


def test_what_python_leaves_does_not_count(package: Path) -> None:
    before = taken()
    (package / "inner" / "__pycache__" / "x.py").write_text("")
    (package / "notes.txt").write_text("")
    assert taken() == before


def test_packages_count_apart(package: Path) -> None:
    assert stamp.source_stamp("some_package", "tilec") != stamp.source_stamp("some_package")
    assert stamp.source_stamp("no_such_package_at_all") != stamp.source_stamp("some_package")
