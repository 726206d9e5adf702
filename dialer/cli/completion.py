"""`dialer completion`: what a shell needs to complete the command's words."""

import click
from click.shell_completion import get_completion_class

from dialer.cli.failures import Failed
from dialer.cli.group import example

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=example(
        "dialer completion bash > ~/.local/share/bash-completion/completions/dialer",
        'dialer completion zsh > "${fpath[1]}/_dialer"',
        "dialer completion fish > ~/.config/fish/completions/dialer.fish",
    )
)
@click.argument("shell", metavar="|".join(SHELLS), type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell."""
    complete = get_completion_class(shell)
    if complete is None:
        raise Failed(f"there is no completion for {shell}")
    click.echo(complete(ctx.find_root().command, {}, "dialer", "_DIALER_COMPLETE").source())
