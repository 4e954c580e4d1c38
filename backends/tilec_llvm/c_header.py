"""The C header of a library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Template
from typing import Final

from tilec.runtime.library import ABI, Interface, Port
from tilec.version import __version__

_TYPES: Final = {
    "bool": "uint8_t",
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "f32": "float",
    "f64": "double",
}
_OTHER: Final = re.compile(r"[^A-Za-z0-9_]")


def header(interface: Interface, features: Sequence[str]) -> str:
    """The interface for programs in C and C++."""
    name = interface.name
    inputs = _parameters(interface.inputs, "in_")
    outputs = _parameters(interface.outputs, "out_")
    listed = [f"const {kind} *{each}" for kind, each in inputs]
    listed += [f"{kind} *{each}" for kind, each in outputs]
    return Template(_HEADER).substitute(
        name=name,
        guard=f"TILEC_{name.upper()}_H",
        version=__version__,
        abi=ABI,
        needs=" ".join(features) or "nothing beyond its architecture",
        inputs=_described(interface.inputs),
        outputs=_described(interface.outputs),
        num_inputs=len(inputs),
        num_outputs=len(outputs),
        parameters=",\n    ".join([f"{name}_model *model", *listed, "int threads"]),
        set_inputs=_filled("inputs", "const void *", inputs),
        set_outputs=_filled("outputs", "void *", outputs),
    )


def _parameters(ports: Sequence[Port], prefix: str) -> list[tuple[str, str]]:
    """C type and name of each array; names that C does not know are spelled in its letters."""
    found: list[tuple[str, str]] = []
    taken: set[str] = set()
    for at, port in enumerate(ports):
        spelled = prefix + _OTHER.sub("_", port.name)
        if spelled in taken:
            spelled = f"{spelled}_{at}"
        taken.add(spelled)
        found.append((_type(port), spelled))
    return found


def _type(port: Port) -> str:
    name = port.spec.dtype.name
    if name in _TYPES:
        return _TYPES[name]
    return ("int" if name[0] == "i" else "uint") + f"{name[1:]}_t"


def _described(ports: Sequence[Port]) -> str:
    return "".join(f"\n     {port.name}: {port.spec}" for port in ports) or " none"


def _filled(group: str, kind: str, arrays: Sequence[tuple[str, str]]) -> str:
    """An array of addresses; C has none without elements."""
    if not arrays:
        return f"{kind}{'const ' if kind.startswith('const') else ''}*{group} = NULL;"
    listed = ", ".join(name for _, name in arrays)
    return f"{kind}{group}[{len(arrays)}] = {{ {listed} }};"


_HEADER: Final = """\
/* $name: a program compiled ahead of time by tilec $version.

   inputs:$inputs
   outputs:$outputs

   It needs of the processor: $needs.
   Link $name.o with -lpthread. Everything may be called by several threads at once, but for
   ${name}_close on a model that is in use. Nothing here writes to errno or to a stream. */

#ifndef $guard
#define $guard

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TILEC_TENSOR
#define TILEC_TENSOR

/* What the functions return. */
#define TILEC_OK 0
#define TILEC_CPU 1      /* the processor lacks an instruction set */
#define TILEC_FILE 2     /* the file of weights cannot be read */
#define TILEC_DAMAGED 3  /* the file of weights is damaged, or that of another library */
#define TILEC_MEMORY 4   /* there is not enough memory */
#define TILEC_ARGUMENT 5 /* an address is null, or not aligned to an element */

typedef struct tilec_tensor {
  const char *name;
  const char *dtype; /* "f32", "i64", "bool" (a byte), "bf16", ... */
  int32_t rank;
  const int64_t *shape;
  const int64_t *strides; /* in elements */
  int64_t bytes;          /* of all elements */
} tilec_tensor;

#endif

#define ${name}_ABI $abi
#define ${name}_INPUTS $num_inputs
#define ${name}_OUTPUTS $num_outputs

typedef struct ${name}_model ${name}_model;

/* Version of this interface (${name}_ABI) and of tilec, and the instruction sets that are needed.
   A bit of ${name}_missing is set for each of those, in their order, that this machine lacks. */
int ${name}_abi(void);
const char *${name}_version(void);
const char *${name}_features(void);
uint64_t ${name}_missing(void);

/* What a status means, in English. */
const char *${name}_error(int status);

/* The arrays; NULL beyond the last. */
int ${name}_num_inputs(void);
int ${name}_num_outputs(void);
const tilec_tensor *${name}_input(int at);
const tilec_tensor *${name}_output(int at);

/* Read the weights (a path; NULL will do where there are none) and make a model. */
int ${name}_open(const char *weights, ${name}_model **model);
void ${name}_close(${name}_model *model);

/* Run. Addresses are those of first elements, aligned to an element; no output may share memory
   with another array. Without threads (0) there are as many as cores that the process may use.
   Memory for intermediate results is kept for the next call. */
int ${name}_run(
    ${name}_model *model, const void *const *inputs, void *const *outputs, int threads);

/* The same, with types. */
static inline int ${name}_call(
    $parameters) {
  $set_inputs
  $set_outputs
  return ${name}_run(model, inputs, outputs, threads);
}

#ifdef __cplusplus
}
#endif

#endif
"""
