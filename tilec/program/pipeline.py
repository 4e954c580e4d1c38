"""The whole compiler as one list: text, syntax tree, tensor program, kernels, code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from tilec.errors import ArgumentError, ScheduleError
from tilec.kernel.ir import For, Kernel, LoopKind, Module, Scope
from tilec.kernel.printer import print_kernel, print_module
from tilec.kernel.verify import verify as verify_module
from tilec.kernel.walk import statements
from tilec.lang.lower import lower
from tilec.lower.ahead import Prepared, prepare
from tilec.lower.buffers import input_places
from tilec.lower.decide import Decision
from tilec.lower.join import joined
from tilec.lower.pipeline import PASSES as KERNEL_PASSES
from tilec.lower.pipeline import lower_program
from tilec.lower.translate import Place
from tilec.lower.views import VIEWS
from tilec.options import CONVOLUTIONS as CONVOLUTION_METHODS
from tilec.options import PRODUCTS as PRODUCT_METHODS
from tilec.options import Options
from tilec.program import findings
from tilec.program.code import Code, Compiled, Facts, KernelFacts
from tilec.program.convolutions import Methods, choose_methods
from tilec.program.findings import Said
from tilec.program.frontend import Frontend
from tilec.program.products import Products, choose_products
from tilec.program.progress import report
from tilec.program.recipe import Recipe
from tilec.records import dataclass
from tilec.rewrite.constants import Split, add_once, portions, split_constants
from tilec.rewrite.cse import ShareEqual
from tilec.rewrite.dead import DropDead
from tilec.rewrite.inline import Inline
from tilec.rewrite.layout import ChannelsLast
from tilec.rewrite.maps import Maps
from tilec.runtime.backend import Backend, find_backend
from tilec.runtime.spec import Spec
from tilec.schedule.values import Schedule
from tilec.target.core import Core
from tilec.tensor.ir import Program, TensorType
from tilec.tensor.printer import print_program
from tilec.tensor.size import concrete
from tilec.tensor.verify import verify as verify_program

REWRITES: Final = (
    DropDead.name,
    ShareEqual.name,
    Maps.name,
    Inline.name,
    ChannelsLast.name,
)
"""Names of the passes over the tensor IR, in order."""

CONVOLUTIONS: Final = "convolutions"
"""Name of the pass that chooses their methods."""

PRODUCTS: Final = "products"
"""Name of the pass that chooses the methods of products of matrices."""

PASSES: Final = (*REWRITES, PRODUCTS, CONVOLUTIONS, *KERNEL_PASSES)
"""Names that ``Options.disable`` accepts."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class PassEvent:
    """Something that the compiler has just done.

    Attributes:
        name: The pass, e.g. ``bind`` or ``vectorise``.
        subject: What it was applied to: the program, or one kernel by name.
        seconds: How long it took.
        text: Prints the result.
    """

    name: str
    subject: str
    seconds: float
    text: Callable[[], str]


Observer: TypeAlias = "Callable[[PassEvent], None]"


@dataclass(frozen=True, slots=True)
class Hook:
    """What happens after each pass: verify when debugging, then tell who observes."""

    observe: Observer
    debug: bool

    def step(
        self,
        name: str,
        subject: str,
        work: Callable[[], _Result],
        show: Callable[[_Result], str],
        verify: Callable[[_Result], None] | None = None,
    ) -> _Result:
        """Do the work of one pass."""
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        if self.debug and verify is not None:
            verify(result)
        self.observe(PassEvent(name, subject, seconds, lambda: show(result)))
        return result


