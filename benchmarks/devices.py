"""``python -m benchmarks.devices``: each OpenCL device against plain kernels, or on a set.

The peer is what one writes first: a work-item for each element of the result, which sums up its
products. Both work on arrays that lie on the device, in turns, and each call is waited for. The
LLVM backend on the processor is shown beside them. With ``--set`` it is the only peer.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

import tilec
from benchmarks import besides
from benchmarks.besides import ROUNDS, WRONG, in_turns
from benchmarks.session import relative_error
from tilec.cli.report import print_table
from tilec.version import __version__

GROUP = 64

_GEMM = """
__kernel void plain(__global const float* a, __global const float* b, __global float* c) {{
  int j = get_global_id(0), i = get_global_id(1);
  float sum = 0;
  for (int k = 0; k < {k}; k++) sum += a[i * {k} + k] * b[k * {n} + j];
  c[i * {n} + j] = sum;
}}"""
_CONV = """
__kernel void plain(__global const float* x, __global const float* w, __global float* r) {{
  int d = get_global_id(0), q = get_global_id(1), p = get_global_id(2);
  float sum = 0;
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {{
      int y = p + i - 1, z = q + j - 1;
      if (y < 0 || y >= {h} || z < 0 || z >= {h}) continue;
      for (int c = 0; c < {c}; c++)
        sum += x[(y * {h} + z) * {c} + c] * w[((i * 3 + j) * {c} + c) * {d} + d];
    }}
  r[(p * {h} + q) * {d} + d] = sum;
}}"""


@dataclass(frozen=True, slots=True)
class Row:
    """A program, its plain kernel, and the sizes of its arrays."""

    name: str
    program: str
    plain: str
    items: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    result: tuple[int, ...]
    flop: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of the seconds of one row on one device."""

    row: str
    tilec: float
    plain: float
    llvm: float
    gflops: float
    ratio: float
    error: float


def gemm(size: int) -> Row:
    square = (size, size)
    return Row(
        f"product {size} x {size} x {size}", "C[i, j : M, N] = +(A[i, k] * B[k, j])",
        _GEMM.format(k=size, n=size), square, (square, square), square, 2 * size**3,
    )  # fmt: skip


def conv(size: int, channels: int) -> Row:
    """A 3x3 convolution of ResNet-50, one image."""
    image, weights = (size, size, channels), (3, 3, channels, channels)
    return Row(
        f"convolution 3x3, {size} x {size} x {channels}",
        "function (X[H, W, C], K[I, J, C, D]) -> (R) "
        "{ R[y, x, d : H, W, D] = +(X[y + i - 1, x + j - 1, c] * K[i, j, c, d]); }",
        _CONV.format(h=size, c=channels, d=channels), (channels, size, size),
        (image, weights), image, 2 * 9 * size * size * channels * channels,
    )  # fmt: skip


ROWS = (gemm(256), gemm(512), gemm(1024), conv(56, 64), conv(28, 128), conv(14, 256), conv(7, 512))


@click.command()
@click.option("--target", help="One device; by default all.")
@click.option("--only", default="", help="Rows whose name has this in it.")
@click.option("--set", "name", help="The rows of a set ('python -m benchmarks list').")
@click.option(
    "--json",
    "to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write JSON; rows of a set that are in the file stay as they are.",
)
@click.option("--seconds", type=float, help="Begin no more rows of a set after so long.")
@click.option("--prepare", is_flag=True, help="Compile the rows of a set and check their results.")
def main(
    target: str | None,
    only: str,
    name: str | None,
    to: Path | None,
    seconds: float | None,
    prepare: bool,
) -> None:
    """Measure OpenCL devices against plain kernels, or a set of rows against LLVM.

    A set may be measured in slices: what has been compiled before comes out of the cache, and what
    has been measured before is not measured again.
    """
    before: list[dict[str, Any]] = []
    if to is not None and name is not None and to.exists():
        before = json.loads(to.read_text())
    documents: list[dict[str, Any]] = []
    for info in tilec.devices():
        if not info.usable or target not in (None, info.target):
            continue
        click.echo(f"{info.name} ({info.version})")
        facts = {
            "device": info.name,
            "driver": info.version,
            "processor": platform.machine(),
            "tilec": __version__,
            **({} if name is None else {"set": name}),
        }
        if name is None:
            rows = _against_plain(info.target, only)
        else:
            known = [
                row for each in before if facts.items() <= each.items() for row in each["rows"]
            ]
            rows = besides.measure(info.target, name, only, known, seconds, prepare=prepare)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        documents.append({**facts, "made": made, "rounds": ROUNDS, "rows": rows})
    if to is not None:
        to.write_text(json.dumps(documents, indent=1) + "\n")


def _against_plain(target: str, only: str) -> list[dict[str, Any]]:
    rows = list(measured(target, [row for row in ROWS if only in row.name]))
    print_table(
        ("", "tilec, ms", "plain, ms", "llvm, ms", "GFLOP/s", "plain / tilec"),
        [
            (each.row, *(f"{1e3 * t:.2f}" for t in (each.tilec, each.plain, each.llvm)),
             f"{each.gflops:.1f}", f"{each.ratio:.1f}")
            for each in rows
        ],
    )  # fmt: skip
    return [asdict(each) for each in rows]


def measured(target: str, rows: Sequence[Row]) -> Iterator[Measured]:
    """Each row, its contenders in turns."""
    for row in rows:
        random = np.random.default_rng(0)
        arrays = [random.standard_normal(shape, np.float32) for shape in row.shapes]
        there = [tilec.array(each, target) for each in arrays]
        out, other = (tilec.array(np.zeros(row.result, np.float32), target) for _ in range(2))
        executable = tilec.function(row.program).compile(*there)
        host = tilec.function(row.program).compile(*arrays, target="llvm")
        on_host = np.zeros(row.result, np.float32)
        plain = plain_kernel(row, [*there, other])
        runs: dict[str, Callable[[], object]] = {
            "tilec": lambda e=executable, t=there, o=out: e(*t, out=o).wait(),
            "plain": plain,
            "llvm": lambda h=host, a=arrays, o=on_host: h(*a, out=o),
        }
        times = in_turns(runs)
        error = relative_error(out.numpy(), on_host)
        if max(error, relative_error(other.numpy(), on_host)) > WRONG:
            raise click.ClickException(f"{row.name}: the results differ by {error:.1e}")
        best = times["tilec"]
        yield Measured(
            row.name, best, times["plain"], times["llvm"],
            row.flop / best / 1e9, times["plain"] / best, error,
        )  # fmt: skip


def plain_kernel(row: Row, arrays: Sequence[tilec.DeviceArray]) -> Callable[[], object]:
    """Runs the plain kernel of a row on arrays of a device, in groups along the fastest axis."""
    import pyopencl as cl

    from tilec_opencl.opened import OpenedDevice, buffer_of

    device = arrays[0].memory
    assert isinstance(device, OpenedDevice)
    kernel = cl.Program(device.context, row.plain).build().plain
    kernel.set_args(*(buffer_of(each.held) for each in arrays))

    group = (min(GROUP, row.items[0]), *(1 for _ in row.items[1:]))

    def run() -> None:
        cl.enqueue_nd_range_kernel(device.queue, kernel, row.items, group)
        device.wait()

    return run


if __name__ == "__main__":
    main()
