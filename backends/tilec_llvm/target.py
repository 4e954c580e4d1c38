"""A typed face of llvmlite: the processor, the pass pipeline, object code and assembly.

LLVM is loaded when it is first needed: importing this module costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from tilec.errors import InternalError, TargetError
from tilec_llvm.writer import Abilities

SPEED = 2
"""LLVM's optimisation level for the passes and for code generation."""

ARCHITECTURES = {"aarch64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
"""Triples of the architectures for which assembly can be printed from any machine."""


@cache
def llvm() -> Any:
    """``llvmlite.binding``, initialised."""
    from llvmlite import binding

    loaded = cast("Any", binding)
    loaded.initialize_native_target()
    loaded.initialize_native_asmprinter()
    return loaded


@dataclass(frozen=True, slots=True)
class Processor:
    """What code is generated for.

    Attributes:
        triple: Architecture, vendor and system.
        cpu: LLVM's name of the microarchitecture.
        features: Extensions that it has or lacks beyond its name, as ``+a,-b``.
    """

    triple: str
    cpu: str
    features: str

    @property
    def architecture(self) -> str:
        """First part of the triple."""
        return self.triple.partition("-")[0]


@cache
def host() -> Processor:
    """This machine."""
    binding = llvm()
    try:
        features = str(binding.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM cannot tell on this architecture
        features = ""
    return Processor(str(binding.get_process_triple()), str(binding.get_host_cpu_name()), features)


def processor(cpu: str | None) -> Processor:
    """The processor that ``Options.cpu`` names; None is this machine."""
    if cpu is None:
        return host()
    architecture, _, name = cpu.rpartition(":")
    if not architecture:
        return Processor(host().triple, name, "")
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise TargetError(
            f"no code can be generated for the architecture {architecture!r}",
            help=f"known architectures: {known}; write one before the CPU, as in aarch64:generic",
        )
    return Processor(ARCHITECTURES[architecture], name, "")


def versions() -> str:
    """Versions of llvmlite and LLVM, which the code depends on."""
    import llvmlite

    lite = cast("Any", llvmlite).__version__
    return f"llvmlite {lite}, LLVM {'.'.join(map(str, llvm().llvm_version_info))}"


_HALF_PROBE = """
define float @probe(half %x) {
  %y = fpext half %x to float
  ret float %y
}
"""


class Compiler:
    """Turns LLVM IR text into code for one processor.

    With ``speed`` 0 the code is made quickly and does not run fast.

    Attributes:
        abilities: What the code may rely on.
    """

    def __init__(self, target: Processor, speed: int = SPEED) -> None:
        self._speed = speed
        binding = llvm()
        if target.triple != host().triple:
            binding.initialize_all_targets()
            binding.initialize_all_asmprinters()
        try:
            description = binding.Target.from_triple(target.triple)
            self._machine = description.create_target_machine(
                cpu=target.cpu,
                features=target.features,
                opt=speed,
                reloc="pic",
                codemodel="default",
            )
        except RuntimeError as error:
            raise TargetError(f"LLVM cannot generate code for {target.triple}: {error}") from error
        known = "+f16c" in target.features.split(",") or target.architecture == "aarch64"
        self.abilities = Abilities(half=known or "__extend" not in self.assembly(_HALF_PROBE))

    def object_code(self, text: str, *, verify: bool = False) -> bytes:
        """Object file of a module."""
        return cast("bytes", self._machine.emit_object(self._optimised(text, verify=verify)))

    def assembly(self, text: str) -> str:
        """Assembly of a module."""
        return cast("str", self._machine.emit_assembly(self._optimised(text, verify=True)))

    def optimised(self, text: str) -> str:
        """LLVM IR after the passes."""
        return str(self._optimised(text, verify=True))

    def _optimised(self, text: str, *, verify: bool) -> Any:
        binding = llvm()
        try:
            module = binding.parse_assembly(text)
            if verify:
                module.verify()
        except RuntimeError as error:
            raise InternalError(f"LLVM refuses the code made for it: {error}") from error
        if self._speed == 0:
            return module
        options = binding.create_pipeline_tuning_options(speed_level=self._speed)
        # Kernel IR says what is a vector. Left on, LLVM's own vectorisers cost nothing on such
        # code (measured), but what a loop without vectors is worth could no longer be seen.
        options.loop_vectorization = False
        options.slp_vectorization = False
        builder = binding.create_pass_builder(self._machine, options)
        builder.getModulePassManager().run(module, builder)
        return module


@cache
def compiler(target: Processor) -> Compiler:
    """The compiler for a processor, made once."""
    return Compiler(target)
