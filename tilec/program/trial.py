"""The child process of the tuner: compiles one kernel under several schedules and runs it.

It reads commands from its standard input and answers on its standard output, a line of JSON each.
Whatever happens to it, its parent goes on: a kernel that crashes or hangs takes only the child with
it. The first schedule that is admitted is the model's; results of others are compared with its.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any, Final, TextIO, cast

import numpy as np

from tilec.dtypes import BF16, F16, F32, F64, DType
from tilec.errors import ArgumentError, TilecError
from tilec.kernel.ir import Buffer, Module
from tilec.lower.sharing import SHARE
from tilec.program import pipeline
from tilec.program.boundary import compiler_lock
from tilec.program.frontend import Frontend
from tilec.program.function import Function
from tilec.program.pipeline import Built, Hook, Part
from tilec.program.recipe import Recipe
from tilec.program.shrink import fill
from tilec.program.written import recipe_from_manifest
from tilec.records import dataclass
from tilec.runtime.arrays import Array, numpy_dtype
from tilec.runtime.backend import DeviceRunner, Runner, find_backend
from tilec.runtime.cache import digest
from tilec.runtime.spec import Spec
from tilec.schedule.values import Schedule, parse_kernel

_SAMPLE_SECONDS: Final = 5e-4
"""Length of one sample, at least: short calls are timed several at a time."""

_WARM_SECONDS: Final = 5e-3
"""Calls up to this length run once before each sample: the caches are their own then."""

_QUICK_RUNS: Final = 3

_LONG_SECONDS: Final = 1.0
"""A call of this length is not repeated for a first look."""

_ROUNDING: Final = 64
"""Units in the last place by which two sums may differ, times the root of their terms."""

_EPSILON: Final[Mapping[DType, float]] = {F16: 2**-10, BF16: 2**-7, F32: 2**-23, F64: 2**-52}

_CHEAP_FLOPS: Final = 1 << 22
"""Arithmetic of a program up to which the reference runs it, too."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kernel under one schedule, loaded, and its arrays, which must not go before it."""

    runner: Runner
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    given: tuple[int, ...]
    taken: tuple[int, ...]


