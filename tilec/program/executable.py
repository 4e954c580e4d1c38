"""A function compiled for arrays of certain shapes, dtypes and strides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tilec.errors import ArgumentError, ShapeError, TileTypeError
from tilec.program import saved
from tilec.program.boundary import public
from tilec.program.code import KernelFacts
from tilec.program.engine import Engine, results
from tilec.program.frontend import Frontend
from tilec.program.placed import memory_in, on_host, run_there, spec_there
from tilec.program.recipe import Argument, Recipe
from tilec.records import dataclass
from tilec.runtime.arrays import Array, spec_of, take
from tilec.runtime.backend import DeviceMemory
from tilec.runtime.device import HOST
from tilec.runtime.dispatch import Call, HostCall, Recent, signature_by_value
from tilec.runtime.outputs import take_outputs
from tilec.runtime.spec import Spec
from tilec.runtime.stored import Known
from tilec.schedule.values import SCHEDULE_LINE, Schedule, parse_kernel

if TYPE_CHECKING:
    from tilec.program.header import Header
    from tilec.schedule.explain import Explanation

_KEPT_CALLS: Final = 16


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one call works with.

    Attributes:
        inputs: The arrays that callers pass.
        outputs: The results.
        workspace: Intermediate results and packed copies, those of all threads; each call that
            runs at the same time has its own.
        constants: What is known beforehand, as kernels read it: bound inputs, or what was made of
            them (packed, transformed, folded), and tables.
        held: Bound inputs of which constants are made and that are in memory besides; none of
            those that are ``Stored``.
        reading: What is read at once, at most, of those that are stored, while constants are made
            before the first call.
        temporaries: How many intermediate results one kernel leaves for another.
        temporaries_bytes: Their sizes; in the workspace those share memory that are not needed at
            the same time.
    """

    inputs: int
    outputs: int
    workspace: int
    constants: int
    held: int = 0
    reading: int = 0
    temporaries: int = 0
    temporaries_bytes: int = 0

    @property
    def peak(self) -> int:
        """The most at any time, if one call runs at a time."""
        run = self.inputs + self.outputs + self.workspace
        return self.constants + self.held + max(run, self.reading)


