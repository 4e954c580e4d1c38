"""What stands behind an executable: generated code, or the reference evaluator."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from keyword import iskeyword
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from tilec.errors import TargetError
from tilec.program.boundary import compiler_lock
from tilec.program.code import Code, Compiled, Facts, KernelFacts
from tilec.program.compile import bound_program, built, compiled
from tilec.program.frontend import Frontend
from tilec.program.recipe import Argument, Recipe
from tilec.runtime.arrays import Array, addresses_of, allocate, number_array, numpy_dtype
from tilec.runtime.backend import Backend, DeviceRunner, Direct, DirectRunner, find_backend
from tilec.runtime.device import memory_of
from tilec.runtime.device_call import DeviceCall
from tilec.runtime.dispatch import Call, HostCall, MakeResult, NativeCall, Run
from tilec.runtime.outputs import Destination, Result
from tilec.runtime.spec import Spec
from tilec.runtime.stored import Known, Stored, elements, known_spec

if TYPE_CHECKING:
    from tilec.kernel.ir import Module
    from tilec.program.pipeline import Built, Observer
    from tilec.tensor.ir import Program

Numbers = Sequence[tuple[int, str]]


class Engine(Protocol):
    """A way to run one recipe."""

    @property
    def outputs(self) -> tuple[tuple[str, Spec], ...]:
        """Name and type of each output."""
        ...

    @property
    def kernels(self) -> tuple[KernelFacts, ...]:
        """The kernels of a call, in order."""
        ...

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the texts that there are below the Tile text."""
        ...

    @property
    def workspace_bytes(self) -> int:
        """Scratch memory of one call."""
        ...

    @property
    def temporaries(self) -> tuple[int, ...]:
        """Bytes of each intermediate result that one kernel leaves for another."""
        ...

    @property
    def constants_bytes(self) -> int:
        """Memory of what is known beforehand."""
        ...

    @property
    def held_bytes(self) -> int:
        """Memory of bound arrays that is not that of constants."""
        ...

    @property
    def reading_bytes(self) -> int:
        """Memory for stored arrays while constants are computed."""
        ...

    def source(self, stage: str) -> str:
        """One of the texts."""
        ...

    def call(self, numbers: Numbers) -> HostCall:
        """A prepared call; ``numbers`` are positions and names of plain Python numbers."""
        ...

    def call_there(self) -> Call:
        """A prepared call on arrays of the device."""
        ...


def engine(
    frontend: Frontend, recipe: Recipe, bound: Mapping[str, Known], observe: Observer | None
) -> Engine:
    """Compile a recipe for the target that its options name.

    Args:
        frontend: The function.
        recipe: What to compile it for.
        bound: The arrays that are known now, by name.
        observe: Told about each pass, if given.
    """
    if recipe.options.target == "reference":
        return ReferenceEngine(frontend, recipe, bound)
    backend = find_backend(recipe.options.target)
    code = compiled(frontend, recipe, backend, observe)
    return NativeEngine(frontend, recipe, bound, backend, code)


