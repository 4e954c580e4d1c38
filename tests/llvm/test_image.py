"""The loader of object files and the identity of the machine, held against LLVM's own."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from tilec_llvm import identity
from tilec_llvm.identity import library, processor_digest
from tilec_llvm.image import Image, load_image, process_symbol
from tilec_llvm.target import Compiler, host, llvm

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64",
    reason="the loader is for ELF on x86-64; elsewhere LLVM loads",
)

TEXT = """
@table = internal constant [4 x i64] [i64 2, i64 3, i64 5, i64 7], align 32
@counter = internal global i64 40, align 8
@zeros = internal global [100 x i64] zeroinitializer, align 64
@pointers = internal constant [2 x ptr] [ptr @twice, ptr @thrice]

declare i64 @outside(i64)

define internal i64 @twice(i64 %x) noinline { %y = shl i64 %x, 1  ret i64 %y }
define internal i64 @thrice(i64 %x) noinline { %y = mul i64 %x, 3  ret i64 %y }

define i64 @look_up(i64 %at) {
  %from = getelementptr [4 x i64], ptr @table, i64 0, i64 %at
  %value = load i64, ptr %from
  ret i64 %value
}
define i64 @count() {
  %old = load i64, ptr @counter
  %new = add i64 %old, 1
  store i64 %new, ptr @counter
  ret i64 %new
}
define i64 @through(i64 %which, i64 %x) {
  %from = getelementptr [2 x ptr], ptr @pointers, i64 0, i64 %which
  %function = load ptr, ptr %from
  %value = call i64 %function(i64 %x)
  ret i64 %value
}
define i64 @zero(i64 %at) {
  %from = getelementptr [100 x i64], ptr @zeros, i64 0, i64 %at
  %value = load volatile i64, ptr %from
  ret i64 %value
}
define i64 @call_out(i64 %x) {
  %value = call i64 @outside(i64 %x)
  %more = add i64 %value, 1
  ret i64 %more
}
define double @polynomial(double %x) {
  %a = fmul double %x, 0x3FF3AE147AE147AE
  %b = fadd double %a, 0x400921FB54442D18
  ret double %b
}
"""
NAMES = ("look_up", "count", "through", "zero", "call_out", "polynomial")


def object_code(text: str = TEXT, speed: int = 2) -> bytes:
    return Compiler(host(), speed).object_code(text)


def times_ten(x: int) -> int:
    return 10 * x


def load(data: bytes, names: tuple[str, ...] = NAMES) -> Image | None:
    outside = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(times_ten)
    _kept.append(outside)
    address = ctypes.cast(outside, ctypes.c_void_p).value
    return load_image(data, names, {"outside": address}.get)


_kept: list[Any] = []


@pytest.mark.parametrize("speed", [0, 2])
def test_everything_that_kernels_are_made_of(speed: int) -> None:
    image = load(object_code(speed=speed))
    assert image is not None

    def call(name: str, *args: int) -> int:
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(args))
        return kind(image.symbols[name])(*args)

    assert [call("look_up", at) for at in range(4)] == [2, 3, 5, 7]
    assert [call("count") for _ in range(3)] == [41, 42, 43]
    assert [call("through", at, 14) for at in range(2)] == [28, 42]
    assert [call("zero", at) for at in (0, 50, 99)] == [0, 0, 0]
    assert call("call_out", 4) == 41
    polynomial = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(image.symbols["polynomial"])
    assert polynomial(2.0) == 2.0 * 1.23 + 3.141592653589793


def test_two_images_share_nothing() -> None:
    data = object_code()
    images = [load(data), load(data)]
    kind = ctypes.CFUNCTYPE(ctypes.c_int64)
    counts = [kind(image.symbols["count"])() for image in images if image is not None]
    assert counts == [41, 41]


def test_code_is_not_writable() -> None:
    image = load(object_code())
    assert image is not None
    address = image.symbols["look_up"]
    with open("/proc/self/maps", encoding="ascii") as file:
        ranges = [line.split()[:2] for line in file]
    (mode,) = [
        mode
        for span, mode in ranges
        if int(span.split("-")[0], 16) <= address < int(span.split("-")[1], 16)
    ]
    assert mode == "r-xp"


def test_memory_is_given_back() -> None:
    def mapped() -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0])

    data = object_code()
    load(data)
    before = mapped()
    for _ in range(200):
        load(data)
    assert mapped() - before < 100


def test_what_is_not_known_is_left_to_llvm() -> None:
    assert load(object_code(), ("absent",)) is None
    assert load_image(object_code(), NAMES, lambda name: None) is None
    assert load(b"") is None
    assert load(b"\x7fELF" + bytes(100)) is None
    other = (
        llvm()
        .Target.from_triple("x86_64-unknown-linux-gnu")
        .create_target_machine(reloc="static", codemodel="default")
    )
    module = llvm().parse_assembly(TEXT)
    assert load(other.emit_object(module)) is None or host().architecture != "x86_64"
    thread_local = "@x = thread_local global i64 0\ndefine ptr @f() { ret ptr @x }"
    assert load(object_code(thread_local), ("f",)) is None
    data_elsewhere = "@x = external global i64\ndefine ptr @f() { ret ptr @x }"
    assert load(object_code(data_elsewhere), ("f",)) is None


def test_damaged_files_load_or_not_but_nothing_breaks() -> None:
    """No byte of an object file can make the loader write outside of its memory or raise."""
    data = object_code()
    chance = random.Random(4)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(data))] = chance.randrange(256)
        load(bytes(damaged))
    for length in range(0, len(data), 7):
        load(data[:length])


def test_functions_of_the_c_library() -> None:
    address = process_symbol("labs")
    assert address is not None
    assert ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(address)(-5) == 5
    assert process_symbol("no_such_function_at_all") is None


def test_identity_is_stable() -> None:
    script = "from tilec_llvm import identity as i; print(i.library(), i.processor_digest())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = {
        subprocess.run(
            [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}}); {script}"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for core in sorted(os.sched_getaffinity(0))[:4]
    }
    assert found == {f"{library()} {processor_digest()}\n"}
    assert processor_digest() is not None


def test_identity_loads_no_llvm() -> None:
    script = (
        "import sys; from tilec_llvm import backend; from tilec.options import Options; "
        "print(backend.fingerprint(Options())); assert 'llvmlite' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"llvmlite {llvm_version()} (")


def llvm_version() -> str:
    import llvmlite

    module: Any = llvmlite
    return module.__version__


def test_another_build_of_the_library_is_another_identity(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llvmlite"
    (package / "binding").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "_version.py").write_text("version_version = '9.9.9'\n")
    (package / "binding" / "libllvmlite.so").write_bytes(b"one")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "llvmlite", raising=False)
    identity.library.cache_clear()
    try:
        first = identity.library()
        assert first.startswith("llvmlite 9.9.9 (")
        (package / "binding" / "libllvmlite.so").write_bytes(b"another")
        identity.library.cache_clear()
        assert identity.library() != first
    finally:
        identity.library.cache_clear()