class Executable:
    """Code for one set of shapes, dtypes and strides. Made by ``Function.compile`` or ``load``."""

    def __init__(
        self, frontend: Frontend, recipe: Recipe, bound: Mapping[str, Known], engine: Engine
    ) -> None:
        self._recipe = recipe
        self._bound = bound
        self._engine = engine
        self._frontend = frontend
        self._passed = tuple(given for given in recipe.arguments if not given.bound)
        self._specialised = frozenset(
            at for at, given in enumerate(self._passed) if given.value is not None
        )
        self._calls: Recent[Call] = Recent(_KEPT_CALLS)
        self._latest: Call | None = None

    def __call__(self, *arrays: object, out: object = None) -> Any:
        """Run the code.

        Args:
            *arrays: One per input, of the shape, dtype and strides that this was compiled for.
            out: Where the results go: an array, or several in a sequence or by name.

        Returns:
            An array, or a named tuple of arrays when there are several outputs.

        Raises:
            UserError: an argument does not fit; nothing was written then.
        """
        call = self._latest
        if call is not None:  # most calls are like the one before
            if out is None:
                result = call.fresh(arrays)
                if result is not None:
                    return result
            elif call.fill(arrays, out):
                return out
            call = None
        if len(arrays) == len(self._passed):
            call = self._calls.get(signature_by_value(arrays, self._specialised))
        if call is not None:
            if out is not None:
                if call.write(arrays, out):
                    return out
            else:
                result = call(arrays)
                if result is not None:
                    return result
        return self._call_checked(arrays, out)

    @property
    def inputs(self) -> tuple[tuple[str, Spec], ...]:
        """Name and type of each input."""
        return tuple((given.name, given.spec) for given in self._passed)

    @property
    def outputs(self) -> tuple[tuple[str, Spec], ...]:
        """Name and type of each output."""
        return self._engine.outputs

    @property
    def target(self) -> str:
        """Name of the target."""
        return self._recipe.options.target

    @property
    def kernels(self) -> tuple[KernelFacts, ...]:
        """The kernels of a call in the order in which they run; none for the reference."""
        return self._engine.kernels

    @property
    def stages(self) -> tuple[str, ...]:
        """What ``source`` can show, from the text to the code."""
        return ("tile", *self._engine.stages)

    @property
    def schedule(self) -> Schedule:
        """What each kernel that has a choice does with its loops; none for the reference.

        It can be printed, changed, and given to ``Function.compile``.
        """
        return Schedule.of(
            {
                kernel.name: parse_kernel(line.removeprefix(SCHEDULE_LINE))
                for kernel in self.kernels
                for line in kernel.header
                if line.startswith(SCHEDULE_LINE)
            }
        )

    @property
    def memory(self) -> Memory:
        """Bytes that one call works with."""
        return Memory(
            inputs=sum(spec.bytes for _, spec in self.inputs),
            outputs=sum(spec.bytes for _, spec in self.outputs),
            workspace=self._engine.workspace_bytes,
            constants=self._engine.constants_bytes,
            held=self._engine.held_bytes,
            reading=self._engine.reading_bytes,
            temporaries=len(self._engine.temporaries),
            temporaries_bytes=sum(self._engine.temporaries),
        )

    @public
    def source(self, stage: str) -> str:
        """The program at one of ``stages``, in readable form.

        Raises:
            ArgumentError: there is no such stage.
        """
        if stage not in self.stages:
            raise ArgumentError(
                f"there is no stage {stage!r} for the target {self.target}",
                help=f"the stages are {', '.join(self.stages)}",
            )
        return self._header.text if stage == "tile" else self._engine.source(stage)

    @public
    def explain(self, *, what_if: str | None = None, measure: bool = True) -> Explanation:
        """Say why each kernel takes the time it takes; ``print`` shows it.

        The program is compiled again for that, and each kernel runs by itself on made-up numbers.

        Args:
            what_if: Another size of the register tile, such as ``i=6,j=64``.
            measure: False runs nothing.

        Raises:
            ScheduleError: there can be no such tile.
            ArgumentError: the target has no kernels.
        """
        from tilec.program.explain import explain  # loads the compiler

        return explain(self._frontend, self._recipe, what_if=what_if, measure=measure)

    @public
    def save(self, path: str | PathLike[str]) -> None:
        """Write everything that ``tilec.load`` needs to one file.

        Raises:
            ArgumentError: the file cannot be written.
        """
        saved.write(
            Path(path), saved.Ingredients(self._frontend, self._recipe, self._bound, self._engine)
        )

    @public
    def export(self, path: str | PathLike[str], *, name: str | None = None) -> tuple[Path, ...]:
        """Write a library that programs in C and other languages call, without Python.

        The folder gets an object file, a C header, the weights in one file, as the code takes
        them, and a manifest. ``tilec.load`` runs it, too.

        Args:
            path: The folder; it is made if it is not there.
            name: What the names of the files and functions begin with; by default the name of
                the function.

        Returns:
            The files.

        Raises:
            TargetError: the target, or the system it is for, has no libraries.
            ArgumentError: a file cannot be written, or C does not allow the name.
        """
        from tilec.program import exported  # who runs programs does not need it

        return exported.write(Path(path), self._frontend, self._recipe, self._engine, name)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}: {spec}" for name, spec in self.inputs)
        outputs = ", ".join(f"{name}: {spec}" for name, spec in self.outputs)
        return f"<tilec.Executable ({inputs}) -> ({outputs}) for {self.target}>"

    def prepare(self, numbers: Sequence[tuple[int, str]]) -> HostCall:
        """A prepared call, for arguments of which these are plain Python numbers."""
        return self._engine.call(numbers)

    def run(self, arrays: Sequence[Array], out: object) -> object:
        """Run with arrays that fit, but may not be aligned to anything that ``out`` demands."""
        call = self._plain_call
        if out is None:
            return call(tuple(arrays))
        named = [(given.name, array) for given, array in zip(self._passed, arrays, strict=True)]
        destinations = take_outputs(out, results(self.outputs), named)
        call.into(arrays, destinations)
        for destination in destinations:
            destination.finish()
        return out

    @cached_property
    def _plain_call(self) -> HostCall:
        return self.prepare(())

    @cached_property
    def call_there(self) -> Call:
        """A prepared call on arrays of the device, with whatever others among them."""
        return self._engine.call_there()

    @property
    def _header(self) -> Header:
        return self._frontend.header

    @public
    def _call_checked(self, values: tuple[object, ...], out: object) -> object:
        self._count(values)
        names = [given.name for given in self._passed]
        memory = memory_in(names, values, out, self.target)
        if memory is not None:
            return self._call_there(memory, values, out)
        arrays = self._take(values)
        key = signature_by_value(values, self._specialised)
        if key is not None and all(_as_passed(v, a) for v, a in zip(values, arrays, strict=True)):
            numbers = [(at, self._passed[at].name) for at in plain_numbers(values)]
            call = self.prepare(numbers)
            self._calls.put(key, call)
            self._latest = call if call.is_direct else None
        return self.run(arrays, out)

    def _call_there(self, memory: DeviceMemory, values: tuple[object, ...], out: object) -> object:
        if memory is HOST:
            return on_host(self, values, out)
        for given, value in zip(self._passed, values, strict=True):
            if given.value is not None:
                _check_value(given, take(given.name, value, None))
            else:
                _check_spec(given, spec_there(given.name, value, given.spec.dtype))
        key = signature_by_value(values, self._specialised)
        if key is not None:
            self._calls.put(key, self.call_there)
        return run_there(self.call_there, values, out)

    def _count(self, values: tuple[object, ...]) -> None:
        if len(values) != len(self._passed):
            raise ArgumentError(
                f"{len(values)} arguments were given, but this executable takes "
                f"{len(self._passed)}: {', '.join(given.name for given in self._passed)}"
            )

    def _take(self, values: tuple[object, ...]) -> list[Array]:
        arrays: list[Array] = []
        for given, value in zip(self._passed, values, strict=True):
            array = take(given.name, value, None if given.value is not None else given.spec.dtype)
            _check(given, array)
            arrays.append(array)
        return arrays


