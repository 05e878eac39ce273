"""``sentinel completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; source it in your shell's start-up file.

    \b
    Examples:
      sentinel completion bash
      sentinel completion zsh
    """
    found = get_completion_class(shell)
    assert found is not None, f"click completes no {shell}"
    click.echo(found(ctx.find_root().command, {}, "sentinel", "_SENTINEL_COMPLETE").source())
