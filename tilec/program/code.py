"""Compiled code with the few facts that a call needs, in memory and in the form of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from tilec.dtypes import BY_NAME
from tilec.errors import CacheError, TargetError
from tilec.options import Options
from tilec.records import dataclass
from tilec.runtime.backend import Backend, Runner
from tilec.runtime.container import Contents, Manifest, field, objects, sizes, strings
from tilec.runtime.spec import Spec


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """One kernel of an executable.

    Attributes:
        name: Its name in every text.
        header: The comment lines under which it is printed: contraction, sizes, schedule.
    """

    name: str
    header: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Facts:
    """What a call of one module needs to know.

    Attributes:
        name: Name of the module.
        inputs: Names of the inputs that callers pass, in the order of the code.
        constants: Names of the inputs that follow them and are known beforehand.
        outputs: Name and type of each output.
        kernels: The kernels in the order in which they run.
        workspace_bytes: Intermediate results of one call.
        scratch_bytes: Packed copies of one kernel at most, those of all threads.
        constants_bytes: Constants that are part of the code.
        temporaries: Bytes of each intermediate result that one kernel leaves for another.
    """

    name: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[tuple[str, Spec], ...]
    kernels: tuple[KernelFacts, ...]
    workspace_bytes: int
    scratch_bytes: int
    constants_bytes: int
    temporaries: tuple[int, ...] = ()


class Code:
    """The code of one module; it is loaded when it first runs."""

    def __init__(self, facts: Facts, binary: bytes, backend: Backend, options: Options) -> None:
        self.facts = facts
        self.binary = binary
        self._backend = backend
        self._options = options
        self._lock = Lock()
        self._runner: Runner | None = None

    def runner(self) -> Runner:
        """The code, loaded.

        Raises:
            TargetError: it is for another CPU than this.
        """
        if self._runner is not None:
            return self._runner
        if self._options.cpu is not None:
            raise TargetError(
                f"this was compiled for the CPU {self._options.cpu!r} and cannot run here",
                help="compile without the option cpu to run it",
            )
        with self._lock:
            if self._runner is None:
                self._runner = self._backend.load(
                    self.binary, self.facts.name, self.facts.workspace_bytes
                )
        return self._runner


@dataclass(frozen=True, slots=True)
class Compiled:
    """The code of one recipe.

    Attributes:
        main: Runs at each call.
        once: What computes the constants of ``main``, some by each.
        said: What the store of tunings said when this was compiled: keys of kernels, and the
            schedule that was found for each, or "". The code is of use as long as it says so.
    """

    main: Code
    once: tuple[Code, ...]
    said: tuple[tuple[str, str], ...] = ()


def compiled_to_entry(compiled: Compiled) -> tuple[Manifest, Mapping[str, bytes]]:
    """Manifest and blobs under which code is kept."""
    manifest: dict[str, object] = {
        "main": [facts_to_manifest(compiled.main.facts)],
        "once": [facts_to_manifest(each.facts) for each in compiled.once],
        "said": [{"kernel": key, "schedule": schedule} for key, schedule in compiled.said],
    }
    blobs = {f"once/{at}": each.binary for at, each in enumerate(compiled.once)}
    return manifest, {"main": compiled.main.binary, **blobs}


def compiled_from_entry(contents: Contents, backend: Backend, options: Options) -> Compiled:
    """The code of an entry, not yet loaded.

    Raises:
        CacheError: it is not what ``compiled_to_entry`` wrote.
    """
    main = objects(contents.manifest, "main")
    if len(main) != 1:
        raise CacheError("it holds no code")
    once = objects(contents.manifest, "once")
    parts: list[Code] = []
    for item, name in zip(
        (*main, *once), ("main", *(f"once/{at}" for at in range(len(once)))), strict=True
    ):
        if name not in contents.blobs:
            raise CacheError("its code is missing")
        parts.append(Code(facts_from_manifest(item), contents.blobs[name], backend, options))
    said = tuple(
        (field(item, "kernel", str), field(item, "schedule", str))
        for item in objects(contents.manifest, "said")
    )
    return Compiled(parts[0], tuple(parts[1:]), said)


def spec_to_manifest(spec: Spec) -> Manifest:
    """A spec in the form of a manifest."""
    return {
        "dtype": spec.dtype.name,
        "shape": list(spec.shape),
        "strides": list(spec.strides),
    }


def spec_from_manifest(item: Manifest) -> Spec:
    """The spec that ``spec_to_manifest`` wrote.

    Raises:
        CacheError: it is something else.
        UserError: its values are impossible.
    """
    dtype = field(item, "dtype", str)
    if dtype not in BY_NAME:
        raise CacheError(f"it has an array of unknown dtype {dtype!r}")
    return Spec(sizes(item, "shape"), BY_NAME[dtype], sizes(item, "strides"))


def facts_to_manifest(facts: Facts) -> Manifest:
    """Facts in the form of a manifest."""
    return {
        "name": facts.name,
        "inputs": list(facts.inputs),
        "constants": list(facts.constants),
        "outputs": [{"name": name, **spec_to_manifest(spec)} for name, spec in facts.outputs],
        "kernels": [{"name": k.name, "header": list(k.header)} for k in facts.kernels],
        "workspace_bytes": facts.workspace_bytes,
        "scratch_bytes": facts.scratch_bytes,
        "constants_bytes": facts.constants_bytes,
        "temporaries": list(facts.temporaries),
    }


def facts_from_manifest(item: Manifest) -> Facts:
    """The facts that ``facts_to_manifest`` wrote.

    Raises:
        CacheError: it is something else.
        UserError: the values of a spec are impossible.
    """
    return Facts(
        name=field(item, "name", str),
        inputs=strings(item, "inputs"),
        constants=strings(item, "constants"),
        outputs=tuple(
            (field(output, "name", str), spec_from_manifest(output))
            for output in objects(item, "outputs")
        ),
        kernels=tuple(
            KernelFacts(field(kernel, "name", str), strings(kernel, "header"))
            for kernel in objects(item, "kernels")
        ),
        workspace_bytes=field(item, "workspace_bytes", int),
        scratch_bytes=field(item, "scratch_bytes", int),
        constants_bytes=field(item, "constants_bytes", int),
        temporaries=sizes(item, "temporaries"),
    )
