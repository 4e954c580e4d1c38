"""Whatever happens to the disk cache, a program gets what it stored or nothing."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tilec.errors import CacheError, TilecWarning
from tilec.runtime import cache as cache_module
from tilec.runtime.cache import DiskCache, digest, disk_cache
from tilec.runtime.folder import Folder

KEY = digest("some", "thing")
MANIFEST = {"kind": "test", "count": 3}
BLOBS = {"main": bytes(range(256)) * 20, "once": b""}

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", 1 << 20)


def filled(cache: DiskCache, key: str = KEY) -> Path:
    """Store an entry; returns its file."""
    assert cache.put(key, MANIFEST, BLOBS)
    return cache.folder / f"{key}.tilec"


def found(cache: DiskCache, key: str = KEY) -> bool:
    """True when the entry is there and whole."""
    contents = cache.get(key)
    if contents is None:
        return False
    assert contents.blobs == BLOBS
    assert contents.manifest["count"] == 3
    return True


def test_what_was_stored_comes_back(cache: DiskCache) -> None:
    assert not found(cache)
    filled(cache)
    assert found(cache)
    assert not found(cache, digest("another"))


def test_key_depends_on_where_one_part_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc")


@posix
def test_folder_and_entries_are_private(cache: DiskCache) -> None:
    file = filled(cache)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_entry_cut_anywhere_is_missing_with_one_warning(cache: DiskCache) -> None:
    whole = filled(cache).read_bytes()
    chance = random.Random(1)
    lengths = [0, 1, 47, 48, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(60))]
    for at, length in enumerate(lengths):
        key = digest(str(at))
        filled(cache, key).write_bytes(whole[:length])
        with pytest.warns(TilecWarning, match="damaged") as caught:
            assert not found(cache, key)
        assert len(caught) == 1
        assert not found(cache, key)  # removed, so no second warning


def test_entry_with_any_bit_flipped_is_missing(cache: DiskCache) -> None:
    file = filled(cache)
    whole = file.read_bytes()
    chance = random.Random(2)
    for at in [*range(60), *(chance.randrange(len(whole)) for _ in range(200))]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TilecWarning)
            assert not found(cache)


def test_entry_under_the_name_of_another_is_missing(cache: DiskCache) -> None:
    other = digest("other")
    (cache.folder / f"{other}.tilec").write_bytes(filled(cache).read_bytes())
    with pytest.warns(TilecWarning, match="stored under the name of another"):
        assert not found(cache, other)


def test_folder_with_rubbish_in_it(cache: DiskCache) -> None:
    filled(cache)
    (cache.folder / "README").write_text("mine")
    (cache.folder / "sub").mkdir()
    (cache.folder / f"{digest('dir')}.tilec").mkdir()
    assert cache.info().entries == 1
    assert cache.clear() == 1
    assert sorted(p.name for p in cache.folder.iterdir()) == sorted(
        ["README", "sub", f"{digest('dir')}.tilec"]
    )


def test_full_disk_is_told_once_and_leaves_nothing(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cache)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(TilecWarning, match="No space left on device") as caught:
        kept = [cache.put(digest(str(at)), MANIFEST, BLOBS) for at in range(3)]
    assert kept == [False] * 3
    assert len(caught) == 1
    assert found(cache)
    assert [file.name for file in cache.folder.iterdir()] == [f"{KEY}.tilec"]


@pytest.mark.skipif(sys.platform != "linux", reason="a small file system is mounted with Linux")
def test_disk_that_is_really_full(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mounted)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount a file system")
    try:
        cache = DiskCache(mounted / "cache", 1 << 30)
        with pytest.warns(TilecWarning, match="cannot grow"):
            kept = [cache.put(digest(str(at)), {}, {"main": bytes(9000)}) for at in range(12)]
        assert kept[0]
        assert not kept[-1]
        assert all((cache.get(digest(str(at))) is not None) == kept[at] for at in range(12))
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO])
def test_folder_that_cannot_be_written_is_read_silently(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    filled(cache)

    def refuse(self: Folder, name: str, pieces: Iterable[bytes]) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Folder, "write", refuse)
    assert not cache.put(digest("new"), MANIFEST, BLOBS)
    assert found(cache)


def test_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    cache = DiskCache(tmp_path / "cache", 1 << 20)
    assert not cache.put(KEY, MANIFEST, BLOBS)
    assert not found(cache)
    assert cache.info().problem is not None
    with pytest.raises(CacheError, match="cannot be used") as caught:
        cache.clear()
    assert caught.value.help is not None
    assert "TILEC_CACHE" in caught.value.help


def test_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = DiskCache(tmp_path / "file" / "cache", 1 << 20)
    assert not cache.put(KEY, MANIFEST, BLOBS)
    assert not found(cache)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_folder_that_others_may_write_is_refused(cache: DiskCache, mode: int) -> None:
    filled(cache)
    cache.folder.chmod(mode)
    with pytest.warns(TilecWarning, match="can be written by other users") as caught:
        used = (found(cache), cache.put(KEY, MANIFEST, BLOBS))
    assert used == (False, False)
    assert len(caught) == 1


@posix
@as_root
def test_folder_of_someone_else_is_refused(cache: DiskCache) -> None:
    filled(cache)
    os.chown(cache.folder, 12345, 12345)
    with pytest.warns(TilecWarning, match="belongs to another user"):
        assert not found(cache)
    with pytest.raises(CacheError, match="belongs to another user"):
        cache.verify()


@posix
@as_root
def test_entry_of_someone_else_is_refused(cache: DiskCache) -> None:
    os.chown(filled(cache), 12345, 12345)
    with pytest.warns(TilecWarning, match="belongs to another user"):
        assert not found(cache)


@posix
def test_entry_that_others_may_write_is_refused(cache: DiskCache) -> None:
    filled(cache).chmod(0o666)
    with pytest.warns(TilecWarning, match="can be written by other users"):
        assert not found(cache)


@posix
def test_entry_that_is_a_link_is_refused(cache: DiskCache, tmp_path: Path) -> None:
    file = filled(cache)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(TilecWarning, match="symbolic link"):
        assert not found(cache)


@posix
def test_folder_that_is_a_link_is_refused(cache: DiskCache, tmp_path: Path) -> None:
    filled(cache)
    cache.folder.rename(tmp_path / "elsewhere")
    cache.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(TilecWarning, match="symbolic link"):
        assert not found(cache)
    with pytest.raises(CacheError, match="symbolic link"):
        cache.clear()
    assert (tmp_path / "elsewhere" / f"{KEY}.tilec").exists()


@posix
def test_writing_does_not_follow_a_link(cache: DiskCache, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    cache.put(digest("first"), MANIFEST, BLOBS)
    (cache.folder / f"{KEY}.tilec").symlink_to(victim)
    filled(cache)
    assert victim.read_text() == "precious"
    assert found(cache)


@posix
def test_pipe_in_place_of_an_entry_does_not_block(cache: DiskCache) -> None:
    file = filled(cache)
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.warns(TilecWarning, match="not a regular file"):
        assert not found(cache)


def test_folder_is_bounded_and_the_unused_go_first(tmp_path: Path) -> None:
    size = sum(len(blob) for blob in BLOBS.values()) + 400
    cache = DiskCache(tmp_path / "cache", 10 * size)
    keys = [digest(str(at)) for at in range(30)]
    for at, key in enumerate(keys):
        file = filled(cache, key)
        os.utime(file, (1000 + at, 1000 + at))
        assert found(cache, keys[0])  # in use all the time: a hit marks it
    info = cache.info()
    assert info.bytes <= cache.limit_bytes
    assert found(cache, keys[0])
    assert found(cache, keys[-1])
    assert not found(cache, keys[1])


def test_entry_larger_than_the_bound_is_not_stored(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 1000)
    assert not cache.put(KEY, MANIFEST, BLOBS)
    assert cache.info().entries == 0


def test_verify_removes_what_is_damaged_and_what_was_left(cache: DiskCache) -> None:
    filled(cache, digest("good"))
    bad = filled(cache, digest("bad"))
    bad.write_bytes(bad.read_bytes()[:-1])
    old, young = cache.folder / "tmp-1-abc", cache.folder / "tmp-2-abc"
    old.write_bytes(b"half an entry")
    young.write_bytes(b"half an entry")
    os.utime(old, (0, 0))
    report = cache.verify()
    assert report.checked == 2
    assert [name for name, _ in report.damaged] == [bad.name]
    assert report.abandoned == 1
    assert young.exists()
    assert not old.exists()
    assert not bad.exists()
    assert cache.verify().damaged == ()


def test_old_temporary_files_go_when_entries_are_written(cache: DiskCache) -> None:
    filled(cache)
    old = cache.folder / "tmp-1-abc"
    old.write_bytes(b"half an entry")
    os.utime(old, (0, 0))
    filled(DiskCache(cache.folder, cache.limit_bytes), digest("later"))
    assert not old.exists()


def test_clear_counts_entries(cache: DiskCache) -> None:
    assert cache.clear() == 0
    for at in range(3):
        filled(cache, digest(str(at)))
    assert cache.clear() == 3
    assert cache.info().entries == 0
    filled(cache)
    assert found(cache)


WRITER = """
import sys, random
from pathlib import Path
from tilec.runtime.cache import DiskCache, digest
cache = DiskCache(Path(sys.argv[1]), 300_000)
chance = random.Random(int(sys.argv[2]))
print("ready", flush=True)
for step in range(int(sys.argv[3])):
    key = digest(str(chance.randrange(30)))
    contents = cache.get(key)
    if contents is None:
        cache.put(key, {"of": key}, {"main": key.encode() * 300})
    else:
        assert contents.manifest["of"] == key
        assert contents.blobs["main"] == key.encode() * 300
