"""Units that differ only in names share a kernel; any other difference keeps them apart."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec.program.compile import built

LAYERS = """
function layer(X[N, H, W, C], K[I, J, C, O], B[O]) -> (Y) {
  T[n, y, x, o : N, H, W, O] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c, o]);
  S = T + B;
  Y = S < 0 ? 0 : S;
}
function net(X, K1, B1, K2, B2, K3, B3) -> (Y) {
  P = layer(X, K1, B1);
  Q = layer(P, K2, B2);
  R = layer(Q, K3, B3);
  S[c : 16] = +(R[n, y, x, c]);
  T[c : 16] = +(Q[n, y, x, c]);
  Y = S - T;
}
"""


def _arrays(size: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(3)
    weights = {f"K{at}": rng.standard_normal((3, 3, 16, 16)) / 9 for at in (1, 2, 3)}
    biases = {f"B{at}": rng.standard_normal(16) for at in (1, 2, 3)}
    found = {"X": rng.standard_normal((1, size, size, 16)), **weights, **biases}
    return {name: array.astype(np.float32) for name, array in found.items()}


@pytest.mark.parametrize("conv", ["direct", "winograd", "fft"])
def test_equal_layers_share_a_kernel_and_compute_their_own(conv: str) -> None:
    arrays = _arrays(12)
    image = arrays.pop("X")
    net = tilec.function(LAYERS).bind(**arrays)
    expected = net.compile(image, target="reference")(image)
    options = tilec.Options(conv=conv)
    run = net.compile(image, options=options)
    np.testing.assert_allclose(run(image), expected, rtol=2e-4, atol=2e-3)
    module = built(net.parts.text, net.recipe(image, options=options)).main.module
    layers = [call for call in module.calls if call.name.endswith(("P", "Q", "R"))]
    assert len(layers) == 3
    assert len({call.kernel for call in layers}) < 3
    assert len({call.args for call in layers}) == 3
    assert [kernel.name for kernel in run.kernels] == [call.name for call in module.calls]


def test_a_schedule_for_one_of_them_keeps_it_apart() -> None:
    arrays = _arrays(8)
    net = tilec.function(LAYERS)
    given = [arrays[each.name] for each in net.inputs]
    plain = net.compile(*given, options=tilec.Options(conv="direct"))
    line = next(text for text in str(plain.schedule).splitlines() if text.startswith("net_Q"))
    assert "rows" not in line
    wanted = tilec.Schedule.of({"net_Q": plain.schedule["net_P"]})
    same = net.compile(*given, options=tilec.Options(conv="direct"), schedule=wanted)
    np.testing.assert_array_equal(same(*given), plain(*given))
    again = net.compile(*given, options=tilec.Options(conv="direct"), schedule=plain.schedule)
    assert str(again.schedule) == str(plain.schedule)
