"""Recurrent layers over time: LSTM, GRU and the simple one, in one direction.

The products of all inputs are one contraction. Each step is a call of the same Tile functions: a
product of the state, and what the gates make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.creation import zeros
from tilec.ops.joining import stack
from tilec.ops.texts import number, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor
from tilec.records import dataclass

_ACTIVATIONS: Final = {
    "sigmoid": "sigmoid({x})",
    "tanh": "tanh({x})",
    "relu": "relu({x})",
    "linear": "({x})",
    "affine": "({a} * ({x}) + {b})",
    "leaky_relu": "(({x}) < 0 ? {a} * ({x}) : ({x}))",
    "thresholded_relu": "(({x}) > {a} ? ({x}) : 0)",
    "scaled_tanh": "({a} * tanh({b} * ({x})))",
    "hard_sigmoid": "max(min({a} * ({x}) + {b}, 1), 0)",
    "elu": "(({x}) < 0 ? {a} * (exp({x}) - 1) : ({x}))",
    "softsign": "(({x}) / (1 + abs({x})))",
    "softplus": "log(1 + exp({x}))",
}


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of a gate.

    Attributes:
        name: E.g. ``"tanh"``.
        alpha: Its first number, if it has one.
        beta: Its second number.
    """

    name: str
    alpha: float = 0.01
    beta: float = 0.0

    def of(self, x: str) -> str:
        """Its value as Tile text."""
        known = _ACTIVATIONS.get(self.name)
        if known is None:
            raise ArgumentError(
                f"a recurrent layer has no activation {self.name!r}",
                help=f"there are {', '.join(_ACTIVATIONS)}",
            )
        return known.format(x=x, a=repr(float(self.alpha)), b=repr(float(self.beta)))


