"""A typed face of llvmlite: the processor, the pass pipeline, object code and assembly.

LLVM is loaded when it is first needed: importing this module costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, cast

from tilec.errors import InternalError, TargetError
from tilec.records import dataclass
from tilec_llvm.writer import Abilities

SPEED = 2
"""LLVM's optimisation level for code generation.

Of its passes only a few run. Kernel IR has its vectors, unrolled tiles and order of loops already,
and the emitter writes equal values once and outside the loops in which they do not change; left to
do are register buffers (SROA), small algebra, and the inlining of short elementary functions. Over
two dozen programs the whole pipeline of level 2 made code of the same speed in two to four times
the time. Only the unrolling of short loops is missed, by loops that the optimiser left as they are.
"""

_SYSTEM = "unknown-linux-gnu"

_X86 = """
x86-64 x86-64-v2 x86-64-v3 x86-64-v4 nehalem sandybridge haswell broadwell skylake skylake-avx512
cascadelake icelake-server sapphirerapids graniterapids alderlake znver1 znver2 znver3 znver4 znver5
"""
_ARM = """
armv8-a cortex-a53 cortex-a72 cortex-a76 neoverse-n1 neoverse-n2 neoverse-v1 neoverse-v2 a64fx
ampere1 apple-m1 apple-m2 apple-m3 apple-m4
"""

CPUS = {"x86_64": tuple(_X86.split()), "aarch64": tuple(_ARM.split())}
"""Processors for which code can be printed on any machine; LLVM knows more, but does not tell."""


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
    for architecture, names in CPUS.items():
        if cpu in names:
            name = "generic" if cpu == "armv8-a" else cpu
            return Processor(f"{architecture}-{_SYSTEM}", name, "")
    known = ", ".join(name for names in CPUS.values() for name in names)
    raise TargetError(f"the target llvm knows no CPU {cpu!r}", help=f"known CPUs: {known}")


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

_AVX512_PROBE = """
define <8 x double> @probe(<8 x i64> %x) {
  %y = sitofp <8 x i64> %x to <8 x double>
  ret <8 x double> %y
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
        features = target.features.split(",")
        known = "+f16c" in features or target.architecture == "aarch64"
        half = known or "__extend" not in self.assembly(_HALF_PROBE)
        avx512 = "+avx512dq" in features
        if target.architecture == "x86_64" and not target.features:
            avx512 = "vcvtqq2pd" in self.assembly(_AVX512_PROBE)
        self.abilities = Abilities(half, avx512)

    def object_code(self, text: str, *, verify: bool = False) -> bytes:
        """Object file of a module."""
        return cast("bytes", self._machine.emit_object(self._optimised(text, verify=verify)))

    def linked_code(self, texts: Sequence[str], exported: AbstractSet[str]) -> bytes:
        """Object file of several modules as one, which only shows these functions."""
        first, *others = (self._parsed(text, verify=True) for text in texts)
        for other in others:
            first.link_in(other)
        for function in first.functions:
            if not function.is_declaration and function.name not in exported:
                function.linkage = "internal"
        return cast("bytes", self._machine.emit_object(self._improved(first)))

    def assembly(self, text: str) -> str:
        """Assembly of a module."""
        return cast("str", self._machine.emit_assembly(self._optimised(text, verify=True)))

    def optimised(self, text: str) -> str:
        """LLVM IR after the passes."""
        return str(self._optimised(text, verify=True))

    def _optimised(self, text: str, *, verify: bool) -> Any:
        return self._improved(self._parsed(text, verify=verify))

    def _parsed(self, text: str, *, verify: bool) -> Any:
        try:
            module = llvm().parse_assembly(text)
            if verify:
                module.verify()
        except RuntimeError as error:
            raise InternalError(f"LLVM refuses the code made for it: {error}") from error
        return module

    def _improved(self, module: Any) -> Any:
        if self._speed == 0:
            return module
        binding = llvm()
        passes = binding.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        options = binding.create_pipeline_tuning_options(speed_level=self._speed)
        passes.run(module, binding.create_pass_builder(self._machine, options))
        return module


@cache
def compiler(target: Processor) -> Compiler:
    """The compiler for a processor, made once."""
    return Compiler(target)
