"""Images with channels last: the same values, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tests.lower.texts import program
from tilec.rewrite.layout import ChannelsLast
from tilec.tensor.ir import Aggregation, Contraction, Map, Reshape
from tilec.tensor.verify import verify

NET = """
function conv(I[N, C, H, W], K[O, C, A, B], S) -> (R) {
  R[n, o, y, x : N, O, (H + S - 1) / S, (W + S - 1) / S] =
      +(I[n, c, S*y + i - 1, S*x + j - 1] * K[o, c, i, j]);
}
function scaled(X[N, C, H, W], G, B) -> (R) { R = X * reshape(G, C, 1, 1) + reshape(B, C, 1, 1); }
function positive(X) -> (R) { R = X < 0 ? 0 : X; }
function largest(I[N, C, H, W]) -> (R) {
  R[n, c, y, x : N, C, (H + 1) / 2, (W + 1) / 2] =
      >(I[n, c, 2*y + i - 1, 2*x + j - 1]), i < 3, j < 3;
}
function beside(P[N, C, H, W], Q[N, D, H, W]) -> (R) {
  T[n, c, y, x : N, C + D, H, W] = =(P[n, c, y, x]);
  R[n, C + c, y, x : N, C + D, H, W] = =(Q[n, c, y, x]) default T;
}
function net(X[N, C, H, W], K1, G1, B1, K2, G2, B2, K3, F) -> (Y, Z) {
  P = largest(positive(scaled(conv(X, K1, 2), G1, B1)));
  Q = positive(scaled(conv(P, K2, 1), G2, B2) + P);
  R = beside(Q, conv(Q, K3, 1));
  Z = positive(R);
  S = reshape(R, 512);
  Y[o : 5] = +(S[i] * F[i, o]);
}
"""
SHAPES = {
    "X": (2, 3, 15, 16),
    "K1": (12, 3, 3, 3),
    "G1": (12,),
    "B1": (12,),
    "K2": (12, 12, 3, 3),
    "G2": (12,),
    "B2": (12,),
    "K3": (4, 12, 3, 3),
    "F": (512, 5),
}


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("conv", ["direct", "auto"])
def test_a_network_computes_the_same(conv: str, bound: bool) -> None:
    rng = np.random.default_rng(5)
    arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    net = tilec.function(NET)
    expected = net.compile(*arrays.values(), target="reference")(*arrays.values())
    image = arrays.pop("X")
    given = (image,) if bound else (image, *arrays.values())
    if bound:
        net = net.bind(**arrays)
    for disable in ((), ("layout",)):
        run = net.compile(*given, options=tilec.Options(conv=conv, disable=disable))
        for found, right in zip(run(*given), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-3 * abs(right).max())
    assert "f32[2, 8, 8, 12]" in net.compile(*given).source("tensor")


def test_inputs_outputs_and_reshapes_keep_their_order() -> None:
    made = program(NET, **SHAPES)
    after = ChannelsLast().apply(made)
    verify(after)
    assert after.inputs == made.inputs
    types, before = after.types(), made.types()
    assert all(types[each.value] == before[each.value] for each in made.outputs)
    by_name = {node.name: node for node in after.nodes}
    moved = [name for name in before if types[name] != before[name]]
    assert moved
    assert all(isinstance(by_name[name], Contraction | Map) for name in moved)
    for node in after.nodes:
        if isinstance(node, Reshape):
            assert node.operand not in moved


def test_products_of_matrices_stay_as_they_are() -> None:
    text = """function f(A[B, H, M, K], C[B, H, K, N]) -> (Y) {
      T[b, h, m, n : B, H, M, N] = +(A[b, h, m, k] * C[b, h, k, n]);
      Y = T + 1;
    }"""
    made = program(text, A=(2, 3, 4, 5), C=(2, 3, 5, 6))
    assert ChannelsLast().apply(made) is made


@pytest.mark.parametrize(
    "body",
    [
        "Y[n, y, x, c : N, H, W, C] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c])",
        "Y[n, y, x, c : N, H, W, C] = +(X[n, y, x + j - 1, c] * K[0, j, c])",
        "Y[n, y, x, o : N, H, W, 9] = +(X[n, y, x, c] * K[c, 0, o])",
    ],
)
def test_channels_that_are_last_stay_there(body: str) -> None:
    text = f"function f(X[N, H, W, C], K[I, J, O]) -> (Z) {{ {body}; Z = Y + 1; }}"
    made = program(text, X=(2, 8, 8, 9), K=(9, 3, 9) if "K[c" in body else (3, 3, 9))
    assert ChannelsLast().apply(made) is made


def test_what_is_put_together_of_images_is_one() -> None:
    made = program(NET, **SHAPES)
    types = ChannelsLast().apply(made).types()
    joined = [name for name, kind in made.types().items() if kind.shape == (2, 16, 4, 4)]
    assert len(joined) == 3
    for name in joined:
        assert types[name].shape == ((2, 16, 4, 4) if name == "Z" else (2, 4, 4, 16))


def test_channels_are_summed_inside() -> None:
    after = ChannelsLast().apply(program(NET, **SHAPES))
    found = [
        n for n in after.nodes if isinstance(n, Contraction) and {"i", "j", "c"} <= {*n.indices}
    ]
    sums = [node.indices for node in found if node.agg is Aggregation.SUM]
    assert [indices[-3:] for indices in sums[1:]] == [("i", "j", "c")] * 2