@dataclass(slots=True)
class _KernelHook:
    """The hook in the form that the lowering of a module calls."""

    observe: Observer
    started: float = field(default_factory=time.perf_counter)

    def __call__(self, name: str, kernel: Kernel) -> None:
        now = time.perf_counter()
        event = PassEvent(name, kernel.name, now - self.started, lambda: print_kernel(kernel))
        self.observe(event)
        self.started = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor program, its kernels and how they were scheduled.

    ``methods`` are those of its convolutions; None where they were not looked at.
    """

    program: Program
    module: Module
    decisions: tuple[Decision, ...]
    methods: Methods | None


@dataclass(frozen=True, slots=True)
class Built:
    """Every form of a function on the way to code.

    Attributes:
        program: The tensor program, sizes bound.
        main: What runs at each call.
        once: What computes the constants of ``main``, some by each.
        constants: Names of those inputs of ``main`` that callers do not pass.
        said: What the store of tunings said of each kernel.
    """

    program: Program
    main: Part
    once: tuple[Part, ...]
    constants: tuple[str, ...]
    said: Said = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts in the order in which they run."""
        return (*self.once, self.main)


def bind(frontend: Frontend, recipe: Recipe, hook: Hook) -> Program:
    """The tensor program for the sizes of a recipe."""
    types = {
        given.name: TensorType(given.spec.dtype, given.spec.shape) for given in recipe.arguments
    }
    values = recipe.values()
    return hook.step(
        "bind",
        recipe.function or "program",
        partial(lower, frontend.checked, types, values),
        print_program,
        verify_program,
    )


def rewrite(program: Program, recipe: Recipe, hook: Hook) -> Program:
    """The program after the passes over the tensor IR."""
    bound = frozenset(given.name for given in recipe.arguments if given.bound)
    parts = VIEWS not in recipe.options.disable and core_of(recipe.options).takes_parts
    passes = (DropDead(), ShareEqual(), Maps(), Inline(bound, parts), ChannelsLast())
    for each in passes:
        if each.name not in recipe.options.disable:
            work = partial(each.apply, program)
            program = hook.step(each.name, program.name, work, print_program, verify_program)
    return program


