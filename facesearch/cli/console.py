"""What all commands share: how they read settings, fail, and print."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from itertools import zip_longest
from pathlib import Path
from textwrap import fill, wrap
from typing import Any, Final

import click
from pydantic import BaseModel

from facesearch.cli import installed
from shared.control import DEFAULT
from shared.errors import OperatorError
from shared.settings import Settings

_LEAST_COLUMNS: Final = 40
"""A terminal that is narrower gets lines of this length, which it breaks itself."""

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data directory of the service, unless REDIS_URL is set."
)
tenant_option = click.option("--tenant", default=DEFAULT, show_default=True, help="Name of the tenant.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


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
    """Aligned columns. At a terminal cells are broken so that lines fit; elsewhere a row is one line, for scripts."""
    lines = [head, *rows]
    widths = fitting(lines, columns_of_terminal())
    for line in lines:
        cells = [_broken(cell, width) for cell, width in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
            click.echo("  ".join(padded).rstrip())


def print_paragraph(text: str, indent: int = 0) -> None:
    """One line. At a terminal it is broken so that it fits, what follows being indented by so many characters."""
    columns = columns_of_terminal()
    if columns is None:
        click.echo(text)
        return
    for line in text.splitlines():
        click.echo(fill(line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False))


def columns_of_terminal() -> int | None:
    """How many characters a line has, None when stdout is no terminal. COLUMNS in the environment wins."""
    given = os.environ.get("COLUMNS", "")
    if not given.isdecimal() and not sys.stdout.isatty():
        return None
    return max(_LEAST_COLUMNS, shutil.get_terminal_size().columns)


def fitting(lines: Sequence[Sequence[str]], columns: int | None) -> list[int]:
    """Widths of the columns of a table, so that together, with two spaces between them, they have at most so many
    characters. The widest gives way first: at spaces and hyphens, and only if that is not enough within words. The
    first column, by which a row is known, comes last.
    """
    table = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in table]
    if columns is None:
        return widths
    pieces = [max(len(piece) for cell in column for piece in _pieces(cell)) for column in table]
    for least, first in ((pieces, 1), (pieces, 0), ([1] * len(widths), 1), ([1] * len(widths), 0)):
        while sum(widths) + 2 * (len(widths) - 1) > columns:
            wide = [column for column in range(first, len(widths)) if widths[column] > least[column]]
            if not wide:
                break
            widths[max(wide, key=lambda column: widths[column])] -= 1
    return widths


def _pieces(cell: str) -> list[str]:
    """What is not broken unless it must be."""
    return wrap(cell, 1, break_long_words=False) or [""]


def _broken(cell: str, width: int) -> list[str]:
    return [cell] if len(cell) <= width else wrap(cell, width)


def format_time(when: datetime | None) -> str:
    return "never" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
