"""Memory of a run against what the plan says: ``python -m benchmarks.memory NETWORK...``.

A network lies in an ONNX file. A process loads it, from the disk cache, and runs it; its largest
resident set, less that of the process before, is compared with ``Executable.memory.peak``, which is
known before the first call. Linux tells the largest resident set; the network is compiled before,
by another process.
"""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_RUNS = 3

NUMPY = {"f32": "float32", "i32": "int32", "i64": "int64"}
"""Element types of inputs of networks, as NumPy calls them."""


def measure(path: str) -> dict[str, float]:
    """What loading and running a model takes, in MiB, and what the plan says."""
    import numpy as np

    import tilec
    import tilec.onnx

    # What every process has that loads and runs anything.
    tilec.onnx.load(_small())(np.ones((1, 4), np.float32))
    gc.collect()
    bare = resident()["VmRSS"]
    program = tilec.onnx.load(path)
    assert isinstance(program, tilec.Executable), "its sizes are open"
    memory = program.memory
    given = [np.ones(spec.shape, NUMPY[spec.dtype.name]) for _, spec in program.inputs]
    for _ in range(_RUNS):
        program(*given)
    found = resident()
    return {
        "plan": memory.peak / 2**20,
        "constants": memory.constants / 2**20,
        "peak": found["VmHWM"] - bare,
        "after": found["VmRSS"] - bare,
        "bare": bare,
    }


def resident() -> dict[str, float]:
    """Fields of Linux's status of this process, in MiB."""
    text = Path("/proc/self/status").read_text()
    return {name: int(size) / 1024 for name, size in re.findall(r"(\w+):\s+(\d+) kB", text)}


def _small() -> bytes:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "small",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return model.SerializeToString()


def _child(path: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", "--file", path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main(arguments: list[str]) -> None:
    """The command."""
    if arguments[:1] == ["--file"]:
        print(json.dumps(measure(arguments[1])))
        return
    from tilec import networks

    print(f"{'MiB':<14}{'plan':>8}{'peak':>8}{'ratio':>7}{'after':>8}{'constants':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments:
            path = Path(folder, f"{name}.onnx")
            path.write_bytes(networks.build(name, 1).SerializeToString())
            _child(str(path))  # compiles
            found = _child(str(path))
            ratio = found["peak"] / found["plan"]
            print(
                f"{name:<14}{found['plan']:8.1f}{found['peak']:8.1f}{ratio:7.3f}"
                f"{found['after']:8.1f}{found['constants']:11.1f}",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
