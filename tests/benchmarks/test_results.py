"""The figures of the documents are those of the committed results."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.sets import names

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


def test_the_table_of_the_document_is_the_summary_of_the_results() -> None:
    done = CliRunner().invoke(main, ["summary", *map(str, FILES)])
    assert done.exit_code == 0, done.output
    assert done.output in (ROOT / "docs" / "benchmarks.md").read_text()


def test_results_are_whole_sets_that_exist() -> None:
    for path in FILES:
        made = json.loads(path.read_text())
        assert made["set"] in names(), path.name
        assert not made["quick"], path.name
        assert all(row["contenders"]["tilec"]["error"] < 1e-3 for row in made["rows"]), path.name