class NativeEngine:
    """Code that a backend made."""

    def __init__(
        self,
        frontend: Frontend,
        recipe: Recipe,
        bound: Mapping[str, Known],
        backend: Backend,
        code: Compiled,
    ) -> None:
        self.code = code
        self._frontend = frontend
        self._recipe = recipe
        self._bound = bound
        self._backend = backend
        self._lock = Lock()
        self._constants: tuple[Array, ...] | None = None

    @property
    def outputs(self) -> tuple[tuple[str, Spec], ...]:
        """See ``Engine``."""
        return self.code.main.facts.outputs

    @property
    def kernels(self) -> tuple[KernelFacts, ...]:
        """See ``Engine``."""
        return self.code.main.facts.kernels

    @property
    def stages(self) -> tuple[str, ...]:
        """See ``Engine``."""
        return ("tensor", "kernel", *self._backend.stages)

    @property
    def workspace_bytes(self) -> int:
        """See ``Engine``."""
        facts = self.code.main.facts
        return facts.workspace_bytes + facts.scratch_bytes

    @property
    def temporaries(self) -> tuple[int, ...]:
        """See ``Engine``."""
        return self.code.main.facts.temporaries

    @property
    def constants_bytes(self) -> int:
        """See ``Engine``."""
        kept = self.code.main.facts.constants_bytes
        held = {given.name: given.spec.bytes for given in self._recipe.arguments}
        for once in self.code.once:
            held.update((name, spec.bytes) for name, spec in once.facts.outputs)
        return kept + sum(held[name] for name in self.code.main.facts.constants)

    @property
    def held_bytes(self) -> int:
        """See ``Engine``."""
        kept = {*self.code.main.facts.constants}
        return sum(
            known_spec(known).bytes
            for name, known in self._bound.items()
            if name not in kept and not isinstance(known, Stored)
        )

    @property
    def reading_bytes(self) -> int:
        """See ``Engine``."""
        read = [
            [known for name in part.facts.inputs if isinstance(known := self._bound[name], Stored)]
            for part in self.code.once
        ]
        return max((sum(known.spec.bytes for known in part) for part in read), default=0)

    def source(self, stage: str) -> str:
        """See ``Engine``. The compiler runs again: code alone has no texts."""
        from tilec.kernel.printer import print_module
        from tilec.tensor.printer import print_program

        forms = self._built
        match stage:
            case "tensor":
                return print_program(forms.program)
            case "kernel":
                return "\n".join(print_module(part.module) for part in forms.parts)
            case _:
                texts = [
                    self._backend.text(part.module, stage, self._recipe.options)
                    for part in forms.parts
                ]
                return "\n".join(texts)

    def call(self, numbers: Numbers) -> HostCall:
        """See ``Engine``."""
        facts = self.code.main.facts
        passed = [given for given in self._recipe.arguments if not given.bound]
        names = [given.name for given in passed]
        constants, inputs = self._constant_arrays(), [given.spec for given in passed]
        is_direct = not numbers and list(facts.inputs) == names
        return NativeCall(
            self._run(self.code.main),
            inputs=inputs,
            numbers=numbers,
            order=[names.index(name) for name in facts.inputs],
            constants=constants,
            results=results(facts.outputs),
            make=result_maker(self._frontend.header.name, facts.outputs),
            direct=self._direct(inputs, constants) if is_direct else None,
        )

    def call_there(self) -> Call:
        """See ``Engine``."""
        facts, runner = self.code.main.facts, self.code.main.runner()
        target = self._recipe.options.target
        if not isinstance(runner, DeviceRunner):
            raise TargetError(
                f"the target {target} keeps no arrays on its device", help="pass NumPy arrays"
            )
        passed = [given for given in self._recipe.arguments if not given.bound]
        names = [given.name for given in passed]
        return DeviceCall(
            runner,
            memory_of(target),
            inputs=[(given.name, given.spec) for given in passed],
            order=[names.index(name) for name in facts.inputs],
            constants=self._constant_arrays(),
            outputs=facts.outputs,
            make=result_maker(self._frontend.header.name, facts.outputs),
        )

    def final(self) -> tuple[Module, Facts, tuple[Array, ...]]:
        """What runs at each call, what is known of it, and its constants in their last form.

        For another processor they are laid out as that one wants them, by code for this one.
        """
        from tilec.program import pipeline

        forms, options = self._built, self._recipe.options
        facts = pipeline.facts_of(forms.main, forms.constants, options)
        if options.cpu is None and forms.said == self.code.said:
            return forms.main.module, facts, self._constant_arrays()
        here, hook = replace(options, cpu=None), pipeline.Hook(lambda _: None, False)
        with compiler_lock():
            once = [pipeline.code_of(each, (), here, self._backend, hook) for each in forms.once]
        return forms.main.module, facts, self._computed(once, facts.constants)

    def _direct(self, inputs: Sequence[Spec], constants: Sequence[Array]) -> Direct | None:
        """What runs the code on array objects, if the backend can do that."""
        runner = self.code.main.runner()
        if any(given.value is not None for given in self._recipe.arguments):
            return None  # a size counts by its value, which has to be looked at
        if not isinstance(runner, DirectRunner):
            return None
        outputs = [spec for _, spec in self.code.main.facts.outputs]
        threads = self._recipe.options.num_threads
        return runner.direct(inputs, addresses_of(constants), outputs, threads)

    def _run(self, code: Code) -> Run:
        run = code.runner().run
        threads = self._recipe.options.num_threads
        return run if threads is None else partial(run, num_threads=threads)

    @cached_property
    def _built(self) -> Built:
        return built(self._frontend, self._recipe)

    def _constant_arrays(self) -> tuple[Array, ...]:
        """What follows the callers' arrays; computed when it is first needed, once."""
        with self._lock:
            if self._constants is None:
                names = self.code.main.facts.constants
                self._constants = self._computed(self.code.once, names)
            return self._constants

    def _computed(self, parts: Sequence[Code], names: Sequence[str]) -> tuple[Array, ...]:
        """Constants, by name; what they are made of is read part by part, and not kept."""
        known: dict[str, Array] = {}
        for once in parts:
            known.update(self._compute(once))
        return tuple(
            known[name] if name in known else elements(self._bound[name]) for name in names
        )

    def _compute(self, once: Code) -> dict[str, Array]:
        expected = results(once.facts.outputs)
        arrays = [allocate(result.shape, result.dtype) for result in expected]
        given = [elements(self._bound[name]) for name in once.facts.inputs]
        call = NativeCall(
            self._run(once),
            inputs=[],
            numbers=(),
            order=(),
            constants=given,
            results=expected,
            make=None,
        )
        call.into((), [Destination(array, array, array) for array in arrays])
        return {result.name: array for result, array in zip(expected, arrays, strict=True)}


