"""The command: documents, tables, exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks import peers, report
from benchmarks.__main__ import main
from benchmarks.case import Array, Case, Inputs, Row, Work, make_case
from benchmarks.document import document
from benchmarks.limits import Level, Limits
from benchmarks.peers import Found
from benchmarks.session import Measured, RowResult, Session, SetResult
from benchmarks.sets import Set
from tilec.bench.measure import Plan, Timing
from tilec.bench.statistic import spread

NONE = Found({}, {"jax": "not installed"}, {})
PLAN = Plan(rounds=1, turn=0.0, sample=0.0, pause=0.0)
SET = Set("products", "Products", "nowhere", "gemm", ("a note",), 0, ())
ONE = spread([1e9])
LIMITS = Limits(ONE, 512, (Level("DRAM", None, 600, ONE, ONE),))


def result(times: Mapping[str, float], error: float = 1e-7) -> SetResult:
    contenders = {
        name: Measured(Timing(each, each, each, each, 3, 1), error) for name, each in times.items()
    }
    row = RowResult("8x8x8", 10**9, 10**6, contenders, {}, 0.05, 1 << 20, ("tile i=4",))
    return SetResult(SET, LIMITS, (row,), {"9x9x9": "2.0 GFLOP; --all measures it"})


def keep_threads(count: int) -> bool:
    """Tests leave the environment of their process alone."""
    return True


def test_a_process_that_began_with_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OPENBLAS_NUM_THREADS": "7"})
    assert not peers.set_threads(2)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"
    assert peers.set_threads(2)
    assert not peers.set_threads(1)


def known_limits(threads: int, *, quick: bool) -> Limits:
    """What ``measure_limits`` could find."""
    return LIMITS


def printed(made: dict[str, Any]) -> str:
    console = Console(width=160, record=True, file=StringIO())
    report.print_document(made, console)
    return console.export_text()


def test_what_follows_from_times() -> None:
    made = document(result({"tilec": 2.0, "numpy": 3.0, "torch": 1.0}), NONE, 2, quick=False)
    row = made["rows"][0]
    assert (row["roof"], row["limit_seconds"], row["best_ratio"]) == ("compute", 1.0, 0.5)
    assert row["contenders"]["tilec"]["fraction"] == pytest.approx(0.5)
    assert row["contenders"]["numpy"]["ratio"] == pytest.approx(1.5)
    assert row["contenders"]["tilec"]["gflops"] == pytest.approx(0.5)
    assert made["summary"]["best_ratio"] == pytest.approx(0.5)
    assert made["summary"]["worst_ratios"] == [["8x8x8", 0.5]]
    assert json.loads(json.dumps(made)) == made


def test_the_machine_and_the_versions_are_described() -> None:
    made = document(result({"tilec": 2.0}), NONE, 2, quick=False)
    assert {"model", "cpu", "features", "caches"} <= set(made["machine"])
    assert {"python", "numpy", "tilec", "llvm"} <= set(made["versions"])
    assert made["threads"] == 2


def test_the_table_names_everything() -> None:
    text = printed(document(result({"tilec": 2.0, "numpy": 3.0}), NONE, 2, quick=True))
    for part in (
        "8x8x8", "1.50", "50%", "jax is absent: not installed", "1 rows not measured",
        "Worst against the best peer", "1.0 MiB", "--quick",
    ):  # fmt: skip
        assert part in text


def test_wrong_results_are_shouted() -> None:
    made = document(result({"tilec": 2.0}, error=0.5), NONE, 1, quick=False)
    assert report.wrong(made) == ["8x8x8"]
    assert "8x8x8: tilec is wrong" in printed(made)


def test_a_set_without_tilec_is_no_crash() -> None:
    made = document(result({"numpy": 2.0}), NONE, 1, quick=False)
    assert report.wrong(made) == ["8x8x8"]
    assert "failed" in printed(made)


def test_a_peer_that_fails_loses_only_itself() -> None:
    def fails(module: Any, inputs: Inputs) -> Work:
        raise ValueError("it does not like this")

    def lies(module: Any, inputs: Inputs) -> Work:
        wrong: Array = np.zeros((3, 2), np.float32)
        return Work(lambda: None, lambda: wrong)

    honest = make_case("gemm", Row({"m": 3, "n": 2, "k": 4}))
    case = Case(
        honest.name, honest.program, honest.shapes, honest.output, honest.flop, honest.reference,
        {"numpy": honest.peers["numpy"], "torch": fails, "jax": lies},
    )  # fmt: skip
    found = Found({"numpy": np, "torch": np, "jax": np}, {}, {})
    row = Session(PLAN, 1, found, True, lambda line: None).row(case, lambda: 1e9)
    assert set(row.contenders) == {"tilec", "numpy", "jax"}
    assert row.failures == {"torch": "ValueError: it does not like this"}
    assert row.contenders["tilec"].error < 1e-5
    assert row.contenders["jax"].error == 1.0
    assert row.compile_seconds > 0


def test_weights_are_bound() -> None:
    case = make_case("dense", Row({"batch": 2, "widths": [4, 3]}))
    row = Session(PLAN, 1, Found({}, {}, {}), True, lambda line: None).row(case, lambda: 1e9)
    assert row.contenders["tilec"].error < 1e-5


def test_permutations_are_held_against_a_copy_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no level but memory holds them, and the last axis moves."""
    rows = [
        Row({"op": "permute", "axes": [1, 0], "shape": [512, 512]}),
        Row({"op": "permute", "axes": [1, 0, 2], "shape": [3, 4, 5]}),
    ]
    cases = [make_case("movement", row) for row in rows]
    monkeypatch.setattr("benchmarks.session.measure_limits", known_limits)
    session = Session(PLAN, 1, NONE, True, lambda line: None)
    made = document(session.run(SET, cases, {}), NONE, 1, quick=True)
    first, second = made["rows"]
    assert first["turning_seconds"] > 0
    assert second["turning_seconds"] is None
    (heading, row, other) = printed(made).splitlines()[4:7]
    assert "turning" in heading
    assert "%" in row
    assert " - " in other


