"""Examples of each command, for the end of its help. A test parses all of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import click

EXAMPLES: Final[Mapping[str, Sequence[str]]] = {
    "audit calls": ("--person-id 4fbd9474-e09f-4e7d-9a2f-06fa1167f67e", "--since 2026-11-01 --tenant bank"),
    "audit heads": ("",),
    "audit verify": ("", "/var/log/facesearch --heads heads.json"),
    "backup": ("/backups/monday", "/backups --keep 7"),
    "calibrate": ("photos", "photos --model my-model --write"),
    "completion": ("bash",),
    "doctor": ("", "--role gateway"),
    "erase": ("--now", "--external-id employee-4711 --facedb staff"),
    "evaluate": ("photos", "photos --json"),
    "export": ("staff.facedb --facedb staff",),
    "facedbs confidence": ("staff", "staff --write"),
    "facedbs create": ("staff", "staff --tenant bank"),
    "facedbs default": ("staff",),
    "facedbs drop": ("staff --yes",),
    "facedbs list": ("", "--count --json"),
    "facedbs migrate": (
        "staff --photos photos  # photos/Ann/1.jpg: Ann",
        "staff --photos all --by-face",
        "staff  # how far it is",
        "staff --switch  # then --rollback, or --finish",
    ),
    "facedbs retention": ("visitors --days 30", "visitors --off"),
    "import": (
        "photos  # photos/Ann/1.jpg is Ann",
        "photos --names file  # photos/Ann.jpg is Ann",
        "people.csv --facedb staff  # file,name,external_id",
        "photos.zip --dry-run --report wrong.csv",
        "staff.facedb --facedb staff",
    ),
    "keys create": ("--name till", "--name branch --scope search --expires 90d --rate 50"),
    "keys list": ("", "--all --tenant bank"),
    "keys revoke": ("aa3c294912ad",),
    "models add": ("my-model.onnx --like sface-2021dec --name my-model",),
    "models list": ("",),
    "models pull": ("", "auraface-v1"),
    "persons delete": ("4fbd9474-e09f-4e7d-9a2f-06fa1167f67e",),
    "persons list": ("--facedb staff", "--external-id employee-4711 --json"),
    "persons rename": ("4fbd9474-e09f-4e7d-9a2f-06fa1167f67e Grace",),
    "persons show": ("4fbd9474-e09f-4e7d-9a2f-06fa1167f67e",),
    "restore": ("/backups/monday",),
    "settings": ("",),
    "tenants create": ("bank",),
    "tenants drop": ("bank",),
    "tenants list": ("", "--json"),
    "tenants webhook-secret": ("bank", "bank --remove"),
    "up": ("", "--port 9000 --data-dir ~/faces"),
    "usage": ("--from 2026-11-01", "--tenant bank --csv bank.csv"),
    "verify": ("", "/backups/monday"),
    "webhooks dead": ("--tenant bank", "--retry"),
}
"""The arguments of each example, by the command's path, some with a comment as in a shell."""


def with_examples(command: click.Command, path: str) -> click.Command:
    """Add the examples to the help of a command, and to those below it where it is a group, of which it lists the whole
    first sentences. Returns the command.
    """
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            below.short_help = below.get_short_help_str(limit=200)
            with_examples(below, f"{path} {name}")
    elif path in EXAMPLES:
        lines = (f"  facesearch {path} {arguments}".rstrip() for arguments in EXAMPLES[path])
        command.epilog = "\b\n" + "\n".join(("Examples:", *lines))  # \b: click is to leave the lines as they are
    return command
