"""Choices and loops: Python's own where elements are known, both branches where they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from keras_tilec.src.convert import convert, node, wrap
from keras_tilec.src.host import Scope, get_stateless_scope, in_symbolic_scope, tree
from keras_tilec.src.ops.numpy.elementwise import where
from keras_tilec.src.ops.numpy.joining import stack
from keras_tilec.src.ops.numpy.shapes import flip
from keras_tilec.src.tensor import Tensor
from tilec import ops

Function = Callable[..., Any]


def cond(pred: Any, true_fn: Function, false_fn: Function) -> Any:
    """One branch where the predicate is known. Elsewhere both are computed, and one is taken."""
    if not isinstance(pred, Tensor) or not pred.node.is_abstract:
        return true_fn() if pred else false_fn()
    if in_symbolic_scope():
        return true_fn()
    scope = get_stateless_scope()
    before = {} if scope is None else dict(scope.state_mapping)
    taken, taken_state = _branch(true_fn, scope, before)
    other, other_state = _branch(false_fn, scope, before)
    if scope is not None:
        scope.state_mapping = {
            key: _chosen(pred, taken_state[key], other_state[key])
            for key in taken_state
            if key in other_state
        }
    if taken is None:
        return None
    return tree.map_structure(partial(_chosen, pred), taken, other)


def _branch(
    function: Function, scope: Scope | None, before: dict[int, Tensor]
) -> tuple[Any, dict[int, Tensor]]:
    """What a branch returns and the variables behind it; each branch begins with the same."""
    if scope is None:
        return function(), {}
    scope.state_mapping = dict(before)
    return function(), scope.state_mapping


def _chosen(pred: Tensor, one: Any, two: Any) -> Any:
    if one is two or not isinstance(one, Tensor | bool | int | float):
        return one
    return where(pred, one, two)


def switch(index: object, branches: Sequence[Function], *operands: Any) -> Any:
    at = convert(index, "int32")
    if not at.node.is_abstract:
        return branches[min(max(int(at), 0), len(branches) - 1)](*operands)
    found = branches[-1](*operands)
    for place in range(len(branches) - 2, -1, -1):
        is_before = wrap(ops.less_equal(at.node, node(place, "int32")))
        found = cond(is_before, partial(branches[place], *operands), partial(_identity, found))
    return found


def _identity(x: Any) -> Any:
    return x


def while_loop(
    cond: Function, body: Function, loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """A loop of Python: when a program is traced, the condition must not depend on its inputs."""
    several = isinstance(loop_vars, list | tuple)
    given = cast("Sequence[Any]", loop_vars if several else (loop_vars,))
    values = tuple(tree.map_structure(convert, each) for each in given)
    count = 0
    while (maximum_iterations is None or count < maximum_iterations) and cond(*values):
        found = body(*values)
        values = tuple(
            cast("Sequence[Any]", found) if isinstance(found, list | tuple) else (found,)
        )
        count += 1
    return values if several else values[0]


def fori_loop(lower: Any, upper: Any, body_fun: Function, init_val: Any) -> Any:
    found = init_val
    for at in range(int(lower), int(upper)):
        found = body_fun(convert(at, "int32"), found)
    return found


def map(f: Function, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        return carry, f(x)

    return scan(step, (), xs)[1]


def scan(
    f: Function,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """``jax.lax.scan``: a step gives the next carry and a value; the values are stacked."""
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    if type(unroll) not in (bool, int) or int(unroll) < (not isinstance(unroll, bool)):
        raise ValueError(
            f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}"
        )
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    given = tree.map_structure(convert, xs) if xs is not None else None
    leaves: list[Tensor] = tree.flatten(given) if xs is not None else []
    count = int(length) if length is not None else len(leaves[0])
    carry = tree.map_structure(convert, init)
    empty = tree.map_structure(_zeros, carry)
    found: list[Any] = []
    for at in reversed(range(count)) if reverse else range(count):
        item = None if xs is None else tree.map_structure(_item(at), given)
        carry, value = f(carry, item)
        found.append(empty if value is None else value)
    ordered = found[::-1] if reverse else found
    return carry, tree.map_structure(_stack, *ordered)


def _zeros(x: Tensor) -> Tensor:
    return wrap(ops.zeros(x.shape, x.node.dtype))


def _item(at: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x[at]


def _stack(*each: object) -> Tensor:
    return stack(each)


def vectorized_map(function: Function, elements: Any) -> Any:
    """Along the leading axis; a list of tensors is a list for each element."""
    leaves: list[Tensor] = [convert(each) for each in tree.flatten(elements)]
    each_one = [
        function(tree.pack_sequence_as(elements, [leaf[at] for leaf in leaves]))
        for at in range(len(leaves[0]))
    ]
    return tree.map_structure(_stack, *each_one)


def associative_scan(f: Function, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes under an associative function, by doubling: ``log2`` n calls on whole arrays.

    Hillis and Steele 1986: after the k-th step each element holds the last 2^k ones before it.
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    leaves: list[Tensor] = [convert(each) for each in tree.flatten(elems)]
    count = leaves[0].shape[axis]
    if any(each.shape[axis] != count for each in leaves):
        raise ValueError(
            "Array inputs to associative_scan must have the same first dimension. "
            f"(saw: {[each.shape for each in leaves]})"
        )
    if reverse:
        leaves = [flip(each, axis) for each in leaves]
    width = 1
    while width < count:
        head = [_cut(each, axis, 0, width) for each in leaves]
        early = [_cut(each, axis, 0, count - width) for each in leaves]
        late = [_cut(each, axis, width, count) for each in leaves]
        joined = tree.flatten(
            f(tree.pack_sequence_as(elems, early), tree.pack_sequence_as(elems, late))
        )
        leaves = [
            wrap(ops.concatenate([one.node, node(two)], axis))
            for one, two in zip(head, joined, strict=True)
        ]
        width *= 2
    if reverse:
        leaves = [flip(each, axis) for each in leaves]
    return tree.pack_sequence_as(elems, leaves)


def _cut(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    at = axis % x.ndim
    return x[(slice(None),) * at + (slice(start, stop),)]
