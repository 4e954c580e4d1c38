"""Recurrent layers: any step over time, and the steps of LSTM and GRU as contractions of all time.

Time is a loop of Python. In a program all steps call the same functions, which are compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final, NoReturn, TypeAlias, cast

import tilec
from keras_tilec.src.convert import convert, node, wrap, wrap_all
from keras_tilec.src.host import activation_function, in_symbolic_scope, tree
from keras_tilec.src.tensor import Tensor
from tilec import ops
from tilec.dtypes import DType
from tilec.ops import Activation

Step: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]
"""From the inputs of a time and the states before it to the output and the states behind it."""

_KNOWN: Final = (
    Activation("linear"),
    Activation("sigmoid"),
    Activation("tanh"),
    Activation("relu"),
    Activation("softsign"),
    Activation("hard_sigmoid", 1 / 6, 0.5),
)
"""Activations of Keras that gates may have."""


def rnn(
    step_function: Step,
    inputs: Any,
    initial_states: Any,
    go_backwards: bool = False,
    mask: object = None,
    constants: Sequence[Any] | None = None,
    unroll: bool = False,
    input_length: object = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
    return_all_outputs: bool = True,
) -> tuple[Any, Any, Any]:
    """One step after the other; where the mask is False nothing changes."""
    axis = 0 if time_major else 1
    given = tree.map_structure(convert, inputs)
    count = tree.flatten(given)[0].shape[axis]
    if unroll and not count:
        raise ValueError("Unrolling requires a fixed number of timesteps.")
    seen = None if mask is None else _flat(convert(mask, "bool"))
    states, previous = initial_states, None
    more = tuple(constants or ())
    outputs: list[Any] = []
    times = range(count)[:: -1 if go_backwards else 1]
    # Where only shapes are asked for, all steps look like the first.
    for at in times[:1] if in_symbolic_scope() else times:
        before = (*states, *more) if more else states
        output, following = step_function(tree.map_structure(partial(_at, axis, at), given), before)
        if seen is not None:
            is_on = _at(axis, at, seen)
            if previous is None or not unroll:
                previous = _previous(output, states, unroll or zero_output_for_mask)
            output = tree.map_structure(partial(_chosen, is_on), output, previous)
            flat = map(partial(_chosen, is_on), tree.flatten(following), tree.flatten(states))
            following = tree.pack_sequence_as(states, [*flat])
            previous = output
        states = following
        outputs.append(output)
    kept = outputs if return_all_outputs else outputs[-1:]
    repeated = count if return_all_outputs and in_symbolic_scope() else 1
    stacked = tree.map_structure(partial(_stacked, axis, repeated), *kept)
    return outputs[-1], stacked, states


def _flat(mask: Tensor) -> Tensor:
    """A mask of times, without the axis of size 1 behind."""
    return wrap(ops.squeeze(mask.node, -1)) if mask.ndim == 3 else mask


def _at(axis: int, at: int, x: Tensor) -> Tensor:
    return wrap(x.node[(slice(None),) * axis + (at,)])


def _chosen(is_on: Tensor, new: object, old: object) -> Tensor:
    found = node(new)
    column = ops.reshape(is_on.node, (-1,) + (1,) * (found.ndim - 1))
    return wrap(ops.where(column, found, ops.cast(node(old), found.dtype)))


def _previous(output: Any, states: Any, is_zero: bool) -> Any:
    """The output that stays where the mask is False: the state, which for stacked cells is that of
    the last one.
    """
    if is_zero:
        return tree.map_structure(_zero, output)
    return states[-1][0] if tree.is_nested(states[0]) else states[0]


def _zero(x: object) -> Tensor:
    found = node(x)
    return wrap(ops.zeros(found.shape, found.dtype))


def _stacked(axis: int, repeated: int, *outputs: object) -> Tensor:
    return wrap(ops.stack([node(each) for each in outputs] * repeated, axis))


@cache
def _activations() -> dict[object, Activation]:
    return {activation_function(each.name): each for each in _KNOWN}


def _gates(*functions: object) -> list[Activation]:
    """What gates apply.

    Raises:
        NotImplementedError: one is none of those that gates may have; Keras then uses ``rnn``.
    """
    known = _activations()
    found = [known.get(each) for each in functions]
    if None in found:
        raise NotImplementedError("an activation is not one of those that fused gates have")
    return cast("list[Activation]", found)


def _over_time(inputs: object, kind: DType, go_backwards: bool) -> tilec.Tensor:
    """Steps x batch x inputs, in the order in which they are taken."""
    found = ops.swapaxes(ops.cast(node(inputs), kind), 0, 1)
    return ops.flip(found, 0) if go_backwards else found


def _results(
    outputs: tilec.Tensor, states: Sequence[tilec.Tensor], is_all: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    whole = ops.swapaxes(outputs if is_all else ops.expand_dims(states[0], 0), 0, 1)
    first, *rest = wrap_all([whole, *states])
    return rest[0], first, rest


def _check_unmasked(mask: object) -> None:
    if mask is not None:
        raise NotImplementedError("fused layers take no mask")


def lstm(
    inputs: object,
    initial_state_h: object,
    initial_state_c: object,
    mask: object,
    kernel: object,
    recurrent_kernel: object,
    bias: object,
    activation: object,
    recurrent_activation: object,
    return_sequences: bool = False,
    go_backwards: bool = False,
    unroll: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """All steps of an LSTM without a mask, with one contraction of all inputs."""
    _check_unmasked(mask)
    gate, new = _gates(recurrent_activation, activation)
    w, turn = node(kernel), node(recurrent_kernel)
    outputs, h, c = ops.lstm(
        _over_time(inputs, w.dtype, go_backwards),
        ops.transpose(w),
        ops.transpose(turn),
        None if bias is None else node(bias),
        state=ops.cast(node(initial_state_h), w.dtype),
        cell=ops.cast(node(initial_state_c), w.dtype),
        gates="ifco",
        activations=(gate, new, new),
    )
    return _results(outputs, (h, c), return_sequences)


def gru(
    inputs: object,
    initial_state: object,
    mask: object,
    kernel: object,
    recurrent_kernel: object,
    bias: object,
    activation: object,
    recurrent_activation: object,
    return_sequences: bool = False,
    go_backwards: bool = False,
    unroll: bool = False,
    reset_after: bool = True,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """All steps of a GRU without a mask, with one contraction of all inputs."""
    _check_unmasked(mask)
    gate, new = _gates(recurrent_activation, activation)
    w, turn = node(kernel), node(recurrent_kernel)
    added = None if bias is None else node(bias)
    both = added is not None and added.ndim == 2
    outputs, h = ops.gru(
        _over_time(inputs, w.dtype, go_backwards),
        ops.transpose(w),
        ops.transpose(turn),
        added[0] if added is not None and both else added,
        added[1] if added is not None and both else None,
        state=ops.cast(node(initial_state), w.dtype),
        gates="zrh",
        activations=(gate, new),
        reset_after=reset_after,
    )
    return _results(outputs, (h,), return_sequences)


def _in_two(*args: object, **kwargs: object) -> NoReturn:
    # Keras runs one layer for each direction then.
    raise NotImplementedError("each direction is a layer of its own")


bidirectional_lstm = bidirectional_gru = _in_two


def cudnn_ok(*args: object, **kwargs: object) -> bool:
    """False: there is no such library here."""
    return False