_Step: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From the inputs of a step and the state before it to the state behind it."""

_SIGMOID: Final = Activation("sigmoid")
_TANH: Final = Activation("tanh")


@public
def lstm(
    x: Operand,
    w: Operand,
    recurrent: Operand,
    bias: Operand | None = None,
    *,
    state: Operand | None = None,
    cell: Operand | None = None,
    peepholes: Operand | None = None,
    lengths: Operand | None = None,
    reverse: bool = False,
    gates: str = "ifco",
    activations: Sequence[Activation] = (_SIGMOID, _TANH, _TANH),
    coupled: bool = False,
    clip: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory (Hochreiter and Schmidhuber 1997).

    With ``z = x[t] @ w.T + h @ recurrent.T + bias`` in four parts: ``c = f(z_f) * c + f(z_i) *
    g(z_c)`` and ``h = f(z_o) * k(c)``.

    Args:
        x: Steps x batch x inputs.
        w: (4 * units) x inputs.
        recurrent: (4 * units) x units.
        bias: 4 * units.
        state: The first h: batch x units; zeros by default.
        cell: The first c.
        peepholes: 3 x units: what the gates i, o and f see of the cell.
        lengths: How many steps of each row of the batch count; the results behind are 0.
        reverse: Whether time runs backward.
        gates: Order of the parts: i (input), f (forget), c (cell), o (output).
        activations: f, g and k.
        coupled: Whether the forget gate is one minus the input gate.
        clip: Bound of what the gates get.

    Returns:
        All h (steps x batch x units), the last h and the last c.

    Raises:
        UserError: something does not fit.
    """
    sizes = _sizes("lstm", x, w, recurrent, bias, 4)
    projected = _projected(tensor(x), w, bias)
    if sorted(gates) != sorted("ifco"):
        raise ArgumentError(f"lstm: gates is {gates!r}; it has the letters of 'ifco'")
    new_cell, new_state = _lstm(gates, activations, peepholes is not None, coupled, clip)
    product = _product("")
    seen: list[Operand] = [] if peepholes is None else [tensor(peepholes)]
    first = _first("lstm", state, sizes, tensor(x))
    memory = _first("lstm", cell, sizes, tensor(x))

    def step(inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = single(product, h, tensor(recurrent), inputs)
        following = single(new_cell, z, c, *seen)
        return single(new_state, z, following, *seen), following

    outputs, last, rest = _over_time(projected, first, memory, step, lengths, reverse)
    return outputs, last, rest


@public
def gru(
    x: Operand,
    w: Operand,
    recurrent: Operand,
    bias: Operand | None = None,
    recurrent_bias: Operand | None = None,
    *,
    state: Operand | None = None,
    lengths: Operand | None = None,
    reverse: bool = False,
    gates: str = "zrh",
    activations: Sequence[Activation] = (_SIGMOID, _TANH),
    reset_after: bool = True,
    clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Gated recurrent unit (Cho et al. 2014).

    ``z`` and ``r`` are gates; ``n = g(x_n + r * (h @ recurrent_n.T + recurrent_bias_n))`` and
    ``h = (1 - z) * n + z * h``. Without ``reset_after``, ``r`` applies to ``h`` before the product.

    ``w``, ``recurrent`` and the biases have 3 * units rows in the order of ``gates``: z (update), r
    (reset) and h (new). ``bias`` is added to the products of the inputs, ``recurrent_bias`` to
    those of the state. ``activations`` are f of the gates, and g. The other parameters are those of
    ``lstm``.

    Returns:
        All h (steps x batch x units), and the last h.

    Raises:
        UserError: something does not fit.
    """
    sizes = _sizes("gru", x, w, recurrent, bias, 3)
    if sorted(gates) != sorted("zrh"):
        raise ArgumentError(f"gru: gates is {gates!r}; it has the letters of 'zrh'")
    projected = _projected(tensor(x), w, bias)
    first = _first("gru", state, sizes, tensor(x))
    weights = tensor(recurrent)
    extra = (
        zeros((3 * sizes[2],), weights.dtype) if recurrent_bias is None else tensor(recurrent_bias)
    )
    after, reset, before = _gru(gates, activations, clip)

    def step(inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z = single(_product("_and_bias"), h, weights, extra)
        if reset_after:
            return single(after, z, inputs, h), c
        return single(before, z, single(reset, z, inputs, h), weights, extra, inputs, h), c

    outputs, last, _ = _over_time(projected, first, first, step, lengths, reverse)
    return outputs, last


@public
def simple_rnn(
    x: Operand,
    w: Operand,
    recurrent: Operand,
    bias: Operand | None = None,
    *,
    state: Operand | None = None,
    lengths: Operand | None = None,
    reverse: bool = False,
    activation: Activation = _TANH,
    clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``h = f(x[t] @ w.T + h @ recurrent.T + bias)`` with the ``activation`` f.

    ``w`` is units x inputs, ``recurrent`` units x units. The other parameters are those of
    ``lstm``.

    Returns:
        All h (steps x batch x units), and the last h.

    Raises:
        UserError: something does not fit.
    """
    sizes = _sizes("simple_rnn", x, w, recurrent, bias, 1)
    projected = _projected(tensor(x), w, bias)
    first = _first("simple_rnn", state, sizes, tensor(x))
    called = text(
        "function recurrent_simple(H[B, K], R[O, K], X) -> (Y) { "
        f"Z[b, o : B, O] = +(H[b, k] * R[o, k]); Y = {activation.of(_clipped('Z + X', clip))}; }}"
    )

    def step(inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return single(called, h, tensor(recurrent), inputs), c

    outputs, last, _ = _over_time(projected, first, first, step, lengths, reverse)
    return outputs, last


def _sizes(
    op: str, x: Operand, w: Operand, recurrent: Operand, bias: Operand | None, parts: int
) -> tuple[int, int, int]:
    """Steps, batch and units."""
    data, weights, turn = tensor(x), tensor(w), tensor(recurrent)
    units = turn.shape[-1] if turn.ndim else 0
    fits = (
        data.ndim == 3
        and weights.shape == (parts * units, data.shape[2])
        and turn.shape == (parts * units, units)
        and (bias is None or tensor(bias).shape == (parts * units,))
    )
    if not fits:
        raise ShapeError(
            f"{op}: x, w and recurrent have the shapes {list(data.shape)}, {list(weights.shape)} "
            f"and {list(turn.shape)}",
            help=f"x is steps x batch x inputs, w ({parts} * units) x inputs, recurrent "
            f"({parts} * units) x units, a bias {parts} * units",
        )
    return data.shape[0], data.shape[1], units


def _first(op: str, given: Operand | None, sizes: tuple[int, int, int], x: Tensor) -> Tensor:
    if given is None:
        return zeros(sizes[1:], x.dtype)
    found = tensor(given)
    if found.shape != sizes[1:]:
        raise ShapeError(
            f"{op}: a state has the shape {list(found.shape)}, but batch x units is "
            f"{list(sizes[1:])}"
        )
    return found


def _projected(x: Tensor, w: Operand, bias: Operand | None) -> Tensor:
    added = ("", "") if bias is None else (", B[G]", " + B[g]")
    called = text(
        f"function recurrent_inputs{'_bias' * (bias is not None)}(X[T, N, I], W[G, I]{added[0]}) "
        f"-> (Y) {{ {'Z' if bias is not None else 'Y'}[t, n, g : T, N, G] = "
        f"+(X[t, n, i] * W[g, i]);{' Y = Z + B;' * (bias is not None)} }}"
    )
    return single(called, x, tensor(w), *([] if bias is None else [tensor(bias)]))


def _over_time(
    inputs: Tensor,
    h: Tensor,
    c: Tensor,
    step: _Step,
    lengths: Operand | None,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """All steps, one after the other."""
    count = inputs.shape[0]
    if not count:
        raise ShapeError("a recurrent layer has no steps to take")
    outputs: list[Tensor] = []
    for at in range(count)[:: -1 if reverse else 1]:
        new_h, new_c = step(inputs[at], h, c)
        if lengths is None:
            h, c = new_h, new_c
            outputs.append(h)
        else:  # rows that have ended keep their state
            h = single(_kept(), tensor(lengths), at, new_h, h)
            c = single(_kept(), tensor(lengths), at, new_c, c)
            outputs.append(single(_kept(), tensor(lengths), at, new_h, number(0.0, new_h)))
    return stack(outputs[::-1] if reverse else outputs, 0), h, c


def _kept() -> Function:
    return text(
        "function recurrent_kept(L[B], T, N[B, K], O) -> (Y) { "
        "G = reshape(L, B, 1) > T; Y = G ? N : O; }"
    )


def _product(kind: str) -> Function:
    """The product of the state, and what is added."""
    added = "A[O]" if kind else "A"
    return text(
        f"function recurrent_product{kind}(H[B, K], R[O, K], {added}) -> (Y) {{ "
        f"Z[b, o : B, O] = +(H[b, k] * R[o, k]); Y = Z + A; }}"
    )


def _clipped(x: str, clip: float | None) -> str:
    return x if clip is None else f"max(min({x}, {float(clip)!r}), {-float(clip)!r})"


def _lstm(
    gates: str,
    activations: Sequence[Activation],
    peepholes: bool,
    coupled: bool,
    clip: float | None,
) -> tuple[Function, Function]:
    """The cell and the state behind a step, of z and what was before."""
    f, g, k = _known("lstm", activations, 3)

    def gate(letter: str, peephole: int | None, cell: str) -> str:
        at = gates.index(letter)
        found = f"Z[b, h + {at}*K]"
        if peepholes and peephole is not None:
            found += f" + P[{peephole}, h] * {cell}[b, h]"
        return _clipped(found, clip)

    seen = ", P[3, K]" if peepholes else ""
    i = f.of(gate("i", 0, "C"))
    forget = f"(1 - {i})" if coupled else f.of(gate("f", 2, "C"))
    cell = text(
        f"function recurrent_cell(Z[B, G], C[B, K]{seen}) -> (Y) {{ Y[b, h : B, K] = "
        f"=({forget} * C[b, h] + {i} * {g.of(gate('c', None, 'C'))}); }}"
    )
    state = text(
        f"function recurrent_state(Z[B, G], C[B, K]{seen}) -> (Y) {{ Y[b, h : B, K] = "
        f"=({f.of(gate('o', 1, 'C'))} * {k.of('C[b, h]')}); }}"
    )
    return cell, state


def _known(op: str, activations: Sequence[Activation], count: int) -> Sequence[Activation]:
    if len(activations) != count:
        raise ArgumentError(f"{op}: {len(activations)} activations were given; it takes {count}")
    return activations


def _gru(
    gates: str, activations: Sequence[Activation], clip: float | None
) -> tuple[Function, Function, Function]:
    """The state behind a step with the reset after the product; the state that is reset before the
    product; the state behind it.
    """
    f, g = _known("gru", activations, 2)
    z, r, n = (f"h + {gates.index(each)}*K" for each in "zrh")
    update = f.of(_clipped(f"X[b, {z}] + Z[b, {z}]", clip))
    reset = f.of(_clipped(f"X[b, {r}] + Z[b, {r}]", clip))
    mixed = f"=((1 - {update}) * N[b, h] + {update} * H[b, h])"
    inner = g.of(_clipped(f"X[b, {n}] + {reset} * Z[b, {n}]", clip))
    after = text(
        "function gated_after(Z[B, G], X[B, G], H[B, K]) -> (Y) { "
        f"N[b, h : B, K] = =({inner}); Y[b, h : B, K] = {mixed}; }}"
    )
    before = text(
        "function gated_reset(Z[B, G], X[B, G], H[B, K]) -> (Y) { "
        f"Y[b, h : B, K] = =({reset} * H[b, h]); }}"
    )
    at = gates.index("h")
    summed = g.of(_clipped(f"X[b, {n}] + M[b, h] + A[{n}]", clip))
    state = text(
        "function gated_before(Z[B, G], Q[B, K], R[G, K], A[G], X[B, G], H[B, K]) -> (Y) { "
        f"M[b, h : B, K] = +(Q[b, k] * R[h + {at}*K, k]); "
        f"N[b, h : B, K] = =({summed}); Y[b, h : B, K] = {mixed}; }}"
    )
    return after, before, state
