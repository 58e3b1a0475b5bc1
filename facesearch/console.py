"""What all commands share: how they read settings, fail, and print."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from facesearch import installed
from shared.control import DEFAULT
from shared.errors import OperatorError
from shared.settings import Settings

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data directory of the service, unless REDIS_URL is set."
)
tenant_option = click.option("--tenant", default=DEFAULT, show_default=True, help="Whose.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def settings_from(**options: Any) -> Settings:
    """Settings of the environment, with the options that were given on top. Raises OperatorError for a bad value."""
    return Settings.read(**{name: value for name, value in options.items() if value is not None})


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose OperatorError is one line on stderr and exit status 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except OperatorError as error:
            click.echo(f"facesearch: {error}", err=True)
            sys.exit(1)

    return run


def worker_only(command: Callable[..., None]) -> Callable[..., None]:
    """A command that does a worker's work. Where what it needs is not installed it says where to run it."""
    return _where_installed(
        command,
        "no models. Run it where a worker runs: `docker compose exec worker {name}`, in Kubernetes `kubectl exec "
        "deployment/RELEASE-facesearch-worker -- {name}`",
    )


def backup_only(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that reads or writes a backup, for which there is a job with a folder of its own."""
    return _where_installed(
        command,
        "no store. Run it in the backup job: `docker compose run --rm backup {name} /backups/DIR`, in Kubernetes as "
        "docs/operations.md says under Back up and restore",
    )


def _where_installed(command: Callable[..., None], advice: str) -> Callable[..., None]:
    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        lacking = installed.missing(installed.FOR_WORKERS)
        if lacking:
            name = click.get_current_context().command_path
            raise OperatorError(
                f"`{name}` needs {lacking[0]}, which is not installed here. A gateway's image goes without it and has "
                f"{advice.format(name=name)}"
            )
        command(*args, **kwargs)

    return run


def remark(line: str) -> None:
    """Progress and advice go to stderr, so that stdout holds results alone."""
    click.echo(line, err=True)


def print_json(value: BaseModel | Iterable[BaseModel], **more: str) -> None:
    """A record, with more fields if need be, or a list of records."""
    if isinstance(value, BaseModel):
        click.echo(json.dumps(value.model_dump(mode="json") | more, indent=2))
    else:
        click.echo(json.dumps([record.model_dump(mode="json") for record in value], indent=2))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def moment(when: datetime | None) -> str:
    return "never" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
