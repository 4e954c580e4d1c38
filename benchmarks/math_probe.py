"""Compiles one elementary function into a loop over arrays, to measure and test it alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilec.kernel.elementary.values import Type
from tilec_llvm.math import FUNCTIONS, float_type, function
from tilec_llvm.math.builder import Definition, element, spelled
from tilec_llvm.target import compiler, host, llvm

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """A compiled loop; ``keep`` owns its code."""

    native: Callable[..., None]
    keep: object

    def bind(self, *arrays: Array) -> Callable[[], None]:
        """A call without arguments over ``arrays``: inputs, then the output."""
        arguments = (*(array.ctypes.data for array in arrays), arrays[0].size)
        return lambda: self.native(*arguments)

    def __call__(self, *arrays: Array) -> None:
        """Run over contiguous arrays whose size is a multiple of the lanes."""
        self.bind(*arrays)()


def module_text(definition: Definition, operands: tuple[Type, ...], result: Type) -> str:
    """A module whose function ``probe`` applies a function to all of some arrays."""
    names = [f"a{position}" for position in range(len(operands))]
    params = ", ".join(f"ptr noalias %{name}" for name in names)
    loads = "\n".join(
        f"  %{name}p = getelementptr {element(kind)}, ptr %{name}, i64 %i\n"
        f"  %{name}v = load {spelled(kind)}, ptr %{name}p, align {kind.bits // 8}"
        for name, kind in zip(names, operands, strict=True)
    )
    listed = ", ".join(
        f"{spelled(kind)} %{name}v" for name, kind in zip(names, operands, strict=True)
    )
    loop = f"""
define void @probe({params}, ptr noalias %y, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{loads}
  %r = call {spelled(result)} @{definition.symbol}({listed})
  %yp = getelementptr {element(result)}, ptr %y, i64 %i
  store {spelled(result)} %r, ptr %yp, align {result.bits // 8}
  %next = add i64 %i, {result.lanes}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
    return "".join(item.text for item in definition.closure()) + loop


def compile_definition(definition: Definition, operands: tuple[Type, ...], result: Type) -> Probe:
    """The loop over arrays whose size is a multiple of the lanes."""
    compiled = compiler(host())
    text = module_text(definition, operands, result)
    engine = llvm().create_lljit_compiler()
    builder = llvm().JITLibraryBuilder().add_object_img(compiled.object_code(text, verify=True))
    library = builder.add_current_process().export_symbol("probe").link(engine, "probe")
    pointers = [ctypes.c_void_p] * (len(operands) + 1)
    signature = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)
    return Probe(signature(library["probe"]), (engine, library))


def compile_probe(op: str, dtype: str, lanes: int, *, avx512: bool | None = None) -> Probe:
    """The loop of one elementary function; with AVX-512 where the processor has it."""
    kind = float_type(dtype, lanes)
    has = compiler(host()).abilities.avx512 if avx512 is None else avx512
    definition = function(op, dtype, lanes, avx512=has)
    return compile_definition(definition, (kind,) * FUNCTIONS[op][0], kind)


def apply(op: str, *inputs: Array, lanes: int = 16, avx512: bool | None = None) -> Array:
    """``op`` of whole arrays of any size, padded to full vectors."""
    dtype = {4: "f32", 8: "f64"}[inputs[0].dtype.itemsize]
    size = inputs[0].size
    padded = [np.resize(item.ravel(), -(-max(size, 1) // lanes) * lanes) for item in inputs]
    output = np.empty_like(padded[0])
    compile_probe(op, dtype, lanes, avx512=avx512)(*padded, output)
    return output[:size]
