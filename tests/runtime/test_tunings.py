"""The store of tunings: what was kept comes back whole or not at all."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tilec.errors import CacheError, TilecWarning
from tilec.runtime import tunings as module
from tilec.runtime.tunings import FILE, Finding, Tunings, from_text, to_text

ROOT = Path(__file__).parents[2]
ONE = Finding("m1", "k1", "a machine", "T0 = +(T1[i])", "tile i=4 j=2x16", 0.5, 1.0)
TWO = replace(ONE, key="k2", schedule="scalar", seconds=0.25)

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")


@pytest.fixture
def store(tmp_path: Path) -> Tunings:
    return Tunings(tmp_path / "cache" / "tunings")


def test_what_was_kept_comes_back(store: Tunings) -> None:
    assert not store.exists()
    assert store.schedules("m1", ["k1"]) == {}
    assert store.findings() == ()
    assert store.clear() == 0
    assert store.put([ONE, TWO])
    assert store.exists()
    assert store.schedules("m1", ["k1", "k2", "k3"]) == {"k1": ONE.schedule, "k2": "scalar"}
    assert store.schedules("another", ["k1"]) == {}
    assert store.findings() == (ONE, TWO)
    later = replace(ONE, schedule="scalar", seconds=0.9)
    assert store.put([later])
    assert store.findings() == (later, TWO)
    assert store.clear() == 2
    assert store.findings() == ()


def test_of_two_findings_the_faster_stays(store: Tunings) -> None:
    store.put([ONE])
    slower, faster = replace(ONE, seconds=0.7), replace(ONE, seconds=0.1)
    assert store.merge([slower, TWO]) == 1
    assert store.findings() == (ONE, TWO)
    assert store.merge([slower, faster, slower]) == 1
    assert store.findings() == (faster, TWO)


def test_text_round_trip(store: Tunings) -> None:
    store.put([TWO, ONE])
    text = to_text(store.findings())
    assert text == to_text([ONE, TWO])
    assert from_text(text) == (ONE, TWO)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (None, "", "no JSON"),
        (None, "[" * 100_000, "no JSON"),
        (None, "[]", "no object"),
        (None, '{"format": 1}', "no list"),
        ('"format": 1', '"format": 9', "its format is 9"),
        ('"title"', '"name"', "does not have the fields"),
        ("0.5", '"0.5"', "the field 'seconds' of finding 0"),
        ("0.5", "NaN", "not positive"),
        ("0.5", "-0.5", "not positive"),
    ],
)
def test_text_that_is_none(old: str | None, new: str, why: str) -> None:
    text = new if old is None else to_text([ONE]).replace(old, new)
    with pytest.raises(CacheError, match=why):
        from_text(text)


@posix
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kernel", ""),
        ("kernel", "\nC[i]"),
        ("schedule", "tile\x1b[2J"),
        ("key", "\ud800"),
        ("title", "a\rb"),
        ("seconds", 10**400),
        ("seconds", True),
    ],
)
def test_what_could_not_be_stored_or_shown_is_not_taken(field: str, value: object) -> None:
    facts = json.loads(to_text([ONE]))
    facts["findings"][0][field] = value
    with pytest.raises(CacheError, match=f"'{field}' of finding 0"):
        from_text(json.dumps(facts))


def test_whole_seconds_are_numbers_too() -> None:
    facts = json.loads(to_text([ONE]))
    facts["findings"][0]["seconds"] = 1
    (found,) = from_text(json.dumps(facts))
    assert found == replace(ONE, seconds=1.0)


def test_it_is_private(store: Tunings) -> None:
    store.put([ONE])
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert (store.folder / FILE).stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_others_may_write_is_refused(store: Tunings, what: str, tmp_path: Path) -> None:
    store.put([ONE])
    file = store.folder / FILE
    if what == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        (store.folder if what == "folder" else file).chmod(0o777)
    with pytest.warns(TilecWarning, match="is not used"):
        assert store.schedules("m1", ["k1"]) == {}
    assert store.findings() == ()  # a second warning would be an error
    assert not store.put([TWO])
    with pytest.raises(CacheError, match="cannot be used"):
        store.merge([TWO])


def test_a_damaged_row_is_missing(store: Tunings) -> None:
    store.put([ONE, TWO])
    with sqlite3.connect(store.folder / FILE) as database:
        database.execute("UPDATE findings SET schedule = 'tile i=9 j=9x9' WHERE key = 'k1'")
    database.close()
    with pytest.warns(TilecWarning, match="does not fit its checksum"):
        assert store.schedules("m1", ["k1", "k2"]) == {"k2": "scalar"}
    assert store.findings() == (TWO,)  # a second warning would be an error


def test_a_file_that_is_no_database_is_removed(store: Tunings) -> None:
    store.put([ONE])
    (store.folder / FILE).write_bytes(b"no database " * 1000)
    with pytest.warns(TilecWarning, match="is damaged") as caught:
        assert store.schedules("m1", ["k1"]) == {}
    assert len(caught) == 1
    assert not store.exists()
    assert store.put([TWO])
    assert store.findings() == (TWO,)


@pytest.mark.filterwarnings("ignore::tilec.errors.TilecWarning")
def test_whatever_byte_changes_nothing_false_comes_back(tmp_path: Path) -> None:
    chance = random.Random(1)
    for at in range(40):
        store = Tunings(tmp_path / str(at))
        store.put([ONE, TWO])
        file = store.folder / FILE
        data = bytearray(file.read_bytes())
        for _ in range(chance.choice((1, 50, 2000))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: len(data) // 2] if at % 4 == 0 else data)
        assert set(store.findings()) <= {ONE, TWO}
        store.put([TWO])
        assert set(store.findings()) <= {ONE, TWO}


def test_an_empty_file_holds_nothing(store: Tunings) -> None:
    store.put([ONE])
    (store.folder / FILE).write_bytes(b"")
    assert store.findings() == ()
    assert store.put([TWO])
    assert store.findings() == (TWO,)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    store = Tunings(tmp_path / "cache" / "tunings")
    with pytest.warns(TilecWarning, match="is not kept"):
        assert not store.put([ONE])


def test_it_is_bounded(store: Tunings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(5):
        store.put([replace(ONE, key=f"k{number}")])
    assert [each.key for each in store.findings()] == ["k2", "k3", "k4"]


def test_a_locked_store_is_unknown(store: Tunings, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put([ONE])
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    other = sqlite3.connect(store.folder / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert store.schedules("m1", ["k1"]) == {}
    with pytest.warns(TilecWarning, match="locked"):
        assert not store.put([TWO])
    other.execute("ROLLBACK")
    other.close()
    assert store.findings() == (ONE,)


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from tilec.runtime.tunings import Finding, Tunings
store = Tunings(Path(sys.argv[1]))
one = Finding("m1", "", "a machine", "T0", "scalar", 0.5, 1.0)
for number in range(8):
    assert store.put([replace(one, key=f"{sys.argv[2]}-{number:02}")])
    assert f"{sys.argv[2]}-00" in store.schedules("m1", [f"{sys.argv[2]}-00"])
"""


def test_many_processes(store: Tunings) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-W", "error", "-c", WRITER, str(store.folder)]
    started = [
        subprocess.Popen([*command, name], env=environment, stderr=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    for each in started:
        assert each.communicate(timeout=60)[1] == ""
    assert len(store.findings()) == 32
