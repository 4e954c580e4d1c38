"""The ways in which a kernel could be computed, each found by compiling the program so.

What a kernel may be beside its present form depends on the passes before it: a convolution can be
lowered to a product, a product of matrices be divided, a stream be a tile. So the program is
lowered once for each way, with a schedule that asks for the method, or without the pass that made
the choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tilec.errors import ScheduleError
from tilec.kernel.ir import Kernel
from tilec.lower.decide import Decision, Planned
from tilec.options import Options
from tilec.program.compile import built
from tilec.program.convolutions import Method
from tilec.program.frontend import Frontend
from tilec.program.pipeline import Part, core_of
from tilec.program.recipe import Recipe
from tilec.records import dataclass
from tilec.schedule.grouped import Grouped
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.space import Choices, Groups, Space, Streams, Tiles
from tilec.schedule.transformed import TransformPlan, transform
from tilec.schedule.values import (
    APART,
    DIRECT,
    SCHEDULE_LINE,
    STRASSEN,
    Blocked,
    KernelSchedule,
    Loops,
    OwnSchedule,
    Rewritten,
    Schedule,
    parse_kernel,
)
from tilec.schedule.ways import Blocks, Transforms, Under, Ways
from tilec.target.core import Core
from tilec.tensor.transformed import Transformed

LEAST = 512
"""Sizes of a product from which on it is worth a look what Strassen's algorithm takes."""

_KINDS = (("stream",), ("tile",), ("stream", "tile"))
"""Passes without which a reduction becomes something else."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be tried for a kernel, and what the model chose."""

    space: Space
    first: KernelSchedule


def choice(part: Part, decision: Decision, core: Core, options: Options) -> Choice | None:
    """What a kernel can do in its present form; None where it has no choice."""
    kernel = _kernel(part, decision.kernel)
    method = None if part.methods is None else part.methods.rewritten.get(decision.kernel)
    found = _own(decision, kernel, core, options)
    if method is None:
        return found
    if found is None or isinstance(found.first, Rewritten):
        return Choice(Under(method, None), Rewritten(method))
    return Choice(Under(method, found.space), Rewritten(method, found.first))


def widened(found: Choice, name: str, text: Frontend, recipe: Recipe) -> Space:
    """All ways to compute a kernel."""
    core = core_of(recipe.options)
    part = built(text, recipe).main
    decision = next(each for each in part.decisions if each.kernel == name)
    transforms = tuple(
        method.transform
        for method in _considered(part, name)
        if method.transform is not None and recipe.options.conv in ("auto", method.family)
    )
    plans = (plan for _, plan in transforms)
    heads: list[KernelSchedule] = list(dict.fromkeys((found.first, *plans)))
    spaces: list[Space] = [found.space]
    if transforms:
        limit = recipe.options.workspace_bytes
        size = core.vector_bytes // transforms[0][1].lanes
        spaces.append(Transforms(transforms, core, size, limit))
    before = dict(recipe.schedule or {})
    for method, disabled in _views(part, decision, recipe.options):
        schedule = before if method is None else {**before, name: Rewritten(method)}
        options = replace(recipe.options, disable=(*recipe.options.disable, *disabled))
        try:
            other = built(text, replace(recipe, options=options, schedule=Schedule.of(schedule)))
        except ScheduleError:
            continue  # it cannot be computed so
        theirs = next((each for each in other.main.decisions if each.kernel == name), None)
        also = None if theirs is None else choice(other.main, theirs, core, recipe.options)
        if also is None and method not in (None, DIRECT):
            also = Choice(Under(method, None), Rewritten(method))
        if also is not None and also.first not in heads:
            heads.append(also.first)
            spaces.append(also.space)
    return spaces[0] if len(spaces) == 1 else Ways(tuple(heads), tuple(spaces))


