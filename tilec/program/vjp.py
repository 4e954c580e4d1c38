"""``vjp``: a call whose gradient is taken later, with what was kept or is computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from tilec.errors import ArgumentError
from tilec.program.boundary import public
from tilec.program.derive import Open, chosen_inputs, derive
from tilec.program.frontend import frontend
from tilec.program.function import Function
from tilec.program.gradients import Names, TieRule, checked_ties, given_gradients
from tilec.records import dataclass
from tilec.runtime.arrays import Array, take
from tilec.runtime.device import DeviceArray
from tilec.source import Source

if TYPE_CHECKING:
    from tilec.grad.keep import Intermediate
    from tilec.tensor.ir import Program

Keep: TypeAlias = "Literal['auto', 'all', 'none'] | Sequence[str]"
"""Which intermediate results are kept: what the costs say, all, none, or these."""


@dataclass(frozen=True, slots=True)
class Pullback:
    """The gradient of one call, waiting for the cotangents.

    Attributes:
        forward: What was run: the outputs of the function, then what is kept.
        backward: What will be run: the inputs, what was kept, the cotangents.
        intermediates: What the gradient needs, what that costs, and what was decided.
        values: The inputs and what was kept.
    """

    forward: Function
    backward: Function
    intermediates: tuple[Intermediate, ...]
    values: tuple[Array | DeviceArray, ...]

    def __call__(self, *cotangents: object) -> Any:
        """The gradients for these cotangents of the float outputs."""
        return self.backward(*self.values, *cotangents)

    @public
    def peak_bytes(self, *cotangents: object) -> int:
        """Memory that the backward call takes: its arguments, its results and its workspace."""
        return self.backward.compile(*self.values, *cotangents).memory.peak

    def __str__(self) -> str:
        lines = [f"{'intermediate':<16}{'bytes':>14}{'FLOPs':>16}  decision"]
        for each in self.intermediates:
            decision = "kept" if each.kept else "recomputed"
            decision += ", an output" if each.is_output else ""
            lines.append(f"{each.name:<16}{each.bytes:>14,}{each.flops:>16,}  {decision}")
        return "\n".join(lines)


@public
def vjp(
    f: Function,
    *arrays: object,
    wrt: Names | None = None,
    keep: Keep = "auto",
    ties: TieRule = "all",
) -> tuple[Any, Pullback]:
    """Call a function and prepare its gradient.

    An intermediate result that the gradient needs is kept if computing it again would take longer
    than storing and loading it.

    Args:
        f: The function.
        *arrays: Its inputs.
        wrt: The inputs to differentiate for; by default all floats.
        keep: Which intermediate results to keep: ``auto``, ``all``, ``none``, or names.
        ties: As for ``grad``.

    Returns:
        What ``f`` returns, and a function of the cotangents that returns the gradients.

    Raises:
        GradientError: something cannot be differentiated.
        ArgumentError: ``keep`` names nothing that the gradient needs.
    """
    from tilec.grad.contractions import Ties
    from tilec.grad.keep import judged, needed, with_kept
    from tilec.grad.own import Own
    from tilec.grad.reverse import Wanted, gradient

    rule = Ties(checked_ties(ties))
    given = [
        value if isinstance(value, DeviceArray) else take(each.name, value, each.dtype)
        for each, value in zip(f.inputs, arrays, strict=True)
    ]
    bound = f.bound_program(*given)
    decided: list[Intermediate] = []

    def backward(open_: Open) -> Program:
        names = chosen_inputs(open_.program, wrt, f.parts.bound)
        wanted = Wanted(names, rule, explicit=wrt is not None)
        own = Own(tuple(open_.regions), open_.expand)
        whole = gradient(open_.program, wanted, open_.reserved, own)
        candidates = needed(whole, open_.program)
        decided.extend(judged(bound, candidates, _forced(keep, candidates)))
        kept = {each.name for each in decided if each.kept}
        return with_kept(whole, kept, len(open_.program.inputs))

    def forward(open_: Open) -> Program:
        from tilec.tensor.ir import Output

        program = open_.program
        more = tuple(Output(name, name) for name in kept if name not in returned)
        return replace(program, outputs=(*program.outputs, *more))

    checked, gradients = f.parts.text.checked, given_gradients(f)
    back = _function(f, derive(checked, None, backward, gradients=gradients))
    kept = [each.name for each in decided if each.kept]
    returned = {output.value: output.name for output in bound.outputs}
    ahead = _function(f, derive(checked, None, forward))
    found: object = ahead(*given)
    several = cast(
        "tuple[Array | DeviceArray, ...]", found if isinstance(found, tuple) else (found,)
    )
    by_name = dict(zip(ahead.outputs, several, strict=True))
    values = tuple(by_name[returned.get(name, name)] for name in kept)
    first = ahead.outputs[: len(bound.outputs)]
    result = by_name[first[0]] if len(first) == 1 else tuple(by_name[name] for name in first)
    return result, Pullback(ahead, back, tuple(decided), (*given, *values))


def _forced(keep: Keep, candidates: Sequence[str]) -> Sequence[str] | None:
    if keep == "auto":
        return None
    if keep in ("all", "none"):
        return candidates if keep == "all" else ()
    names = (keep,) if isinstance(keep, str) else tuple(keep)
    for name in names:
        if name not in candidates:
            raise ArgumentError(
                f"the gradient needs no {name!r} that could be kept",
                help=f"it needs {', '.join(candidates) or 'none'}",
            )
    return names


def _function(f: Function, text: str) -> Function:
    return Function(frontend(Source("<derived>", text), None), f.parts.bound)
