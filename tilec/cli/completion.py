"""``tilec completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Add one of these lines to the start-up file of your shell:
      bash (~/.bashrc)                     eval "$(tilec completion bash)"
      zsh (~/.zshrc)                       eval "$(tilec completion zsh)"
      fish (~/.config/fish/config.fish)    tilec completion fish | source
    """
    maker = get_completion_class(shell)
    assert maker is not None  # the choice above names classes that click has
    root = ctx.find_root().command
    click.echo(maker(root, {}, "tilec", "_TILEC_COMPLETE").source())
