"""The disk cache from outside: whatever happens to it, a program computes the right numbers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tilec
from tilec.program import compile as compile_module
from tilec.program import frontend as frontend_module
from tilec.runtime import backend as backend_module
from tilec.runtime import cache as cache_module

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
import numpy as np
import tilec
a = np.arange(12, dtype=np.float32).reshape(3, 4)
f = tilec.function("function (A[M, K], B[K, N]) -> (C, S) "
                   "{ C[i, j : M, N] = +(A[i, k] * B[k, j]); S = exp(C * 0.0) + C; }")
c, s = f(a, a.T)
assert (c == a @ a.T).all() and (s == c + 1).all()
print(*sorted({"islpy", "lark", "llvmlite", "tilec.lang.parse"} & set(sys.modules)))
"""


def run(cache: Path, program: str = PROGRAM, *options: str) -> str:
    """What a fresh process prints that uses this folder."""
    finished = start(cache, program, *options).communicate(timeout=120)
    assert finished[1] == "", finished[1]
    return finished[0].strip()


def start(cache: Path, program: str = PROGRAM, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *options, "-c", program],
        env={
            **os.environ,
            "TILEC_CACHE": str(cache),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own for this process, which has nothing in memory."""
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "cache"))
    forget()
    return tmp_path / "cache"


def forget() -> None:
    """Make this process as ignorant as a fresh one."""
    compile_module._loaded.clear()  # pyright: ignore[reportPrivateUsage]
    frontend_module._frontends.clear()  # pyright: ignore[reportPrivateUsage]
    cache_module._at.cache_clear()  # pyright: ignore[reportPrivateUsage]


def compute() -> None:
    """Run a program and check what it computes."""
    forget()
    a = np.arange(20, dtype=np.float32).reshape(4, 5)
    f = tilec.function("function (A[M, N], W[N]) -> (C) { V = W * 2; C = A * V; }")
    np.testing.assert_array_equal(f(a, a[0]), a * a[0] * 2)
    np.testing.assert_array_equal(f.bind(W=a[1])(a), a * a[1] * 2)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tilec"))


def test_fresh_process_loads_neither_parser_nor_llvm(tmp_path: Path) -> None:
    first = run(tmp_path / "cache").split()
    assert "tilec.lang.parse" in first
    assert len(entries(tmp_path / "cache")) == 2  # the header and the code
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        assert run(tmp_path / "cache") == ""


def test_import_loads_nothing_heavy() -> None:
    heavy = "islpy lark llvmlite ml_dtypes keras pyopencl torch jax click rich tilec.lang"
    program = f"import sys, tilec; print(*(m for m in {heavy.split()} if m in sys.modules))"
    assert run(Path("off"), program) == ""


def test_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compute()
    assert list(tmp_path.iterdir()) == []


def test_every_process_makes_the_same_entries(folder: Path) -> None:
    compute()
    first = {file.name: file.read_bytes() for file in entries(folder)}
    for file in entries(folder):
        file.unlink()
    compute()
    assert {file.name: file.read_bytes() for file in entries(folder)} == first


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": lambda data, chance: data[: chance.randrange(len(data))],
    "empty": lambda data, chance: b"",
    "longer": lambda data, chance: data + b"x",
    "zeros": lambda data, chance: bytes(len(data)),
    "other": lambda data, chance: chance.randbytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.filterwarnings("ignore::tilec.TilecWarning")
def test_damaged_entries(folder: Path, damage: str) -> None:
    compute()
    chance = random.Random(5)
    for _ in range(4):
        for file in entries(folder):
            file.write_bytes(DAMAGES[damage](file.read_bytes(), chance))
        compute()
    assert cache_module.verify().damaged == ()


def test_each_damaged_entry_is_told_once(folder: Path) -> None:
    compute()
    count = len(entries(folder))
    for file in entries(folder):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(tilec.TilecWarning, match="an entry of the disk cache is damaged") as caught:
        compute()
    assert len(caught) == count
    compute()


def test_entries_with_wrong_contents(folder: Path) -> None:
    """Right checksums over facts that do not fit, as another bug could leave them."""
    from tilec.runtime.container import pack, unpack

    compute()
    for file in entries(folder):
        contents = unpack(file.read_bytes())
        facts = {k: v for k, v in contents.manifest.items() if k not in ("main", "inputs", "blobs")}
        file.write_bytes(b"".join(pack(facts, {})))
    with pytest.warns(tilec.TilecWarning, match="is missing or wrong"):
        compute()
    compute()


def test_entries_whose_code_cannot_be_loaded(folder: Path) -> None:
    from tilec.runtime.container import pack, unpack

    compute()
    for file in entries(folder):
        contents = unpack(file.read_bytes())
        facts = {k: v for k, v in contents.manifest.items() if k != "blobs"}
        file.write_bytes(b"".join(pack(facts, dict.fromkeys(contents.blobs, b"nonsense"))))
    with pytest.warns(tilec.TilecWarning, match="its code cannot be loaded"):
        compute()
    compute()


def test_file_in_place_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        monkeypatch.setenv("TILEC_CACHE", str(tmp_path / place))
        compute()


@pytest.mark.skipif(sys.platform != "linux", reason="file systems are mounted with Linux")
@pytest.mark.parametrize("options", ["size=16k", "ro"])
def test_disk_that_is_full_or_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(mounted)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount a file system")
    try:
        monkeypatch.setenv("TILEC_CACHE", str(mounted / "cache"))
        forget()
        if options == "ro":
            compute()
            return
        (mounted / "filler").write_bytes(bytes(12 << 10))
        with pytest.warns(tilec.TilecWarning, match="cannot grow"):
            compute()
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_ten_processes_at_once(tmp_path: Path) -> None:
    """They have imported everything before, and begin to compile in the same moment."""
    forks = """
import os, sys
import islpy, llvmlite.binding, numpy, tilec, tilec_llvm
start, go = os.pipe()
children = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(start, 1)
        break
    children.append(child)
if child:
    os.close(go)
    sys.exit(sum(os.waitpid(child, 0)[1] for child in children) != 0)
"""
    process = start(tmp_path / "cache", forks + PROGRAM, "-W", "error")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert len(entries(tmp_path / "cache")) == 2
    run(tmp_path / "cache")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_killed_processes(tmp_path: Path) -> None:
    chance = random.Random(6)
    for _ in range(3):
        process = start(tmp_path / "cache")
        time.sleep(0.2 + chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    run(tmp_path / "cache", PROGRAM, "-W", "error")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_compiles(folder: Path) -> None:
    compute()
    child = os.fork()
    if child == 0:
        try:
            for file in entries(folder):
                file.unlink()
            compute()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    compute()


def test_what_the_key_depends_on(folder: Path) -> None:
    """Each of these needs code of its own."""
    a = np.ones((3, 3), np.float32)
    f = tilec.function("function (A[M, N], K) -> (C) { C[i : K] = +(A[i, j]); }")
    calls: list[Callable[[], object]] = [
        lambda: f(a, 2),
        lambda: f(a, 3),
        lambda: f(a[:2], 2),
        lambda: f(a.astype(np.float64), 2),
        lambda: f(a[:, ::-1], 2),
        lambda: f.bind(A=a)(2),
        lambda: tilec.function(f.source + "// a comment")(a, 2),
        lambda: f.compile(a, 2, options=tilec.Options(disable=("vectorise",)))(a, 2),
        lambda: f.compile(a, 2, options=tilec.Options(cpu="x86-64")),
    ]
    for call in calls:
        before = len(entries(folder))
        call()
        assert len(entries(folder)) > before
    before = len(entries(folder))
    forget()
    for call in calls:
        call()
    f(a, 2, num_threads=2)
    f(np.ones((3, 3), np.float32), np.int8(3))
    assert len(entries(folder)) == before


def test_edited_compiler_meets_no_stale_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edited(*packages: str) -> str:
        return "edited"

    compute()
    before = len(entries(folder))
    for module in ("tilec.program.recipe", "tilec.program.frontend"):
        monkeypatch.setattr(f"{module}.source_stamp", edited)
    compute()
    assert len(entries(folder)) == 2 * before


def test_targets() -> None:
    found = {info.name: info for info in tilec.targets()}
    assert {"llvm", "reference"} <= set(found)
    assert found["llvm"].available
    assert found["llvm"].stages[:3] == ("tile", "tensor", "kernel")
    assert found["llvm"].details.startswith("llvmlite ")


def test_target_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "OWN", {"broken": "no_such_module_at_all:backend"})
    backend_module._installed.cache_clear()  # pyright: ignore[reportPrivateUsage]
    try:
        found = {info.name: info for info in tilec.targets()}
        assert not found["broken"].available
        assert "no_such_module_at_all" in found["broken"].details
    finally:
        backend_module._installed.cache_clear()  # pyright: ignore[reportPrivateUsage]
