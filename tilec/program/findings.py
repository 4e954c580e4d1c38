"""What the tuner found, where the compiler asks for it: keys of kernels and of this machine.

A finding belongs to a kernel, not to a program: to what it computes and how its arrays lie in
memory, with tensors numbered instead of named. So a layer that occurs in several programs, or
several times in one, is tuned once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from tilec.errors import ScheduleError
from tilec.options import Options
from tilec.runtime.backend import find_backend
from tilec.runtime.cache import digest
from tilec.runtime.tunings import Tunings, tunings
from tilec.schedule.values import KernelSchedule, Schedule, parse_kernel
from tilec.target.host import system_key
from tilec.version import __version__

if TYPE_CHECKING:
    from tilec.kernel.ir import Kernel
    from tilec.program.recipe import Recipe

Said: TypeAlias = "tuple[tuple[str, str], ...]"
"""Keys of kernels, and the schedule that was found for each, or ""."""

_NAME: Final = re.compile(r"[A-Za-z_.][\w.']*")
_SIZES: Final = "sizes: "


def machine(options: Options) -> str:
    """The machine under which findings are kept: processor, caches, cores, and the backend."""
    return digest(find_backend(options.target).fingerprint(options), system_key())[:32]


def key(kernel: Kernel, ahead: bool, recipe: Recipe) -> str:
    """Under which the finding of a kernel is kept.

    Args:
        kernel: The kernel under any schedule.
        ahead: Whether an operand is a constant that is packed before the call.
        recipe: What it is compiled for.
    """
    tensors, text = _numbered(kernel)
    buffers = {buffer.name: [buffer.low, buffer.high] for buffer in kernel.params}
    strides = {
        each.name: list(each.spec.strides)
        for each in recipe.arguments
        if not each.bound and not each.spec.is_row_major
    }
    layout = [[buffers.get(name), strides.get(name), ahead] for name in tensors]
    options = [each for each in recipe.options.code_key() if each[0] != "tuned"]
    return digest("kernel", __version__, text, json.dumps([layout, options]))


def title(kernel: Kernel) -> str:
    """What a kernel computes, in a form that does not depend on the names of tensors."""
    return _numbered(kernel)[1]


def _numbered(kernel: Kernel) -> tuple[list[str], str]:
    """The tensors of a kernel, and its definition and their sizes with numbers for them."""
    at = next(at for at, line in enumerate(kernel.header) if line.startswith(_SIZES))
    lines = kernel.header[: at + 1]
    tensors = re.findall(rf"({_NAME.pattern}): \w+", lines[at].removeprefix(_SIZES))
    numbers = {name: f"T{number}" for number, name in enumerate(dict.fromkeys(tensors))}
    text = "\n".join(
        _NAME.sub(lambda found: numbers.get(found.group(), found.group()), line) for line in lines
    )
    return list(numbers), text


def are_there(options: Options) -> bool:
    """Whether the store may know something for these options."""
    store = _store(options)
    return store is not None and store.exists()


def ask(keys: Mapping[str, str], options: Options) -> Said:
    """What the store says of some kernels, given by name with their keys."""
    if not _asks(options):
        return ()
    store = _store(options)
    wanted = sorted(set(keys.values()))
    known = {} if store is None else store.schedules(machine(options), wanted)
    return tuple((each, known.get(each, "")) for each in wanted)


def hold(said: Said, options: Options) -> bool:
    """Whether the store still says what it said when code was compiled."""
    store = _store(options)
    if store is None or not store.exists():
        return not any(schedule for _, schedule in said)
    known = store.schedules(machine(options), [each for each, _ in said])
    return all(known.get(each, "") == schedule for each, schedule in said)


def schedule(keys: Mapping[str, str], said: Said, given: Schedule | None) -> Schedule | None:
    """A caller's schedule, with findings for the kernels that it does not name."""
    known = dict(said)
    found = dict(given or {})
    if "" in found:
        return given
    for kernel, name in keys.items():
        text = known.get(name, "")
        wanted = parsed(text)
        if wanted is not None and kernel not in found:
            found[kernel] = wanted
    return Schedule.of(found) if found else given


def parsed(text: str) -> KernelSchedule | None:
    """A schedule that the store gave; None where it has none, or one that cannot be read."""
    try:
        return parse_kernel(text) if text else None
    except ScheduleError:  # imported from who knows where: as good as none
        return None


def _asks(options: Options) -> bool:
    return options.tuned and options.cpu is None


def _store(options: Options) -> Tunings | None:
    return tunings() if _asks(options) else None
