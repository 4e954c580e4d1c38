"""The group of commands, and what the process says and returns when one fails."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from tilec.cli.report import print_error
from tilec.errors import ArgumentError, InternalError, TargetError, TilecError
from tilec.options import read_environment
from tilec.version import __version__

EXIT_FAULTY_PROGRAM = 1
EXIT_WRONG_USAGE = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

# Name, module under tilec.cli and one line for the list. The modules are imported when their
# command runs, so that --help and completion answer at once.
_COMMANDS = {
    "compile": ("compile", "Compile a Tile program and print what the compiler made of it."),
    "run": ("run", "Run a Tile program or an ONNX model on files, images and numbers."),
    "check": ("check", "Report errors and suspicious spots of Tile programs."),
    "grad": ("grad", "Print the derivative of a Tile program, which is a Tile program again."),
    "explain": ("explain", "Say why each kernel takes the time it takes."),
    "bench": ("bench", "Time networks in tilec and in other engines, and compare their results."),
    "tune": ("tune", "Look for faster schedules by running them, and keep what is found."),
    "tunings": ("tunings", "Look after what the tuner found."),
    "targets": ("targets", "List the targets and describe this machine."),
    "devices": ("devices", "List the devices that kernels can run on, and what each can do."),
    "calibrate": ("calibrate", "Measure what this machine reaches."),
    "cache": ("cache", "Look after the disk cache of compiled kernels."),
    "completion": ("completion", "Print the completion script of a shell."),
}


class _LazyGroup(click.Group):
    """A group that imports the module of a command only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tilec.cli.{_COMMANDS[cmd_name][0]}")
        command: object = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"tilec {__version__}")
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Compile tensor mathematics, written in the Tile language, to fast kernels.

    \b
    Try it:
      tilec run -e 'C[i] = +(A[i, k])' 'A=[[1, 2], [3, 4]]'
      tilec compile -e 'C[i, j : M, N] = +(A[i, k] * B[k, j])' \\
          --shape A=64x64 --shape B=64x64 --emit kernel,asm
      tilec COMMAND --help

    Exit status: 0 when all is well, 1 for a faulty program, 2 for wrong usage.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit status."""
    if hasattr(signal, "SIGPIPE"):
        # A reader that has enough (head, a pager) ends us silently, as it ends any other tool.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        status: object = cli.main(
            None if arguments is None else list(arguments),
            prog_name="tilec",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return EXIT_WRONG_USAGE
    except TilecError as error:
        if _debugging():
            raise
        print_error(error)
        return _status_of(error)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except Exception as error:
        if _debugging():
            raise
        print_error(InternalError(f"{type(error).__name__}: {error}"))
        return EXIT_BUG
    return status if isinstance(status, int) else 0


def _status_of(error: TilecError) -> int:
    if isinstance(error, InternalError):
        return EXIT_BUG
    # Without a place in the text, these two are about the command line.
    if isinstance(error, ArgumentError | TargetError) and error.span is None:
        return EXIT_WRONG_USAGE
    return EXIT_FAULTY_PROGRAM


def _debugging() -> bool:
    try:
        return read_environment().debug
    except TilecError:  # another variable cannot be read; that is what gets reported
        return False