def _strides(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Element strides of the arguments that are not contiguous."""
    return {
        given.name: given.spec.strides
        for given in recipe.arguments
        if not given.bound and not given.spec.is_row_major
    }


def _places(program: Program, recipe: Recipe) -> dict[str, Place]:
    """Where inputs lie, and values that are computed as parts of others."""
    joins = joined(program, core_of(recipe.options), recipe.options.disable)
    return {**input_places(program, _strides(recipe)), **joins.places()}


def lower_kernels(
    program: Program,
    recipe: Recipe,
    hook: Hook,
    panels: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
    methods: Methods | None = None,
) -> Part:
    """The kernels of a program.

    ``panels`` are its inputs that hold packed operands, ``methods`` those of its convolutions.
    """
    decisions: list[Decision] = []
    work = partial(
        lower_program,
        program,
        _strides(recipe),
        panels=panels,
        core=core_of(recipe.options),
        disable=recipe.options.disable,
        schedule=schedule,
        workspace_bytes=recipe.options.workspace_bytes,
        observe=_KernelHook(hook.observe),
        decide=decisions.append,
        transforms=None if methods is None else methods.transforms,
        rewritten=None if methods is None else methods.rewritten,
        progress=partial(report, "kernels"),
    )
    module = hook.step("module", program.name, work, print_module, verify_module)
    return Part(program, module, tuple(decisions), methods)


def build(frontend: Frontend, recipe: Recipe, hook: Hook) -> Built:
    """Everything up to the kernels, with the schedules that the tuner found for them."""
    _check_names(recipe.options)
    program = rewrite(bind(frontend, recipe, hook), recipe, hook)
    if not findings.are_there(recipe.options):
        found = _kernels(program, recipe, hook)
        return replace(found, said=findings.ask(_keys(found, recipe), recipe.options))
    # What the kernels are is known once there are some; most are built as they will be, again.
    first = _kernels(program, recipe, Hook(lambda event: None, debug=False))
    keys = _keys(first, recipe)
    said = findings.ask(keys, recipe.options)
    known = set(keys)
    while True:
        schedule = findings.schedule(keys, said, recipe.schedule)
        try:
            found = _kernels(program, replace(recipe, schedule=schedule), hook)
        except ScheduleError as error:
            fewer = {name: key for name, key in keys.items() if error.kernel not in (name, None)}
            if schedule == recipe.schedule or fewer == keys:
                raise  # it is the caller's own
            # A finding does not fit after all: the model's choice for that kernel always does.
            keys = fewer
            continue
        # A method that makes several kernels of one makes some that have findings of their own.
        more = {name: key for name, key in _keys(found, recipe).items() if name not in known}
        if not more:
            return replace(found, said=said)
        keys, known = {**keys, **more}, {*known, *more}
        said = tuple(dict.fromkeys((*said, *findings.ask(more, recipe.options))))
        if findings.schedule(keys, said, recipe.schedule) == schedule:
            return replace(found, said=said)


def _keys(found: Built, recipe: Recipe) -> dict[str, str]:
    """The keys of the kernels that have a choice, by name."""
    names = {each.kernel: each.ahead for each in found.main.decisions}
    module = found.main.module
    return {
        name: findings.key(kernel, names[name], recipe)
        for name, kernel in module.called().items()
        if name in names
    }


def _kernels(program: Program, recipe: Recipe, hook: Hook) -> Built:
    """The kernels of a program after the passes over the tensor IR."""
    bound = {given.name for given in recipe.arguments if given.bound}
    products = _products(program, recipe, hook)
    methods = _methods(products.program, bound, recipe, hook)
    methods = replace(
        methods,
        considered={**methods.considered, **products.considered},
        rewritten={**methods.rewritten, **products.rewritten},
    )
    program = methods.program
    split = split_constants(program, bound)
    prepared = _packed_ahead(split, recipe, methods)
    lower_main = partial(
        lower_kernels, recipe=recipe, hook=hook, schedule=recipe.schedule, methods=methods
    )
    if prepared is None:
        main = lower_main(split.main)
        once, constants = split.once, split.constants
    else:
        main = lower_main(prepared.program, panels=prepared.panels)
        given = tuple(value for value in program.inputs if value.name in bound)
        once = add_once(split, given, prepared.packs)
        constants = (*split.constants, *(pack.name for pack in prepared.packs))
    main, constants = _read_alone(main, constants)
    parts = () if once is None else portions(once, constants)
    return Built(
        program=program,
        main=main,
        once=tuple(lower_kernels(each, recipe, hook) for each in parts),
        constants=constants,
    )


def _read_alone(part: Part, constants: tuple[str, ...]) -> tuple[Part, tuple[str, ...]]:
    """Kernels and their constants, without those that none reads: weights that became panels."""
    module = part.module
    read = {name for call in module.calls for name in call.args}
    read |= {view.whole for view in module.views}
    unread = {name for name in constants if name not in read}
    inputs = tuple(buffer for buffer in module.inputs if buffer.name not in unread)
    kept = tuple(name for name in constants if name not in unread)
    return replace(part, module=replace(module, inputs=inputs)), kept


def _products(program: Program, recipe: Recipe, hook: Hook) -> Products:
    """The program with its products rewritten where that pays."""
    options = recipe.options
    return hook.step(
        PRODUCTS,
        program.name,
        partial(choose_products, program, core_of(options), options, recipe.schedule),
        lambda found: print_program(found.program),
        lambda found: verify_program(found.program),
    )


def _methods(program: Program, bound: set[str], recipe: Recipe, hook: Hook) -> Methods:
    """The program with its convolutions rewritten where that pays."""
    options = recipe.options
    places = _places(program, recipe)
    work = partial(
        choose_methods, program, core_of(options), options, places, bound, recipe.schedule
    )
    return hook.step(
        CONVOLUTIONS,
        program.name,
        work,
        lambda methods: print_program(methods.program),
        lambda methods: verify_program(methods.program),
    )


def _packed_ahead(split: Split, recipe: Recipe, methods: Methods) -> Prepared | None:
    """The main program with panels made ahead from its constants, if any are."""
    disabled = recipe.options.disable
    if not split.constants or "pack-ahead" in disabled or "tile" in disabled:
        return None
    core = core_of(recipe.options)
    places = _places(split.main, recipe)
    constants = frozenset(split.constants)
    prepared = prepare(
        split.main,
        constants,
        places,
        core,
        fuse="fuse" not in disabled,
        stream="stream" not in disabled,
        schedule=recipe.schedule,
        workspace_bytes=recipe.options.workspace_bytes,
        skip=methods.inside,
    )
    return prepared if prepared.packs else None


def generate(built: Built, recipe: Recipe, backend: Backend, hook: Hook) -> Compiled:
    """The code of a backend."""
    given = [(built.main, built.constants), *((part, ()) for part in built.once)]
    codes: list[Code] = []
    for part, constants in given:
        report("machine code", len(codes), len(given))
        codes.append(code_of(part, constants, recipe.options, backend, hook))
    report("machine code", len(codes), len(given))
    return Compiled(codes[0], tuple(codes[1:]), built.said)


def code_of(
    part: Part, constants: tuple[str, ...], options: Options, backend: Backend, hook: Hook
) -> Code:
    """The code of one part, the last of whose inputs are constants."""
    binary = hook.step(
        backend.name,
        part.module.name,
        partial(backend.compile, part.module, options),
        lambda _: backend.text(part.module, backend.stages[-1], options),
    )
    return Code(facts_of(part, constants, options), binary, backend, options)


def core_of(options: Options) -> Core:
    """What code is tuned for: the processor that the options name, else this machine."""
    core = find_backend(options.target).core(options)
    return replace(core, threads=1) if "thread" in options.disable else core


def facts_of(part: Part, constants: tuple[str, ...], options: Options) -> Facts:
    """What a call of a part needs to know."""
    core = core_of(options)
    module, types = part.module, part.program.types()
    names = [buffer.name for buffer in module.inputs]
    return Facts(
        name=module.name,
        inputs=tuple(names[: len(names) - len(constants)]),
        constants=constants,
        outputs=tuple(
            (output.name, Spec(concrete(types[output.value].shape), types[output.value].dtype))
            for output in part.program.outputs
        ),
        kernels=tuple(KernelFacts(name, each.header) for name, each in module.called().items()),
        workspace_bytes=module.workspace_bytes,
        scratch_bytes=max((_scratch(kernel, core) for kernel in module.kernels), default=0),
        constants_bytes=sum(len(held.data) for held in module.constants),
        temporaries=tuple(held.buffer.bytes for held in module.temporaries),
    )


def _scratch(kernel: Kernel, core: Core) -> int:
    """Bytes of the packed copies of a kernel, of all threads."""
    cached = [buffer for buffer in kernel.locals if buffer.scope is Scope.CACHE]
    own = sum(buffer.bytes for buffer in cached)
    loops = [stmt for stmt in statements(kernel.body) if isinstance(stmt, For)]
    return own * (core.threads if any(loop.kind is LoopKind.PARALLEL for loop in loops) else 1)


def _check_names(options: Options) -> None:
    unknown = [name for name in options.disable if name not in PASSES]
    if unknown:
        raise ArgumentError(
            f"there is no pass {unknown[0]!r} to switch off",
            help=f"the passes are {', '.join(PASSES)}",
        )
    for wanted, known, what in (
        (options.conv, CONVOLUTION_METHODS, "convolutions"),
        (options.product, PRODUCT_METHODS, "products"),
    ):
        if wanted not in known:
            raise ArgumentError(
                f"there is no method {wanted!r} of {what}",
                help=f"the methods are {', '.join(known)}",
            )