@public
def load(path: str | PathLike[str], *, trust: bool = False) -> Executable:
    """Load an executable that ``Executable.save`` or ``Executable.export`` wrote.

    Args:
        path: The file, or the folder of a library.
        trust: Run the machine code of the file, if it was made by this version of tilec for this
            CPU, instead of compiling the Tile text of the file. Only for files that nobody else
            could have changed: their code can do whatever you can. A library has nothing but
            machine code, so it needs this.

    Returns:
        The executable.

    Raises:
        ArgumentError: something cannot be read, is damaged, or is no saved executable.
        TargetError: this machine lacks instructions that a library was compiled for.
        UserError: its program cannot be compiled here.
    """
    if Path(path).is_dir():
        from tilec.program import exported

        if not trust:
            raise ArgumentError(
                f"{path} is a folder with machine code, which can do whatever you can",
                help="if nobody else could have changed it: load(..., trust=True)",
            )
        library = exported.read(Path(path))
        return Executable(library.text, library.recipe, {}, library.engine)
    found = saved.read(Path(path), trust=trust)
    return Executable(found.text, found.recipe, found.bound, found.engine)


def plain_numbers(values: Sequence[object]) -> list[int]:
    """Positions of the arguments that are Python numbers."""
    return [at for at, value in enumerate(values) if type(value) in (bool, int, float)]


def _as_passed(value: object, array: Array) -> bool:
    """True unless the array is a copy: then the next call has to make one too."""
    return array is value or type(value) in (bool, int, float)


def _check(given: Argument, array: Array) -> None:
    if given.value is not None:
        _check_value(given, array)
    else:
        _check_spec(given, spec_of(array))


def _check_spec(given: Argument, spec: Spec) -> None:
    if spec.dtype != given.spec.dtype:
        raise TileTypeError(
            f"argument {given.name} has dtype {spec.dtype}, but this executable was compiled for "
            f"{given.spec.dtype}"
        )
    if spec.shape != given.spec.shape:
        raise ShapeError(
            f"argument {given.name} has shape {list(spec.shape)}, but this executable was "
            f"compiled for {list(given.spec.shape)}",
            help="call the function instead, which compiles for every shape",
        )
    if spec.strides != given.spec.strides:
        raise ArgumentError(
            f"argument {given.name} has strides {list(spec.strides)} (in elements), but this "
            f"executable was compiled for {list(given.spec.strides)}",
            help=f"pass numpy.ascontiguousarray({given.name}), or compile for its strides",
        )


def _check_value(given: Argument, array: Array) -> None:
    found: object = array.item() if array.ndim == 0 else array.shape
    if found != given.value:
        raise ArgumentError(
            f"argument {given.name} is {found}, but it is used as a size and this executable was "
            f"compiled for {given.value}",
            help="call the function instead, which compiles for every size",
        )
