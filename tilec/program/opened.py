"""Programs with open sizes: code for those that come, made when they first come."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from tilec.errors import ArgumentError, TileTypeError
from tilec.program.boundary import compiler_lock, public
from tilec.program.executable import Executable
from tilec.runtime.arrays import spec_of, take
from tilec.runtime.dispatch import Recent
from tilec.runtime.spec import OpenSpec, Spec, named_sizes

_KEPT: Final = 16


class OpenExecutable:
    """A function of tensors some of whose sizes are open. Made by ``tilec.compile``.

    It compiles for each combination of sizes once, and keeps the programs of the latest ones.
    Constants are made for each of them.
    """

    def __init__(
        self,
        make: Callable[..., Executable],
        inputs: Sequence[tuple[str, Spec | OpenSpec]],
    ) -> None:
        self._make = make
        self._inputs = tuple(inputs)
        self._programs: Recent[Executable] = Recent(_KEPT)

    def __call__(self, *arrays: object, out: object = None) -> Any:
        """Compile for arrays of these sizes, unless that has been done before, and run.

        Args:
            *arrays: One per input.
            out: Where the results go, as for an ``Executable``.

        Raises:
            UserError: an argument does not fit, or the function cannot have such sizes.
        """
        key = tuple(getattr(each, "shape", None) for each in arrays)
        program = self._programs.get(key)
        if program is None:
            program = self._program(key, arrays)
        return program(*arrays, out=out)

    @property
    def inputs(self) -> tuple[tuple[str, Spec | OpenSpec], ...]:
        """Name and type of each input."""
        return self._inputs

    def compile(self, **sizes: int) -> Executable:
        """The program for some sizes, by their names.

        Raises:
            ArgumentError: a name is missing or not there, or a size has no name.
            UserError: the function cannot have such sizes.
        """
        shapes = [spec.shape for _, spec in self._inputs]
        names = dict.fromkeys(size for shape in shapes for size in shape if isinstance(size, str))
        if {*names} != {*sizes} or any(size is None for shape in shapes for size in shape):
            raise ArgumentError(
                f"sizes were given for {', '.join(sizes) or 'nothing'}, but those of "
                f"{', '.join(str(spec) for _, spec in self._inputs)} are open",
                help="call it with arrays, whose sizes are taken",
            )
        found = [
            tuple(size if isinstance(size, int) else sizes[str(size)] for size in shape)
            for shape in shapes
        ]
        return self._compiled(tuple(found))

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}: {spec}" for name, spec in self._inputs)
        return f"<tilec.OpenExecutable ({inputs})>"

    def _program(self, key: Hashable, values: Sequence[object]) -> Executable:
        # What the traced function itself raises is none of tilec's errors.
        program = self._compiled(self._shapes(values))
        self._programs.put(key, program)
        return program

    @public
    def _shapes(self, values: Sequence[object]) -> tuple[tuple[int, ...], ...]:
        """The sizes of arguments that fit."""
        if len(values) != len(self._inputs):
            raise ArgumentError(
                f"{len(values)} arguments were given, but this program takes {len(self._inputs)}: "
                f"{', '.join(name for name, _ in self._inputs)}"
            )
        came: list[Spec] = []
        for (name, wanted), value in zip(self._inputs, values, strict=True):
            spec = spec_of(take(name, value, wanted.dtype))
            if spec.dtype != wanted.dtype:
                raise TileTypeError(
                    f"argument {name} has dtype {spec.dtype}, but it is {wanted} here"
                )
            came.append(spec)
        named_sizes(
            [(name, to.shape, of.shape) for (name, to), of in zip(self._inputs, came, strict=True)]
        )
        return tuple(spec.shape for spec in came)

    def _compiled(self, shapes: tuple[tuple[int, ...], ...]) -> Executable:
        with compiler_lock():  # threads that ask for the same sizes wait for one compilation
            found = self._programs.get(shapes)
            if found is None:
                pairs = zip(self._inputs, shapes, strict=True)
                found = self._make(*(Spec(shape, spec.dtype) for (_, spec), shape in pairs))
                self._programs.put(shapes, found)
            return found