class Trial:
    """One kernel of one program, and its candidates.

    Attributes:
        text: The program.
        recipe: What it is compiled for.
        kernel: Name of the kernel.
        seed: Of the numbers that it runs on.
    """

    def __init__(self, text: Frontend, recipe: Recipe, kernel: str, seed: int) -> None:
        self.text = text
        # Each kernel by itself: what a shared one reads are the buffers of its first call.
        disable = (*recipe.options.disable, SHARE)
        self.recipe = replace(recipe, options=replace(recipe.options, disable=disable))
        self.kernel = kernel
        self.seed = seed
        self._backend = find_backend(recipe.options.target)
        self._candidates: dict[int, Candidate] = {}
        self._arrays: dict[Buffer, Array] = {}
        self._wanted: dict[str, Array] | None = None
        self._terms = 1.0
        self._values = frozenset[str]()
        self._others = frozenset[str]()

    def admit(self, number: int, schedule: str) -> float:
        """Compile a schedule, compare its results, and give the seconds of a run.

        Raises:
            TilecError: the schedule cannot be followed, or its results are wrong.
        """
        wanted = {**(self.recipe.schedule or {}), self.kernel: parse_kernel(schedule)}
        built = _build(self.text, replace(self.recipe, schedule=Schedule.of(wanted)))
        if self._wanted is None:
            self._look_at(built)
        own = family(built.main.module, self.kernel, self._others, self._values)
        module = alone(built.main.module, own)
        inputs = self._inputs(built, module)
        outputs = [self._array(buffer) for buffer in module.outputs]
        runner = self._load(module)
        given = [_address(*pair) for pair in zip(inputs, module.inputs, strict=True)]
        taken = [_address(*pair) for pair in zip(outputs, module.outputs, strict=True)]
        found = Candidate(runner, tuple(inputs), tuple(outputs), tuple(given), tuple(taken))
        seconds = self._check(found, module)
        self._candidates[number] = found
        if isinstance(found.runner, DeviceRunner):
            seconds = self._run(found)  # drivers compile in the first call
        if seconds > _LONG_SECONDS:
            return seconds
        return min(self._run(found) for _ in range(_QUICK_RUNS))

    def compare(self, numbers: Sequence[int], rounds: int) -> list[list[float]]:
        """Seconds of some candidates, which take turns in each round."""
        found: list[list[float]] = [[] for _ in numbers]
        for turn in range(rounds):
            for at in range(len(numbers)):
                who = (at + turn) % len(numbers)  # nobody is always the first
                found[who].append(self._sample(self._candidates[numbers[who]]))
        return found

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget candidates."""
        for number in numbers:
            self._candidates.pop(number, None)

    def confirm(self, schedule: str) -> None:
        """Run the whole program under a schedule of several kernels.

        Raises:
            TilecError: its results differ from those without it, or from the reference's.
        """
        random = np.random.default_rng(self.seed)
        values = {
            each.name: _strided(each.spec, random) if each.value is None else each.value
            for each in self.recipe.arguments
        }
        bound = {each.name for each in self.recipe.arguments if each.bound}
        function = Function(self.text, {}).bind(**{name: values[name] for name in bound})
        passed = [value for name, value in values.items() if name not in bound]
        options = self.recipe.options

        best = {**(self.recipe.schedule or {}), **Schedule.parse(schedule)}

        def results(target: str, wanted: Schedule | None) -> list[Array]:
            chosen = replace(options, target=target)
            made = function.compile(*passed, options=chosen, schedule=wanted)
            out = [np.empty(spec.shape, numpy_dtype(spec.dtype)) for _, spec in made.outputs]
            made(*passed, out=out)
            return out

        parts = _build(self.text, self.recipe).main
        flops = sum(each.flops for each in parts.decisions)
        terms = flops / max(1, sum(buffer.high for buffer in parts.module.outputs))
        outcome = results(options.target, Schedule.of(best))
        oracles = [results(options.target, None)]
        if flops <= _CHEAP_FLOPS:
            oracles.append(results("reference", None))
        for oracle in oracles:
            for output, buffer, right in zip(outcome, parts.module.outputs, oracle, strict=True):
                if not _agree(output, right, buffer.type.dtype, terms):
                    raise ArgumentError(f"the results {buffer.name} of the whole program are wrong")

    def _look_at(self, built: Built) -> None:
        """Take note of the first schedule: candidates are to compute what its kernel does."""
        with compiler_lock():
            hook = Hook(lambda event: None, debug=False)
            program = pipeline.rewrite(
                pipeline.bind(self.text, self.recipe, hook), self.recipe, hook
            )
        self._values = frozenset(
            (*program.types(), *(each.name for each in built.main.module.outputs))
        )
        self._others = frozenset(built.main.module.called())
        kernel = built.main.module.called()[self.kernel]
        size = sum(buffer.high - buffer.low for buffer in kernel.params if buffer.writable)
        own = family(built.main.module, self.kernel, self._others, self._values)
        flops = sum(each.flops for each in built.main.decisions if each.kernel in own)
        self._terms = flops / max(1, size)

    def _check(self, found: Candidate, module: Module) -> float:
        """Compare results with those of the first schedule; the seconds of the call."""
        written = {buffer.name: buffer for buffer in module.outputs}
        for buffer, array in zip(module.outputs, found.outputs, strict=True):
            array[...] = self._made(buffer)  # what is not written is not right by chance
        seconds = self._run(found)
        results = {
            name: array
            for name, array in zip(written, found.outputs, strict=True)
            if name in self._values
        }
        if self._wanted is None:
            self._wanted = {name: array.copy() for name, array in results.items()}
        for name, wanted in self._wanted.items():
            if name not in results:
                raise ArgumentError(f"the results {name} are missing")
            if not _agree(results[name], wanted, written[name].type.dtype, self._terms):
                raise ArgumentError(f"the results {name} differ from those of the first schedule")
        return seconds

    def _inputs(self, built: Built, module: Module) -> list[Array]:
        """Made-up numbers; panels are made of made-up constants."""
        names = {buffer.name for buffer in module.inputs}
        computed: dict[str, Array] = {}
        for part in built.once:
            if names & {output.name for output in part.program.outputs}:
                computed.update(self._once(part))
        return [
            computed[buffer.name] if buffer.name in computed else self._array(buffer)
            for buffer in module.inputs
        ]

    def _once(self, part: Part) -> dict[str, Array]:
        """What is computed before the first call."""
        module = part.module
        arrays = [self._made(buffer) for buffer in module.outputs]
        given = [_address(self._array(buffer), buffer) for buffer in module.inputs]
        taken = [_address(*pair) for pair in zip(arrays, module.outputs, strict=True)]
        self._load(module).run(given, taken, self.recipe.options.num_threads)
        names = (output.name for output in part.program.outputs)
        return dict(zip(names, arrays, strict=True))

    def _load(self, module: Module) -> Runner:
        with compiler_lock():
            code = self._backend.compile(module, self.recipe.options)
        return self._backend.load(code, module.name, module.workspace_bytes)

    def _array(self, buffer: Buffer) -> Array:
        """The array of a buffer; that of its name and size, whatever the schedule."""
        key = replace(buffer, writable=False)
        if key not in self._arrays:
            self._arrays[key] = self._made(buffer)
        return self._arrays[key]

    def _made(self, buffer: Buffer) -> Array:
        seed = int(digest(str(self.seed), buffer.name)[:16], 16)
        spec = Spec((max(1, buffer.high - buffer.low),), buffer.type.dtype)
        return _aligned(fill(spec, np.random.default_rng(seed)))

    def _run(self, candidate: Candidate) -> float:
        started = time.perf_counter()
        candidate.runner.run(candidate.given, candidate.taken, self.recipe.options.num_threads)
        return time.perf_counter() - started

    def _sample(self, candidate: Candidate) -> float:
        """Seconds of a call, the mean over one sample."""
        once = self._run(candidate)
        if once > _WARM_SECONDS:
            return once
        once = self._run(candidate)
        count = max(1, int(_SAMPLE_SECONDS / max(once, 1e-9)))
        run, given, taken = candidate.runner.run, candidate.given, candidate.taken
        threads = self.recipe.options.num_threads
        started = time.perf_counter()
        for _ in range(count):
            run(given, taken, threads)
        return (time.perf_counter() - started) / count


def family(
    module: Module, name: str, others: frozenset[str], values: frozenset[str]
) -> frozenset[str]:
    """A kernel, and those that compute for it what it needs by its method alone.

    Args:
        module: The kernels.
        name: The kernel.
        others: The kernels under the first schedule.
        values: Values of the program; what a method writes out beside them is its own.
    """
    found = {name}
    while True:
        read = {b.name for k in module.kernels if k.name in found for b in k.params}
        more = {
            kernel.name
            for kernel in module.kernels
            for made in [{each.name for each in kernel.params if each.writable}]
            if made & read and (kernel.name not in others or not made & values)
        }
        if more <= found:
            return frozenset(found)
        found |= more


def alone(module: Module, names: frozenset[str]) -> Module:
    """Some kernels as a module: what they read is an input, what they write an output."""
    kernels = tuple(each for each in module.kernels if each.name in names)
    buffers: dict[str, Buffer] = {}
    for buffer in (each for kernel in kernels for each in kernel.params):
        if buffer.name not in buffers or buffer.writable:
            buffers[buffer.name] = buffer
    constants = tuple(each for each in module.constants if each.buffer.name in buffers)
    held = {each.buffer.name for each in constants}
    return replace(
        module,
        inputs=tuple(b for b in buffers.values() if not b.writable and b.name not in held),
        outputs=tuple(buffer for buffer in buffers.values() if buffer.writable),
        temporaries=(),
        views=(),
        constants=constants,
        workspace_bytes=0,
        kernels=kernels,
        calls=tuple(call for call in module.calls if call.kernel in names),
    )


def _agree(found: Array, wanted: Array, dtype: DType, terms: float) -> bool:
    """Whether two results are the same but for the order of their sums."""
    if not dtype.is_float:
        return bool(np.array_equal(found, wanted))
    one, other = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return False
    scale = np.abs(other[finite]).max(initial=0.0)
    sums = _EPSILON[F64 if dtype == F64 else F32] * _ROUNDING * sqrt(max(1.0, terms))
    return bool((np.abs(one - other)[finite] <= (4 * _EPSILON[dtype] + sums) * scale).all())


def _build(text: Frontend, recipe: Recipe) -> Built:
    with compiler_lock():
        return pipeline.build(text, recipe, Hook(lambda event: None, recipe.options.debug))


def _address(array: Array, buffer: Buffer) -> int:
    return array.ctypes.data - buffer.low * array.itemsize


def _aligned(values: Array) -> Array:
    """A copy that begins at a page: no schedule has better luck than another."""
    page = 4096
    memory = np.empty(values.nbytes + page, np.uint8)
    first = -memory.ctypes.data % page
    array = memory[first : first + values.nbytes].view(values.dtype)
    array[...] = values
    return array


def _strided(spec: Spec, random: np.random.Generator) -> Array:
    """Made-up numbers in an array of given strides."""
    reach = [(size - 1) * step for size, step in zip(spec.shape, spec.strides, strict=True)]
    if 0 in spec.shape:
        return fill(spec, random)
    low = sum(min(0, each) for each in reach)
    flat = fill(Spec((sum(map(abs, reach)) + 1,), spec.dtype), random)
    steps = [step * flat.itemsize for step in spec.strides]
    return np.lib.stride_tricks.as_strided(flat[-low:], spec.shape, steps)


def serve(commands: TextIO, answers: TextIO) -> None:
    """Answer commands until there are no more."""
    trial: Trial | None = None
    for line in commands:
        command = cast("dict[str, Any]", json.loads(line))
        # Should the parent be gone, nobody else ends a kernel that hangs.
        faulthandler.dump_traceback_later(command["limit"], exit=True, file=sys.stderr)
        try:
            if command["do"] == "open":
                text, recipe = recipe_from_manifest(command["recipe"])
                options = replace(recipe.options, num_threads=command["threads"], tuned=False)
                recipe = replace(recipe, options=options)
                trial = Trial(text, recipe, command["kernel"], command["seed"])
                result: object = None
            else:
                assert trial is not None
                result = getattr(trial, command["do"])(*command["with"])
            answer: dict[str, object] = {"result": result}
        except TilecError as error:
            answer = {"refused": error.message}
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Serve the parent; what code prints meanwhile goes nowhere."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers)