"""


def start(cache: DiskCache, seed: int, steps: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER, str(cache.folder), str(seed), str(steps)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_ten_processes_at_once(cache: DiskCache) -> None:
    running = [start(cache, seed, 300) for seed in range(10)]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert cache.verify().damaged == ()
    assert 0 < cache.info().bytes <= 300_000


@posix
def test_killed_writers_leave_no_damage(cache: DiskCache) -> None:
    for seed in range(4):
        process = start(cache, seed, 10**9)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert cache.verify().damaged == ()


@posix
def test_writer_killed_before_it_renames(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file stays, nobody reads it, and it goes when it is old."""

    class Killed(BaseException):
        pass

    def kill(*args: object, **kwargs: object) -> None:
        raise Killed

    def keep(*args: object, **kwargs: object) -> None:
        pass

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", kill)
        patched.setattr(os, "unlink", keep)
        with pytest.raises(Killed):
            filled(cache)
    (left,) = cache.folder.iterdir()
    assert left.name.startswith("tmp-")
    assert not found(cache)
    assert cache.info().entries == 0
    assert cache.clear() == 0
    assert not left.exists()


def test_where_the_environment_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("TILEC_CACHE_BYTES", "12345")
    cache = disk_cache()
    assert cache is not None
    assert (cache.folder, cache.limit_bytes) == (tmp_path / "here", 12345)
    monkeypatch.setenv("TILEC_CACHE", "off")
    assert disk_cache() is None
    assert cache_module.info().folder is None
    assert cache_module.clear() == 0
    assert cache_module.verify().checked == 0
    monkeypatch.delenv("TILEC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cache = disk_cache()
    assert cache is not None
    assert cache.folder == tmp_path / "xdg" / "tilec"


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("TILEC_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert disk_cache() is None


@pytest.mark.parametrize("break_it", ["drop", "get"])
def test_warning_that_is_an_error_reaches_the_caller(cache: DiskCache, break_it: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "drop": lambda: cache.drop(KEY, "useless"),
        "get": lambda: cache.get(KEY),
    }
    filled(cache).write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TilecWarning):
            acts[break_it]()
    assert not found(cache)