def least_flops(part: Part, decision: Decision) -> int:
    """Arithmetic of the method that needs the least, as far as that is known."""
    found = [method.flops for method in _considered(part, decision.kernel)]
    problem, own = decision.problem, decision.flops
    if isinstance(problem, Product):
        # Taps that fall beyond a border are no work.
        own = int(own * problem.share_inside())
    least = min([own, *found])
    return least * 7 // 8 if _is_large(decision) else least


def _views(
    part: Part, decision: Decision, options: Options
) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """Methods, and passes to leave out, under which the kernel may become something else.

    A method that the caller has named in the options stays.
    """
    name = decision.kernel
    now = None if part.methods is None else part.methods.rewritten.get(name)
    families: list[str] = []
    if options.conv == options.product == "auto":
        families = [each.family for each in _considered(part, name) if each.transform is None]
        families += [STRASSEN] * _is_large(decision)
        families += [DIRECT] * isinstance(decision.plan, TransformPlan)
    if isinstance(_scheduled(_kernel(part, name)), Blocked):
        families.append(APART)
    for family in dict.fromkeys(families):
        is_now = family == (now or DIRECT) and not isinstance(decision.plan, TransformPlan)
        if not is_now:
            yield family, ()
    if now is None and _is_reduction(decision):
        for passes in _KINDS:
            yield None, passes


def _own(decision: Decision, kernel: Kernel, core: Core, options: Options) -> Choice | None:
    problem, plan, limit = decision.problem, decision.plan, options.workspace_bytes
    if isinstance(problem, Product) and isinstance(plan, Grouped):
        return None if core.gpu is None else Choice(Groups(problem, core.gpu), plan)
    if isinstance(problem, Product) and plan is not None:
        return Choice(Tiles(problem, core, decision.ahead, limit), plan)
    if isinstance(problem, Reduction) and plan is not None:
        return Choice(Streams(problem, core, limit), plan)
    if isinstance(plan, TransformPlan) and isinstance(problem, Transformed):
        size = core.vector_bytes // plan.lanes
        return Choice(Transforms((transform(problem, plan),), core, size, limit), plan)
    if len(decision.pieces) == 1:
        return _loops(decision.pieces[0], core)
    scheduled = _scheduled(kernel)
    # A reduction in two steps, and pieces with loops of their own, have no choice.
    return Choice(Blocks(scheduled), scheduled) if isinstance(scheduled, Blocked) else None


def _loops(piece: Planned, core: Core) -> Choice:
    flat = piece.flat.piece
    parts = flat.parts if len(flat.parts) == 1 else ()
    space = Choices(
        outputs=tuple(axis.name for axis in flat.axes if axis.extent > 1),
        reductions=tuple(axis.name for part in parts for axis in part.axes if axis.extent > 1),
        lanes=piece.plan.lanes if piece.plan.vector is not None else core.lanes(4),
    )
    return Choice(space, Loops((piece.plan,)))


def _is_reduction(decision: Decision) -> bool:
    if isinstance(decision.problem, Product | Reduction) and decision.plan is not None:
        return True
    pieces = decision.pieces
    return len(pieces) == 1 and any(part.axes for part in pieces[0].flat.piece.parts)


def _is_large(decision: Decision) -> bool:
    """Whether a kernel is a product of matrices that may be worth dividing."""
    problem = decision.problem
    if not isinstance(problem, Product) or problem.constraints:
        return False
    axes = [axis for axis in (*problem.axes, *problem.reductions) if axis.extent > 1]
    return len(axes) == 3 and min(axis.extent for axis in axes) >= LEAST


def _considered(part: Part, name: str) -> tuple[Method, ...]:
    return () if part.methods is None else part.methods.considered.get(name, ())


def _scheduled(kernel: Kernel) -> OwnSchedule | None:
    """The schedule in the header of a kernel."""
    lines = [line for line in kernel.header if line.startswith(SCHEDULE_LINE)]
    found = parse_kernel(lines[0].removeprefix(SCHEDULE_LINE)) if lines else None
    return found.then if isinstance(found, Rewritten) else found


def _kernel(part: Part, name: str) -> Kernel:
    return part.module.called()[name]