class ReferenceEngine:
    """The reference evaluator. It has no code, no kernels and keeps nothing on disk."""

    def __init__(self, frontend: Frontend, recipe: Recipe, bound: Mapping[str, Known]) -> None:
        self._frontend = frontend
        self._recipe = recipe
        self._bound = bound
        self._program: Program = bound_program(frontend, recipe)

    @property
    def outputs(self) -> tuple[tuple[str, Spec], ...]:
        """See ``Engine``."""
        from tilec.tensor.size import concrete

        types = self._program.types()
        named = [(output.name, types[output.value]) for output in self._program.outputs]
        return tuple((name, Spec(concrete(kind.shape), kind.dtype)) for name, kind in named)

    kernels: tuple[KernelFacts, ...] = ()
    stages: tuple[str, ...] = ("tensor",)
    workspace_bytes: int = 0
    temporaries: tuple[int, ...] = ()
    held_bytes: int = 0
    reading_bytes: int = 0

    @property
    def constants_bytes(self) -> int:
        """See ``Engine``."""
        return sum(known_spec(known).bytes for known in self._bound.values())

    def source(self, stage: str) -> str:
        """See ``Engine``."""
        from tilec.tensor.printer import print_program

        assert stage == "tensor"
        return print_program(self._program)

    def call(self, numbers: Numbers) -> HostCall:
        """See ``Engine``."""
        passed = [given for given in self._recipe.arguments if not given.bound]
        make = result_maker(self._frontend.header.name, self.outputs)
        return ReferenceCall(
            self._program, passed, self._bound, numbers, results(self.outputs), make
        )

    def call_there(self) -> Call:
        """See ``Engine``. Arrays of the processor are NumPy arrays before they come here."""
        raise TargetError("the target reference works on arrays of the processor")


class ReferenceCall:
    """A ``Call`` of the reference evaluator."""

    def __init__(
        self,
        program: Program,
        passed: Sequence[Argument],
        bound: Mapping[str, Known],
        numbers: Numbers,
        expected: Sequence[Result],
        make: MakeResult | None,
    ) -> None:
        self._program = program
        self._passed = tuple(passed)
        self._bound = {name: elements(known) for name, known in bound.items()}
        self._numbers = dict(numbers)
        self._expected = tuple(expected)
        self._make = make

    def __call__(self, values: tuple[object, ...]) -> object:
        """See ``Call``."""
        arrays = [self._array(at, value) for at, value in enumerate(values)]
        found = [np.array(array) for array in self._evaluate(arrays)]
        return found[0] if self._make is None else self._make(*found)

    is_direct = False

    def fresh(self, values: tuple[object, ...]) -> object:
        """See ``Call``."""
        return None

    def fill(self, values: tuple[object, ...], out: object) -> bool:
        """See ``Call``."""
        return False

    def write(self, values: tuple[object, ...], out: object) -> bool:
        """See ``Call``. The closer look costs nothing here."""
        return False

    def into(self, values: Sequence[Array], destinations: Sequence[Destination]) -> None:
        """See ``Call``."""
        for destination, array in zip(destinations, self._evaluate(values), strict=True):
            destination.written[...] = array

    def _array(self, at: int, value: object) -> Array:
        if at not in self._numbers:
            return cast("Array", value)
        given = self._passed[at]
        return number_array(given.name, cast("float", value), given.spec.dtype)

    def _evaluate(self, values: Sequence[Array]) -> list[Array]:
        from tilec.tensor.evaluate import evaluate

        arrays = dict(self._bound)
        arrays.update((g.name, v) for g, v in zip(self._passed, values, strict=True))
        found = evaluate(self._program, arrays)
        return [found[each.name].astype(each.dtype, copy=False) for each in self._expected]


def results(outputs: Sequence[tuple[str, Spec]]) -> list[Result]:
    """Outputs in NumPy's terms."""
    return [Result(name, spec.shape, numpy_dtype(spec.dtype)) for name, spec in outputs]


def result_maker(function: str | None, outputs: Sequence[tuple[str, Spec]]) -> MakeResult | None:
    """What makes the result of a call from several arrays; None when there is only one."""
    if len(outputs) == 1:
        return None
    return _result_type(function or "Result", tuple(name for name, _ in outputs))


@cache
def _result_type(name: str, fields: tuple[str, ...]) -> MakeResult:
    # A Tile name may end in a prime, and an output may be named twice; such a field is called by
    # its position, as in "_1". The names are not known before the program is, so nor are types.
    plain = name if name.isidentifier() and not iskeyword(name) else "Result"
    made = namedtuple(plain, fields, rename=True)  # noqa: PYI024 # pyright: ignore[reportUntypedNamedTuple]
    return cast("MakeResult", made)
