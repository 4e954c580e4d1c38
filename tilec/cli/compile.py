"""``tilec compile``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

import tilec
from tilec.cli.library import compiled_model, export, is_model, model_name
from tilec.cli.program import (
    complete_stage,
    method_option,
    program_options,
    read_source,
    size_options,
    target_option,
)
from tilec.cli.report import print_code, print_table
from tilec.cli.specs import inputs_from_options, parse_numbers, parse_shapes
from tilec.errors import TargetError
from tilec.options import Options, read_environment
from tilec.records import dataclass
from tilec.version import __version__

if TYPE_CHECKING:
    from tilec.program.pipeline import PassEvent

# Suffix and Pygments lexer of the stages; others are written under their own name.
_SUFFIXES = {"llvm": "ll", "asm": "s", "opencl": "cl", "cuda": "cu", "python": "py"}
_LEXERS = {
    "tile": "tile",
    "llvm": "llvm",
    "asm": "gas",
    "opencl": "c",
    "cuda": "cuda",
    "python": "python",
}


@click.command("compile")
@click.argument("file", required=False, type=click.Path(), metavar="[FILE | -]")
@program_options
@size_options
@target_option
@method_option
@click.option("--cpu", metavar="NAME", help="LLVM's name of another CPU to compile for.")
@click.option(
    "--gpu",
    metavar="NAME|FILE",
    help="A description of GPUs to compile for, with --target opencl: nvidia, amd, intel, apple, "
    "mali, pocl, generic, or a TOML file. No device is needed to print code.",
)
@click.option(
    "--emit",
    metavar="STAGE[,STAGE...]",
    shell_complete=complete_stage,
    help="What to print: tile, tensor, kernel, and what the target adds (llvm, asm). "
    "[default: kernel; with -o all]",
)
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each stage to a file in this folder instead.",
)
@click.option(
    "--aot",
    is_flag=True,
    help="Write a library for programs in C to the folder, instead of stages.",
)
@click.option("--name", metavar="NAME", help="What the names of the library begin with.")
@click.option(
    "--print-after",
    "after",
    multiple=True,
    metavar="PASS",
    help="Print what this pass made ('all': every pass). May be given several times.",
)
@click.option("--time-passes", is_flag=True, help="Show how long each pass took.")
@click.option("--disable", multiple=True, metavar="PASS", help="Leave this pass out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    file: str | None,
    expression: str | None,
    function_name: str | None,
    shapes: tuple[str, ...],
    numbers: tuple[str, ...],
    target: str | None,
    conv: str | None,
    cpu: str | None,
    gpu: str | None,
    emit: str | None,
    folder: Path | None,
    aot: bool,
    name: str | None,
    after: tuple[str, ...],
    time_passes: bool,
    disable: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compile a Tile program and print what the compiler made of it.

    FILE holds the program; '-' reads it from standard input. With --aot the program becomes a
    library: an object file, a C header, weights and a manifest. So does an ONNX model.

    \b
    Examples:
      tilec compile matmul.tile --shape A=1024x1024:f32 --shape B=1024x1024:f32
      tilec compile -e 'C[i] = +(A[i, k])' --shape A=64x1000 --emit tensor,asm
      tilec compile matmul.tile --emit tile            # canonical text; needs no sizes
      tilec compile photo.tile --function blur --shape P=427x640x3 --shape G=15 -o out
      tilec compile matmul.tile --shape A=64x64 --shape B=64x64 --aot -o library
      tilec compile model.onnx -o library
    """
    options = _options(target, conv, cpu, gpu, disable)
    if aot or is_model(file):
        if folder is None:
            raise click.UsageError("a library needs a folder: add -o DIR")
        if emit is not None or after or time_passes:
            raise click.UsageError("a library has no stages to show; leave out --emit and the like")
    elif name is not None:
        raise click.UsageError("--name is the name of a library: add --aot")
    sizes = parse_shapes(shapes)
    if file is not None and folder is not None and is_model(file):
        if function_name is not None or numbers or expression is not None:
            raise click.UsageError("-e, --function and --set are for Tile programs")
        model = compiled_model(file, sizes, options)
        export(model, folder, name or model_name(file), as_json=as_json)
        return
    function = tilec.function(read_source(file, expression), name=function_name)
    if aot and folder is not None:
        inputs = inputs_from_options(function, sizes, parse_numbers(numbers))
        program = function.compile(*inputs, options=options)
        export(program, folder, name, as_json=as_json)
        return
    wanted = _stages(emit, options, everything=folder is not None, none=bool(after))
    log = _Log(after, time_passes)

    if wanted == ("tile",) and not shapes and not log.is_wanted:
        texts, executable = {"tile": function.source}, None
    else:
        inputs = inputs_from_options(function, sizes, parse_numbers(numbers))
        observe = log.add if log.is_wanted else None
        started = time.perf_counter()
        executable = function.compile(*inputs, options=options, observe=observe)
        log.seconds = time.perf_counter() - started
        log.check()
        texts = {stage: executable.source(stage) for stage in wanted}

    title = function.name or "program"
    written = {} if folder is None else _write(folder, title, texts)
    if as_json:
        click.echo(json.dumps(_facts(title, executable, texts, written, log), indent=2))
        return
    for path in written.values():
        click.echo(path)
    log.print_texts()
    if folder is None:
        _print_stages(texts, headings=len(texts) > 1 or bool(after))
    if time_passes:
        log.print_times()


