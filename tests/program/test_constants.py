"""What an executable keeps of the arrays that are bound."""

from __future__ import annotations

import ast
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import tilec
from tilec.schedule.values import Tiled


def test_weights_that_became_panels_are_not_kept_twice() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((512, 640)).astype(np.float32)
    bias = rng.standard_normal(640).astype(np.float32)
    layer = tilec.function(
        """function f(X[M, K], W[K, N], B[N]) -> (Y) {
          T[m, n : M, N] = +(X[m, k] * W[k, n]);
          Y = T + B;
        }"""
    ).bind(W=weights, B=bias)
    x = rng.standard_normal((96, 512)).astype(np.float32)
    run = layer.compile(x)
    assert "ahead" in str(run.schedule)
    np.testing.assert_allclose(run(x), x @ weights + bias, rtol=1e-3, atol=1e-3)
    assert run.memory.constants < 1.1 * (weights.nbytes + bias.nbytes)


def test_the_tiles_of_a_panel_ask_for_all_of_the_next() -> None:
    line, steps = 16, 48
    weights = np.ones((steps, 960), np.float32)
    layer = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])").bind(B=weights)
    for rows in (6, 7, 30, 33):  # as many tiles as a step has lines, or more, or fewer
        spec = tilec.Spec((rows, steps))
        run = layer.compile(spec, options=tilec.Options(cpu="cascadelake"))
        (plan,) = run.schedule.values()
        assert isinstance(plan, Tiled)
        text = run.source("kernel")
        tiles = [int(count) for count in re.findall(r"for \.tile in 0 \.\. (\d+)", text)]
        places = re.findall(r"prefetch C\.panels\[(.*)\]", text)
        assert places, text
        each = len(places) // len(tiles)
        asked: set[int] = set()
        for number, count in enumerate(tiles):
            for place in places[number * each : (number + 1) * each]:
                code = place.replace(".panel", "panel").replace(".tile", "tile")
                for tile, k in product(range(count), range(steps)):
                    asked.add(_value(code, {"panel": 1, "tile": tile, "k": k}) // line)
        panel = plan.width * steps // line
        assert set(range(2 * panel, 3 * panel)) <= asked
        assert len(asked) < 1.5 * panel


def test_layers_that_share_weights_share_the_panels() -> None:
    weights = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)

    def chain(x: tilec.Tensor) -> tilec.Tensor:
        return x @ weights @ weights @ weights

    run = tilec.compile(chain, tilec.Spec((64, 256)))
    assert str(run.schedule).count("ahead") == 3
    assert run.memory.constants == weights.nbytes
    x = np.eye(64, 256, dtype=np.float32)
    wanted = weights.astype(np.float64) @ weights @ weights
    np.testing.assert_allclose(run(x), wanted[:64], rtol=1e-3, atol=1e-2)


def _value(code: str, names: dict[str, int]) -> int:
    """A sum of products of names and numbers."""

    def of(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name):
                return names[name]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return of(left) + of(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return of(left) * of(right)
            case _:
                raise AssertionError(ast.dump(node))

    return of(ast.parse(code, mode="eval").body)


CONVOLUTIONS = tilec.function(
    """function f(X[H, W, C], K1[R, S, C, D], K2[R, S, D, D]) -> (Y) {
      T[y, x, d : H, W, D] = +(X[y + r - 1, x + s - 1, c] * K1[r, s, c, d]);
      A = relu(T);
      Y[y, x, d : H, W, D] = +(A[y + r - 1, x + s - 1, c] * K2[r, s, c, d]);
    }"""
)
X = tilec.Spec((28, 28, 16))


def _kernels(*channels: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(2)
    c, d = channels
    shapes = {"K1": (3, 3, c, d), "K2": (3, 3, d, d)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_memory_of_transformed_weights_is_bounded_where_that_is_asked() -> None:
    kernels = _kernels(16, 64)
    raw = sum(each.nbytes for each in kernels.values())
    layers = CONVOLUTIONS.bind(**kernels)

    def compiled(limit: int | None) -> tilec.Executable:
        return layers.compile(X, options=tilec.Options(cpu="haswell", constants_bytes=limit))

    free, some, least = compiled(None), compiled(3 * raw), compiled(raw)
    names = [[str(each.header) for each in run.kernels] for run in (free, some, least)]
    count = [sum("winograd" in header for header in headers) for headers in names]
    assert count[0] == 2
    assert count[1] == 1  # the one that gains most for a byte
    assert count[2] == 0
    assert free.memory.constants > 3 * raw >= some.memory.constants > least.memory.constants


def test_a_stored_array_is_read_when_constants_are_made(tmp_path: Path) -> None:
    kernels = _kernels(16, 32)
    offsets: dict[str, int] = {}
    path = tmp_path / "weights"
    with path.open("wb") as file:
        file.write(b"odd")
        for name, array in kernels.items():
            offsets[name] = file.tell()
            file.write(array.tobytes())
    stored = tilec.StoredFile(path)
    weights = [
        tilec.tensor(stored.array(offsets[name], tilec.Spec(array.shape)), name=name)
        for name, array in kernels.items()
    ]

    def layers(x: tilec.Tensor) -> tilec.Tensor:
        return tilec.apply(CONVOLUTIONS, x, *weights)

    run = tilec.compile(layers, X)
    assert run.memory.held == 0
    assert 0 < run.memory.reading <= sum(each.nbytes for each in kernels.values())
    assert run.memory.peak > run.memory.constants
    x = np.random.default_rng(3).standard_normal(X.shape).astype(np.float32)
    wanted = CONVOLUTIONS.bind(**kernels)(x)
    replaced = tmp_path / "other"
    replaced.write_bytes(b"another file")
    replaced.replace(path)  # what was opened is still there
    np.testing.assert_array_equal(run(x), wanted)
    run.save(tmp_path / "saved")
    again = tilec.load(tmp_path / "saved")
    np.testing.assert_array_equal(again(x), wanted)
    assert again.memory.held > 0


def test_a_file_that_was_written_into_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(np.ones(64, np.float32).tobytes())
    stored = tilec.StoredFile(path)
    with pytest.raises(tilec.ArgumentError, match="has 256 bytes, too few for 256 from byte 4 on"):
        stored.array(4, tilec.Spec((64,)))
    weights = tilec.tensor(stored.array(0, tilec.Spec((64,))))

    def scaled(x: tilec.Tensor) -> tilec.Tensor:
        return x * weights

    run = tilec.compile(scaled, tilec.Spec((64,)))
    path.write_bytes(b"shorter")
    with pytest.raises(tilec.ArgumentError, match="has changed since it was opened"):
        run(np.ones(64, np.float32))
    with pytest.raises(tilec.ArgumentError, match="cannot read"):
        tilec.StoredFile(tmp_path / "missing")