def test_absent_peers_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = peers.Peer("torch", "a_module_that_is_not_there", "PyTorch")
    monkeypatch.setattr(peers, "PEERS", (missing, *peers.PEERS[-1:]))
    found = peers.find(("torch", "plaidml"), 1)
    assert not found.modules
    assert "pip install 'tilec[bench]'" in found.absent["torch"]
    assert "environment of its own" in found.absent["plaidml"]


def test_list() -> None:
    done = CliRunner().invoke(main, ["list"])
    assert done.exit_code == 0
    assert "gemm-squares" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no set 'nothing'"),
        (["gemm-squares", "--peers", "matlab"], "no peer is called 'matlab'"),
        (["gemm-squares", "--only", "7x7", "--peers", ""], "no row of gemm-squares is left"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.__main__.set_threads", keep_threads)
    done = CliRunner().invoke(main, ["run", *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_run_writes_json_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.__main__.set_threads", keep_threads)
    # The limits have a test of their own, which takes seconds.
    monkeypatch.setattr("benchmarks.session.measure_limits", known_limits)
    to = tmp_path / "found.json"
    arguments = ["run", "gemm-squares", "--quick", "--only", "64x64x64", "--peers", "numpy"]
    done = CliRunner().invoke(main, [*arguments, "--threads", "1", "--json", str(to)])
    assert done.exit_code == 0, done.output
    made = json.loads(to.read_text())
    assert [row["name"] for row in made["rows"]] == ["64x64x64"]
    assert set(made["rows"][0]["contenders"]) == {"tilec", "numpy"}
    pytest.importorskip("matplotlib", reason="pip install 'tilec[bench]'")
    from benchmarks.pictures import draw

    paths = draw(made, tmp_path)
    assert all(path.stat().st_size > 5000 for path in paths)
