"""What an executable keeps of the arrays that are bound."""

from __future__ import annotations

import ast
import re
from itertools import product

import numpy as np

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