@dataclass(slots=True)
class _Log:
    """What the passes reported."""

    after: tuple[str, ...]
    timed: bool
    seconds: float = 0.0
    events: list[tuple[str, str, float, str | None]] = field(
        default_factory=list[tuple[str, str, float, str | None]]
    )

    @property
    def is_wanted(self) -> bool:
        return self.timed or bool(self.after)

    def add(self, event: PassEvent) -> None:
        shown = "all" in self.after or event.name in self.after
        text = event.text() if shown else None
        self.events.append((event.name, event.subject, event.seconds, text))

    def check(self) -> None:
        """A pass that has not run is a slip of the finger."""
        ran = dict.fromkeys(name for name, _, _, _ in self.events)
        for name in self.after:
            if name not in ran and name != "all":
                raise click.UsageError(
                    f"--print-after {name}: there is no such pass; those that ran are "
                    f"{', '.join(ran)}"
                )

    def print_texts(self) -> None:
        for name, subject, _, text in self.events:
            if text is not None:
                _print_heading(f"{subject} after {name}")
                print_code(text, None)

    def print_times(self) -> None:
        rows = [(name, subject, f"{1e3 * s:.2f}") for name, subject, s, _ in self.events]
        # Less than the sum: the time of a module contains that of its kernels.
        rows.append(("all", "", f"{1e3 * self.seconds:.2f}"))
        print_table(("pass", "on", "ms"), rows, right=(2,), err=True)


def _options(
    target: str | None,
    conv: str | None,
    cpu: str | None,
    gpu: str | None,
    disable: Sequence[str],
) -> Options:
    options = read_environment().options
    return replace(
        options,
        target=target or options.target,
        conv=conv or options.conv,
        cpu=cpu,
        gpu=gpu or options.gpu,
        disable=tuple(disable),
    )


def _stages(emit: str | None, options: Options, *, everything: bool, none: bool) -> tuple[str, ...]:
    target = options.target
    found = {info.name: info for info in tilec.targets()}
    name = target.partition(":")[0]  # what follows is a device
    if name not in found:
        raise click.UsageError(f"there is no target {target!r}; the targets are {', '.join(found)}")
    if not found[name].available and options.gpu is None:
        raise TargetError(f"the target {name} cannot be used: {found[name].details}")
    known = found[name].stages
    if emit is None:
        default = "kernel" if "kernel" in known else known[-1]
        return known if everything else () if none else (default,)
    wanted = tuple(stage.strip() for stage in emit.split(","))
    for stage in wanted:
        if stage not in known:
            raise click.UsageError(
                f"--emit {stage}: there is no such stage; for the target {target} "
                f"they are {', '.join(known)}"
            )
    return tuple(dict.fromkeys(wanted))


def _write(folder: Path, name: str, texts: Mapping[str, str]) -> dict[str, str]:
    stem = name.replace("'", "_prime")
    written: dict[str, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stage, text in texts.items():
            path = folder / f"{stem}.{_SUFFIXES.get(stage, stage)}"
            path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
            written[stage] = str(path)
    except OSError as error:
        raise click.UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return written


def _print_stages(texts: Mapping[str, str], *, headings: bool) -> None:
    for stage, text in texts.items():
        if headings:
            _print_heading(stage)
        print_code(text, _LEXERS.get(stage))


def _print_heading(text: str) -> None:
    print_code(f"==> {text} <==", None)


def _facts(
    name: str,
    executable: tilec.Executable | None,
    texts: Mapping[str, str],
    written: Mapping[str, str],
    log: _Log,
) -> dict[str, object]:
    facts: dict[str, object] = {"version": __version__, "function": name}
    if executable is not None:
        facts["target"] = executable.target
        for group in ("inputs", "outputs"):
            facts[group] = [
                {"name": each, "dtype": spec.dtype.name, "shape": list(spec.shape)}
                for each, spec in getattr(executable, group)
            ]
        facts["kernels"] = [
            {"name": kernel.name, "header": list(kernel.header)} for kernel in executable.kernels
        ]
    facts["stages"] = dict(written or texts)
    if log.is_wanted:
        facts["passes"] = [
            {"name": each, "on": subject, "seconds": seconds}
            | ({} if text is None else {"text": text})
            for each, subject, seconds, text in log.events
        ]
    return facts
