"""A step of a trainer as one compiled program.

The step is called once, inside ``tracing``, with tensors that have only types: batches and, unless
they are bound, the values of all variables. What it assigns becomes results of the program, which
are put into the variables after each call. A program is made for each signature of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

import tilec
from keras_tilec.src.convert import convert
from keras_tilec.src.dtypes import numpy_dtype, promoted, tile_name
from keras_tilec.src.host import stateless_scope, tree
from keras_tilec.src.tensor import Array, Tensor, settled, tracing
from keras_tilec.src.variable import Variable

Step = Callable[[Any], Any]


class Program:
    """A compiled step for one signature.

    Args:
        executable: Takes the arrays of the batch, then the values of the variables.
        variables: Those whose values it takes.
        assigned: Those whose values it returns, before the results of the step.
        structure: What the step returned, with places of results instead of tensors.
        bound: Those whose values are constants of the program, and the values.
    """

    def __init__(
        self,
        executable: tilec.Executable,
        variables: Sequence[Variable],
        assigned: Sequence[Variable],
        structure: Any,
        bound: Sequence[tuple[Variable, Tensor | None]],
    ) -> None:
        self._executable = executable
        self._variables = variables
        self._structure = structure
        self._bound = bound
        self._changes = -1
        self.assigned = assigned

    @property
    def is_current(self) -> bool:
        """False when a value that the program holds has been exchanged."""
        if self._changes != Variable.changes:
            if any(variable.held is not value for variable, value in self._bound):
                return False
            self._changes = Variable.changes
        return True

    def __call__(self, arrays: Sequence[Array]) -> Any:
        """Run it for the arrays of a batch."""
        found: Any = self._executable(*arrays, *(each.array for each in self._variables))
        several = cast("tuple[Array, ...]", found if isinstance(found, tuple) else (found,))
        results = [Tensor(tilec.tensor(each)) for each in several]
        for variable, value in zip(self.assigned, results, strict=False):
            variable.exchange(value)
        rest = results[len(self.assigned) :]

        def put(leaf: object) -> object:
            return rest[leaf.place] if isinstance(leaf, _Place) else leaf

        return tree.map_structure(put, self._structure)


class _Place:
    """Stands for a tensor in what a step returned."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place


class CompiledStep:
    """A step that compiles itself for the batches that come.

    Args:
        step: Takes a batch, reads and assigns variables, returns tensors.
        variables: The variables that the step may read or assign, each once; another list says that
            the step may do something else now.
        bind: Variables that the step only reads are constants of the program, which is made
            again when one of them has changed.
    """

    def __init__(
        self, step: Step, variables: Callable[[], Sequence[Variable]], *, bind: bool = False
    ) -> None:
        self._step = step
        self._find_variables = variables
        self._variables: Sequence[Variable] = ()
        self._trainable: Sequence[bool] = ()
        self._bind = bind
        self._programs: dict[Hashable, Program] = {}

    def begin(self) -> None:
        """Look for the variables again: layers may have been built, or frozen."""
        found = self._find_variables()
        trainable = () if self._bind else [each.trainable for each in found]
        if found is not self._variables or trainable != self._trainable:
            self._programs.clear()
        self._variables, self._trainable = found, trainable

    def __call__(self, data: Any) -> Any:
        """Run the step for a batch; compile it if such a batch has not come before."""
        leaves = tree.flatten(data)
        given = [_array(each) for each in leaves]
        arrays = [each for each in given if each is not None]
        static = tuple(
            None if array is not None else repr(leaf)
            for leaf, array in zip(leaves, given, strict=True)
        )
        shapes = tuple((each.shape, each.dtype) for each in arrays)
        key = (repr(tree.map_structure(type, data)), static, shapes)
        program = self._programs.get(key)
        if program is None or not program.is_current:
            program = self._programs[key] = self._compiled(data, given)
        return program(arrays)

    def _compiled(self, data: Any, given: Sequence[Array | None]) -> Program:
        if self._bind:
            found = self._traced(data, given, ())
            if not found.assigned:
                return found
        return self._traced(data, given, self._variables)

    def _traced(
        self, data: Any, given: Sequence[Array | None], variables: Sequence[Variable]
    ) -> Program:
        arrays = [each for each in given if each is not None]
        specs = [tilec.Spec(each.shape, tile_name(each.dtype.name)) for each in arrays]
        specs += [tilec.Spec(each.shape, tile_name(each.own_dtype)) for each in variables]
        leaves = tree.flatten(data)
        assigned: list[Variable] = []
        structure: Any = None

        def step(*inputs: tilec.Tensor) -> dict[str, tilec.Tensor]:
            nonlocal structure
            coming = map(Tensor, inputs)
            batch = [
                leaf if array is None else next(coming)
                for leaf, array in zip(leaves, given, strict=True)
            ]
            mapping = list(zip(variables, coming, strict=True))
            scope = stateless_scope(state_mapping=mapping, collect_losses=True)
            with tracing(), scope:
                found = self._step(tree.pack_sequence_as(data, batch))
            old = {id(each): value for each, value in mapping}
            results: list[Tensor] = []
            for each in self._variables:
                value = scope.get_current_value(each)
                if value is not None and value is not old.get(id(each)):
                    assigned.append(each)
                    results.append(value)

            def place(leaf: object) -> object:
                if not isinstance(leaf, Tensor):
                    return leaf
                results.append(leaf)
                return _Place(len(results) - 1 - len(assigned))

            structure = tree.map_structure(place, found)
            # A program has results; a step that returns nothing and assigns nothing has one, too.
            results = results or [convert(0)]
            return {f"Y{at}": each.node for at, each in enumerate(results)}

        linked = tilec.trace(step, *specs)
        held = {id(each) for each in linked.given.values()}
        bound = [(each, each.held) for each in self._variables if id(each.array) in held]
        executable = linked.bound().compile(*specs)
        return Program(executable, variables, assigned, structure, bound)


class EagerStep:
    """A step that records what it computes, so that gradients can be taken, and computes it then.

    Whatever the step looks at, for example to print it or to decide by it, is computed at once.

    Args:
        step: As for ``CompiledStep``.
        variables: The variables whose values shall be there afterwards.
    """

    def __init__(self, step: Step, variables: Callable[[], Sequence[Variable]]) -> None:
        self._step = step
        self._variables = variables

    def begin(self) -> None:
        """Nothing is prepared."""

    def __call__(self, data: Any) -> Any:
        """Run the step for a batch."""
        with tracing():
            found = self._step(tree.map_structure(_tensor, data))
        changed = [each for each in self._variables() if not each.is_settled]
        leaves = tree.flatten(found)
        tensors = [each for each in leaves if isinstance(each, Tensor)]
        done = settled([*(each.value for each in changed), *tensors])
        for variable, value in zip(changed, done, strict=False):
            variable.exchange(value)
        results = iter(done[len(changed) :])
        return tree.pack_sequence_as(
            found, [next(results) if isinstance(each, Tensor) else each for each in leaves]
        )


def _tensor(leaf: object) -> object:
    return leaf if _array(leaf) is None else convert(leaf)


def _array(leaf: object) -> Array | None:
    """The elements of a part of a batch in a dtype of tilec; None where it has no numbers."""
    if leaf is None:
        return None
    array = leaf.array if isinstance(leaf, Tensor) else np.asarray(leaf)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        return None
    return np.ascontiguousarray(array, dtype=_held_as(array.dtype)).reshape(array.shape)


@cache
def _held_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return numpy_dtype(tile_name(promoted(dtype.name)))
