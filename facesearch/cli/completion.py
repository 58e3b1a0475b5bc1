"""`facesearch completion`: print what makes a shell complete commands and options."""

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

PROGRAM: Final = "facesearch"


class Fish(FishComplete):
    """For fish, which of click's script gets what a command does up to its first comma."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')


_SHELLS: Final = {"bash": BashComplete, "fish": Fish, "zsh": ZshComplete}

_ADVICE: Final = {
    "bash": 'Add to ~/.bashrc: eval "$(facesearch completion bash)"',
    "zsh": 'Add to ~/.zshrc: eval "$(facesearch completion zsh)"',
    "fish": "Save it: facesearch completion fish > ~/.config/fish/completions/facesearch.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(sorted(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete commands and options. Its first line says where it belongs."""
    made = _SHELLS[shell](context.find_root().command, {}, PROGRAM, "_FACESEARCH_COMPLETE")
    click.echo(f"# {_ADVICE[shell]}")
    click.echo(made.source())
