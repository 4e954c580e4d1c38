"""``Function``: a Tile function that compiles itself for the arrays it is called with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilec.errors import ArgumentError
from tilec.options import Options, read_environment
from tilec.program.boundary import compiler_lock, public
from tilec.program.engine import engine
from tilec.program.executable import Executable, plain_numbers
from tilec.program.frontend import Frontend, frontend, function_names, read_source
from tilec.program.header import Parameter
from tilec.program.placed import (
    HostArraysCall,
    bare,
    memory_in,
    on_host,
    run_there,
    spec_there,
)
from tilec.program.recipe import Argument, Recipe
from tilec.records import dataclass
from tilec.runtime.arrays import take
from tilec.runtime.backend import DeviceMemory
from tilec.runtime.device import HOST, DeviceArray, memory_of
from tilec.runtime.dispatch import Call, Recent, signature, signature_by_value
from tilec.runtime.spec import Number, Spec, number_dtype
from tilec.runtime.stored import Known, elements, known_spec
from tilec.schedule.values import Schedule, as_schedule
from tilec.source import Source

if TYPE_CHECKING:
    from tilec.lang.finding import Lint
    from tilec.program.origin import Origin
    from tilec.program.pipeline import Observer
    from tilec.tensor.ir import Program

KEPT_SIGNATURES: Final = 256
"""How many signatures a function keeps code for in memory; those unused for longest go first."""

_TARGET_TYPES: Final = (str, type(None))
_NUMBER_TYPES: Final = (int, type(None))


@public
def function(source: str | PathLike[str] | Source, *, name: str | None = None) -> Function:
    """Parse and check a Tile function.

    Args:
        source: The text: one function or several, or a bare statement such as
            ``"C[i, j : M, N] = +(A[i, k] * B[k, j])"``, whose inputs and sizes are inferred. A
            path object (not a string) names a file to read.
        name: Which function of the text is meant; by default the last.

    Returns:
        The function. It compiles when it is called, for the shapes and dtypes it is called with.

    Raises:
        TileSyntaxError: the text is not Tile.
        UserError: the program is wrong in another way.
        ArgumentError: the text has no function ``name``, or the file cannot be read.

    Example:
        >>> import numpy as np
        >>> matmul = function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
        >>> matmul(np.eye(2, dtype=np.float32), np.ones((2, 3), np.float32)).shape
        (2, 3)
    """
    return Function(frontend(read_source(source), name), {})


@public
def functions(source: str | PathLike[str] | Source) -> tuple[Function, ...]:
    """Parse and check a text, and give every function of it, in order.

    Raises:
        UserError: the text is wrong, in whichever function.
    """
    text = read_source(source)
    return tuple(Function(frontend(text, name), {}) for name in function_names(text))


class Function:
    """A Tile function. Made by ``tilec.function``; safe to call from several threads at once."""

    def __init__(
        self,
        text: Frontend,
        bound: Mapping[str, Known],
        origin: Origin | None = None,
        gradient: Function | None = None,
        inner: Mapping[str, Function | None] | None = None,
    ) -> None:
        self._text = text
        self._bound = dict(bound)
        self._origin = origin
        self._gradient = gradient
        self._inner = dict(inner or {})
        header = text.header
        self._passed = tuple(each for each in header.inputs if each.name not in bound)
        self._names = tuple(each.name for each in self._passed)
        self._specialised = frozenset(
            at for at, each in enumerate(self._passed) if each.specialised
        )
        self._calls: Recent[Call] = Recent(KEPT_SIGNATURES)
        self._latest: Call | None = None
        self._executables: Recent[Executable] = Recent(KEPT_SIGNATURES)

    def __call__(
        self,
        *arrays: object,
        out: object = None,
        target: str | None = None,
        num_threads: int | None = None,
        schedule: Schedule | str | None = None,
        **named: object,
    ) -> Any:
        """Compile for these arrays, unless that has been done before, and run.

        NumPy arrays of any strides, objects with DLPack or a buffer, and, for inputs of rank 0,
        Python numbers. Nothing is copied unless it is not aligned or of foreign byte order.

        Args:
            *arrays: The inputs in the order of the header.
            out: Where the results go: an array, or several in a sequence or by name. It must not
                share memory with an input.
            target: What to run on; by default ``TILEC_TARGET``, else ``llvm``.
            num_threads: How many threads a kernel may use; by default all allowed cores.
            schedule: What some kernels do with their loops, as ``Executable.schedule`` gives it, or
                its text; by default what the cost model chooses.
            **named: Inputs by name.

        Returns:
            An array, or a named tuple of arrays when there are several outputs.

        Raises:
            UserError: an argument does not fit; nothing was written then.
        """
        values = arrays if not named else self._by_position(arrays, named)
        call = self._latest
        # Most calls are like the one before. Those that choose something look further.
        if call is not None and target is None and num_threads is None and schedule is None:
            if out is None:
                result = call.fresh(values)
                if result is not None:
                    return result
            elif call.fill(values, out):
                return out
        key = None if schedule is not None else self._key(values, target, num_threads)
        call = self._calls.get(key)
        if call is not None:
            if call.is_direct and target is None and num_threads is None:
                self._latest = call
            if out is not None:
                if call.write(values, out):
                    return out
            else:
                result = call(values)
                if result is not None:
                    return result
        wanted = None if schedule is None else as_schedule(schedule)
        return self._call_checked(arrays, out, _Choice(target, num_threads, wanted), named)

    @property
    def parts(self) -> Parts:
        """What the function was made of, for those who make another one of it."""
        return Parts(self._text, self._bound, self._origin, self._gradient, self._inner)

    @property
    def name(self) -> str | None:
        """The name in the text, or the one given to ``tilec.function``."""
        return self._text.header.name

    @property
    def inputs(self) -> tuple[Parameter, ...]:
        """The inputs that callers pass, in order."""
        return self._passed

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self._text.header.outputs

    @property
    def source(self) -> str:
        """The canonical text of the function and of those it calls."""
        return self._text.header.text

    @public
    def check(self, *specs: object, **named: object) -> tuple[Lint, ...]:
        """Look for what is legal but suspicious.

        Args:
            *specs: Arrays, specs or numbers as for ``compile``. Without any, some sizes are tried.
            **named: The same by name.

        Returns:
            The findings, in the order of the text.

        Raises:
            UserError: sizes do not fit together.
        """
        from tilec.program.lints import lints

        if self._passed and not specs and not named:
            return lints(self._text, None)
        return lints(self._text, self._recipe(self._arguments(specs, named), Options()))

    @public
    def bind(self, **constants: object) -> Function:
        """A function of the other inputs, with these known from now on.

        Whatever depends on them alone is computed once, before the first call for a shape. The
        arrays are copied here, and never again.

        Args:
            **constants: Arrays or numbers, by the names of inputs.

        Raises:
            ArgumentError: there is no such input.
        """
        known = {each.name: each for each in self._passed}
        for name in constants:
            if name not in known:
                raise ArgumentError(
                    f"there is no input {name!r} to bind in {self._title()}",
                    help=f"the inputs are {', '.join(known)}",
                )
        bound = dict(self._bound)
        for name, value in constants.items():
            array = np.array(take(name, value, known[name].dtype), order="C", copy=True)
            array.flags.writeable = False
            bound[name] = array
        return Function(self._text, bound, self._origin, self._gradient, self._inner)

    @public
    def with_grad(self, gradient: Function | None = None, **inner: Function) -> Function:
        """The same function with a gradient of its own, which ``tilec.grad`` will use.

        Args:
            gradient: A function of the inputs of this one and then a cotangent for each float
                output, which returns a gradient for each float input.
            **inner: The same for functions of the text that this one calls, by their names.

        Raises:
            ArgumentError: the number of inputs or outputs does not fit, or no such function is
                called.

        Example:
            >>> step = function("function (X[N]) -> (Y) { Y = round(X); }")
            >>> straight = function("function (X[N], DY[N]) -> (DX) { DX = DY; }")
            >>> rounded = step.with_grad(straight)
        """
        if gradient is not None and len(gradient.inputs) <= len(self._text.header.inputs):
            raise ArgumentError(
                f"a gradient of {self._title()} has more than {len(gradient.inputs)} inputs",
                help="they are the inputs of the function, then a cotangent for each float output",
            )
        for name in inner:
            if name not in self._text.checked.callees:
                raise ArgumentError(
                    f"{self._title()} calls no function {name!r}",
                    help=f"it calls {', '.join(self._text.checked.callees) or 'none'}",
                )
        known = {**self._inner, **inner}
        return Function(self._text, self._bound, self._origin, gradient or self._gradient, known)

    @public
    def compile(
        self,
        *specs: object,
        target: str | None = None,
        options: Options | None = None,
        schedule: Schedule | str | None = None,
        observe: Observer | None = None,
        **named: object,
    ) -> Executable:
        """Compile for arrays that need not exist yet.

        Args:
            *specs: For each input an array, a ``Spec`` or a number.
            target: What to compile for; goes before ``options.target``.
            options: The options; by default those of the environment.
            schedule: What some kernels do with their loops, as ``Executable.schedule`` gives it, or
                its text; the cost model chooses for the others.
            observe: Called after each pass; nothing is taken from a cache then.
            **named: The same by name.

        Raises:
            ScheduleError: the schedule cannot be read or followed; the message says why.
            UserError: sizes do not fit together, or the target cannot do it.
        """
        arguments = self._arguments(specs, named)
        if target is None and options is None:
            given = self._in_order(specs, named)
            memory = memory_in(self._names, given, None, None)
            target = None if memory is None or memory is HOST else memory.target
        wanted = None if schedule is None else as_schedule(schedule)
        return self._compile(arguments, _options(options, target, None), wanted, observe)

    @public
    def bound_program(self, *specs: object) -> Program:
        """The tensor program for some arguments, as it was written: no pass has run."""
        from tilec.program.compile import bound_program

        return bound_program(self._text, self._recipe(self._arguments(specs, {}), Options()))

    def recipe(self, *specs: object, options: Options | None = None, **named: object) -> Recipe:
        """What ``compile`` would compile, and how."""
        return self._recipe(self._arguments(specs, named), _options(options, None, None))

    def forget(self) -> None:
        """Look code up again at the next call: the store of tunings has changed."""
        self._latest = None
        self._calls = Recent(KEPT_SIGNATURES)
        self._executables = Recent(KEPT_SIGNATURES)

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self._passed))
        bound = f", with {', '.join(self._bound)} bound" if self._bound else ""
        return f"<tilec.Function {self.name or ''}({inputs}) -> ({', '.join(self.outputs)}){bound}>"

    def _key(
        self, values: tuple[object, ...], target: str | None, num_threads: int | None
    ) -> Hashable:
        """Under which a prepared call is kept; None when there is none for such arguments."""
        if len(values) != len(self._passed):
            return None
        if self._specialised:
            key = signature_by_value(values, self._specialised)
        else:
            key = signature(values)
        if key is None or (target is None and num_threads is None):
            return key
        if type(target) in _TARGET_TYPES and type(num_threads) in _NUMBER_TYPES:
            return key, target, num_threads
        return None

    def _by_position(
        self, arrays: tuple[object, ...], named: Mapping[str, object]
    ) -> tuple[object, ...]:
        """All arguments in the order of the header, or some when the names do not fit it."""
        names = self._names[len(arrays) :]
        if len(names) != len(named):
            return ()
        return (*arrays, *(named[name] for name in names if name in named))

    @public
    def _call_checked(
        self,
        given: tuple[object, ...],
        out: object,
        choice: _Choice,
        named: Mapping[str, object],
    ) -> object:
        values = self._in_order(given, named)
        memory = memory_in(self._names, values, out, choice.target)
        if memory is not None:
            return self._call_there(memory, values, out, choice)
        arrays = [
            take(each.name, value, each.dtype)
            for each, value in zip(self._passed, values, strict=True)
        ]
        arguments = tuple(
            _argument(each, array) for each, array in zip(self._passed, arrays, strict=True)
        )
        options = _options(None, choice.target, choice.num_threads)
        executable = self._executable(arguments, options, choice.schedule)
        numbers = plain_numbers(values)
        as_passed = all(
            array is value or at in numbers
            for at, (array, value) in enumerate(zip(arrays, values, strict=True))
        )
        known = as_passed and choice.schedule is None
        key = self._key(values, choice.target, choice.num_threads) if known else None
        if key is not None:
            self._calls.put(key, executable.prepare([(at, self._names[at]) for at in numbers]))
        return executable.run(arrays, out)

    def _call_there(
        self, memory: DeviceMemory, values: tuple[object, ...], out: object, choice: _Choice
    ) -> object:
        key = None if choice.schedule else self._key(values, choice.target, choice.num_threads)
        if memory is HOST:
            return self._call_on_host(key, values, out, choice)
        arguments = tuple(
            _argument(each, take(each.name, value, each.dtype))
            if each.specialised
            else Argument(each.name, spec_there(each.name, value, each.dtype))
            for each, value in zip(self._passed, values, strict=True)
        )
        options = _options(None, memory.target, choice.num_threads)
        call = self._executable(arguments, options, choice.schedule).call_there
        if key is not None:
            self._calls.put(key, call)
        return run_there(call, values, out)

    def _call_on_host(
        self, key: Hashable, values: tuple[object, ...], out: object, choice: _Choice
    ) -> object:
        target = choice.target or _host_target()
        chosen = partial(
            self, target=target, num_threads=choice.num_threads, schedule=choice.schedule
        )
        result = on_host(chosen, values, out)
        call = self._calls.get(self._key(bare(values), target, choice.num_threads))
        if key is not None and call is not None:
            self._calls.put(key, HostArraysCall(call))
        return result

    def _executable(
        self, arguments: tuple[Argument, ...], options: Options, schedule: Schedule | None
    ) -> Executable:
        key = (arguments, options, schedule)
        found = self._executables.get(key)
        if found is None:
            with compiler_lock():  # threads that ask for the same code wait for one compilation
                found = self._executables.get(key)
                if found is None:
                    found = self._compile(arguments, options, schedule, None)
                    self._executables.put(key, found)
        return found

    def _compile(
        self,
        arguments: Sequence[Argument],
        options: Options,
        schedule: Schedule | None,
        observe: Observer | None,
    ) -> Executable:
        recipe = replace(self._recipe(arguments, options), schedule=schedule)
        if self._origin is not None:
            self._origin.accept(recipe.arguments)
            if options.debug:
                self._origin.check(recipe.arguments)
        made = engine(self._text, recipe, self._bound, observe)
        return Executable(self._text, recipe, self._bound, made)

    def _recipe(self, arguments: Sequence[Argument], options: Options) -> Recipe:
        """These inputs and those that are bound, in the order of the header."""
        passed = {given.name: given for given in arguments}
        everything = tuple(
            replace(_argument(each, self._bound[each.name]), bound=True)
            if each.name in self._bound
            else passed[each.name]
            for each in self._text.header.inputs
        )
        return Recipe(self._text.source, self._text.wanted, everything, options)

    def _arguments(
        self, given: tuple[object, ...], named: Mapping[str, object]
    ) -> tuple[Argument, ...]:
        values = self._in_order(given, named)
        return tuple(
            Argument(each.name, _plain_spec(each, value))
            if isinstance(value, Spec)
            else Argument(each.name, value.spec)
            if isinstance(value, DeviceArray) and not each.specialised
            else _argument(each, take(each.name, value, each.dtype))
            for each, value in zip(self._passed, values, strict=True)
        )

    def _in_order(
        self, given: tuple[object, ...], named: Mapping[str, object]
    ) -> tuple[object, ...]:
        """The arguments in the order of the header."""
        names = [each.name for each in self._passed]
        if len(given) > len(names):
            raise ArgumentError(
                f"{self._title()} takes {_count(len(names))}, but {len(given)} were given",
                help=f"the inputs are {', '.join(names) or 'none'}",
            )
        values = dict(zip(names, given, strict=False))
        for name, value in named.items():
            if name in values:
                raise ArgumentError(f"{self._title()} got the argument {name} twice")
            if name not in names:
                raise ArgumentError(
                    f"{self._title()} has no input {name!r}",
                    help="it is bound already"
                    if name in self._bound
                    else f"the inputs are {', '.join(names) or 'none'}",
                )
            values[name] = value
        missing = [name for name in names if name not in values]
        if missing:
            raise ArgumentError(
                f"{self._title()} takes {_count(len(names))}, but {' and '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing",
                help=f"the inputs are {', '.join(names)}",
            )
        return tuple(values[name] for name in names)

    def _title(self) -> str:
        return self.name or "the function"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a function is made of.

    Attributes:
        text: The text and which function of it.
        bound: The arrays that are known.
        origin: What it was derived from, if it was.
        gradient: The gradient that was given for it, if one was.
        inner: Those that were given for functions that it calls; None for one in Python.
    """

    text: Frontend
    bound: Mapping[str, Known]
    origin: Origin | None
    gradient: Function | None
    inner: Mapping[str, Function | None]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a call says about its compilation."""

    target: str | None = None
    num_threads: int | None = None
    schedule: Schedule | None = None


def _count(number: int) -> str:
    return f"{number} argument{'' if number == 1 else 's'}"


def _argument(each: Parameter, known: Known) -> Argument:
    if not each.specialised:
        return Argument(each.name, known_spec(known))
    array = elements(known)
    if array.ndim != 0:
        raise ArgumentError(
            f"argument {each.name} is used as a size, but it has {array.ndim} axes",
            help="pass an integer",
        )
    # Whatever dtype it came in, equal sizes give equal code.
    value: Number = array.item()
    return Argument(each.name, Spec((), number_dtype(each.name, value)), value)


def _plain_spec(each: Parameter, spec: Spec) -> Spec:
    if each.specialised:
        raise ArgumentError(
            f"argument {each.name} is used as a size, so its value is needed",
            help="pass an integer instead of a spec",
        )
    return spec


def _host_target() -> str | None:
    """What to run on where arrays lie on the processor and the default target is a device."""
    return None if memory_of(read_environment().target) is HOST else Options().target


def _options(options: Options | None, target: str | None, num_threads: int | None) -> Options:
    found = read_environment().options if options is None else options
    if target is not None:
        if type(target) not in _TARGET_TYPES:
            raise ArgumentError(f"target is {target!r}; it is the name of a target")
        found = replace(found, target=target)
    if num_threads is not None:
        if type(num_threads) not in _NUMBER_TYPES or num_threads < 1:
            raise ArgumentError(f"num_threads is {num_threads!r}; it is an integer from 1")
        found = replace(found, num_threads=num_threads)
    return found
