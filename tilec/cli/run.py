"""``tilec run``: Tile programs, and models in ONNX files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import click
import numpy as np

import tilec
from tilec.cli.files import (
    Array,
    Value,
    is_npz,
    read_all,
    read_value,
    write_all,
    write_value,
)
from tilec.cli.program import program_options, read_source, target_option
from tilec.cli.report import compile_bar, note
from tilec.records import dataclass
from tilec.runtime.arrays import tile_dtype
from tilec.version import __version__

# Elements of a result that are printed in full, on a screen and as JSON.
_SHOWN = 200
_SHOWN_JSON = 1 << 16


@click.command("run")
@click.argument("arguments", nargs=-1, type=click.Path(), metavar="[FILE | -] [NAME=VALUE]...")
@program_options
@click.option(
    "-i",
    "--input",
    "ordered",
    multiple=True,
    metavar="VALUE",
    help="An input without its name; these are taken in the order of the program.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Write a result to a .npy file or an image, or all results to one .npz file.",
)
@target_option
@click.option("--threads", type=click.IntRange(min=1), help="How many threads a kernel may use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    arguments: tuple[str, ...],
    expression: str | None,
    function_name: str | None,
    ordered: tuple[str, ...],
    outputs: tuple[str, ...],
    target: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run a Tile program, or an ONNX model, on files, images and numbers.

    \b
    Each input is given as NAME=VALUE, where VALUE is
      a number                S=0.5
      a list, as in JSON      A='[[1, 2], [3, 4]]'
      an array in a file      A=a.npy   A=arrays.npz   A=arrays.npz:weights
      an image                P=photo.jpg
    and :DTYPE may follow, e.g. P=photo.jpg:f32. An .npz file without NAME= gives every
    input that it has an array for.

    Images are arrays of height x width (grey) or height x width x channels, u8 from 0 to
    255. As floats they run from 0 to 1; so do results that are written as images.
    Results that go to no file are printed.

    \b
    Examples:
      tilec run -e 'C[i] = +(A[i, k])' 'A=[[1, 2], [3, 4]]'
      tilec run matmul.tile A=a.npy B=b.npy -o C=c.npy
      tilec run photo.tile --function mosaic P=photo.jpg:f32 N=8 -o mosaic.png
      tilec run model.onnx --input x.npy -o y.npy
    """
    file, given = _split(arguments, expression)
    if file is not None and file.lower().endswith(".onnx"):
        if function_name is not None or threads is not None:
            raise click.UsageError("--function and --threads are for Tile programs")
        program = _of_model(file, target)
    else:
        function = tilec.function(read_source(file, expression), name=function_name)
        program = _of_function(function, target, threads)
    values = _values(program, given, ordered)
    targets = _destinations(program, outputs)
    with compile_bar():
        found = program.call(values)
    arrays = _by_name(program, found)
    written = _write(arrays, targets)
    if as_json:
        click.echo(json.dumps(_facts(arrays, written), indent=2))
        return
    for path in dict.fromkeys(written.values()):
        note(f"wrote {path}")
    for name, array in arrays.items():
        if name not in written:
            click.echo(_shown(name, array))


@dataclass(frozen=True, slots=True)
class _Program:
    """What is run: a Tile function or a model.

    Attributes:
        inputs: Dtype of each input by name; None where it is open.
        titles: How messages show the inputs, in the same order.
        outputs: Names of the outputs.
        call: Runs it.
    """

    inputs: Mapping[str, str | None]
    titles: Sequence[str]
    outputs: Sequence[str]
    call: Callable[[Sequence[Value]], object]


def _of_function(function: tilec.Function, target: str | None, threads: int | None) -> _Program:
    return _Program(
        {each.name: None if each.dtype is None else each.dtype.name for each in function.inputs},
        [str(each) for each in function.inputs],
        function.outputs,
        lambda values: function(*values, target=target, num_threads=threads),
    )


def _of_model(file: str, target: str | None) -> _Program:
    from tilec import onnx  # Tile programs do not need it

    model = onnx.read(file, target=target)
    return _Program(
        {each.name: each.dtype for each in model.inputs},
        [str(each) for each in model.inputs],
        model.outputs,
        lambda values: model(*values),
    )


def _split(arguments: Sequence[str], expression: str | None) -> tuple[str | None, Sequence[str]]:
    """The file, which stands first unless ``-e`` gives the program, and the inputs."""
    if expression is not None:
        return None, arguments
    if arguments and "=" in arguments[0] and not Path(arguments[0]).exists():
        raise click.UsageError(
            f"no program: {arguments[0]} is an input, and a file or -e TEXT comes before those"
        )
    return (arguments[0] if arguments else None), arguments[1:]


def _values(program: _Program, given: Sequence[str], ordered: Sequence[str]) -> list[Value]:
    declared = program.inputs
    found: dict[str, Value] = {}
    several: dict[str, Array] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals and text.lower().endswith(".npz"):
            several.update(read_all(Path(text)))
            continue
        if not equals:
            raise click.UsageError(f"{text!r} cannot be read; inputs are given as NAME=VALUE")
        if name not in declared:
            raise click.UsageError(
                f"there is no input {name}; the inputs are {', '.join(declared) or 'none'}"
            )
        if name in found:
            raise click.UsageError(f"the input {name} is given twice")
        found[name] = read_value(value, name, declared[name])
    free = [name for name in declared if name not in {*found, *several}]
    if len(ordered) > len(free):
        raise click.UsageError(f"--input is given {len(ordered)} times, for {len(free)} inputs")
    for name, value in zip(free, ordered, strict=False):
        found[name] = read_value(value, name, declared[name])
    missing = [
        title
        for name, title in zip(declared, program.titles, strict=True)
        if name not in {*found, *several}
    ]
    if missing:
        raise click.UsageError(f"no value for {', '.join(missing)}: add NAME=VALUE")
    return [found[name] if name in found else several[name] for name in declared]


def _destinations(program: _Program, outputs: Sequence[str]) -> dict[str, Path]:
    """Where each output goes, by name."""
    found: dict[str, Path] = {}
    for text in outputs:
        name, equals, path = text.partition("=")
        if equals and name not in program.outputs:
            raise click.UsageError(
                f"there is no output {name}; the outputs are {', '.join(program.outputs)}"
            )
        names = (name,) if equals else program.outputs
        where = Path(path if equals else text)
        if len(names) > 1 and not is_npz(where):
            raise click.UsageError(
                f"-o {text}: there are several results; say which, e.g. "
                f"-o {names[0]}={text}, or write all to one .npz file"
            )
        found.update((each, where) for each in names)
    return found


def _by_name(program: _Program, result: object) -> dict[str, Array]:
    results = (result,) if len(program.outputs) == 1 else cast("Sequence[object]", result)
    return {
        name: cast("Array", array) for name, array in zip(program.outputs, results, strict=True)
    }


def _write(arrays: Mapping[str, Array], destinations: Mapping[str, Path]) -> dict[str, str]:
    for path in dict.fromkeys(destinations.values()):
        names = [name for name, where in destinations.items() if where == path]
        if is_npz(path):
            write_all(path, {name: arrays[name] for name in names})
        elif len(names) > 1:
            raise click.UsageError(f"{' and '.join(names)} cannot both be written to {path}")
        else:
            write_value(path, arrays[names[0]])
    return {name: str(path) for name, path in destinations.items()}


def _shown(name: str, array: Array) -> str:
    dtype = tile_dtype(array.dtype)
    title = f"{name}: {dtype}[{', '.join(map(str, array.shape))}]"
    if array.ndim == 0:
        return f"{title} = {array[()]}"
    text = np.array2string(array, threshold=_SHOWN, max_line_width=100)
    if array.size <= _SHOWN:
        return f"{title}\n{text}"
    wide = array.astype(np.float64)
    facts = f"min {wide.min():.6g}, mean {wide.mean():.6g}, max {wide.max():.6g}"
    return f"{title}, {facts}\n{text}"


def _facts(arrays: Mapping[str, Array], written: Mapping[str, str]) -> dict[str, object]:
    outputs: dict[str, object] = {}
    for name, array in arrays.items():
        facts: dict[str, object] = {
            "dtype": str(tile_dtype(array.dtype)),
            "shape": list(array.shape),
        }
        if name in written:
            facts["file"] = written[name]
        elif array.size > _SHOWN_JSON:
            raise click.UsageError(
                f"the result {name} has {array.size} elements, too many for JSON; "
                f"add -o {name}=FILE.npy"
            )
        else:
            facts["values"] = _plain(array)
        outputs[name] = facts
    return {"version": __version__, "outputs": outputs}


def _plain(array: Array) -> object:
    """Nested lists; what JSON has no number for is a string."""
    if array.dtype.kind == "f" and not np.isfinite(array.astype(np.float64)).all():
        strings = np.vectorize(_json_number, otypes=[object])(array)
        return strings.tolist() if array.ndim else strings[()]
    return array.astype(np.float64).tolist() if array.dtype.kind == "V" else array.tolist()


def _json_number(value: float) -> float | str:
    return float(value) if np.isfinite(value) else str(float(value))
