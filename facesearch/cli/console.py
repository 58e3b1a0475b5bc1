"""Options, settings, error reports and output that the commands share."""

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

from facesearch.diagnosis import installed
from shared.control import DEFAULT
from shared.errors import OperatorError
from shared.settings import Settings

_LEAST_COLUMNS: Final = 40
"""Minimum line length; a narrower terminal wraps the lines itself."""

LINE_EVERY_S: Final = 10.0
"""Seconds between lines of progress where there is no terminal."""

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data directory of the service, unless REDIS_URL is set."
)
tenant_option = click.option("--tenant", default=DEFAULT, show_default=True, help="Name of the tenant.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def settings_from(**options: Any) -> Settings:
    """Return the settings of the environment, overridden by options that are not None. Raises OperatorError if one is
    invalid.
    """
    return Settings.read(**{name: value for name, value in options.items() if value is not None})


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an OperatorError of the command into one line on stderr and exit status 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except OperatorError as error:
            click.echo(click.style("facesearch:", fg="red") + f" {error}", err=True)  # in colour on a terminal alone
            sys.exit(1)

    return run


def worker_only(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command that needs a worker's libraries raise OperatorError, which says where to run it, without them."""
    return _require_installed(
        command,
        "no models. Run it where a worker runs: `docker compose exec worker {name}`, in Kubernetes `kubectl exec "
        "deployment/RELEASE-facesearch-worker -- {name}`",
    )


def backup_only(command: Callable[..., None]) -> Callable[..., None]:
    """Do the same for a command that reads or writes a backup; deployments have a job with a folder for these."""
    return _require_installed(
        command,
        "no store. Run it in the backup job: `docker compose run --rm backup {name} /backups/DIR`, in Kubernetes as "
        "docs/operations.md says under Back up and restore",
    )


def store_only(command: Callable[..., None]) -> Callable[..., None]:
    """Do the same for a command that reads or writes a file of persons."""
    return _require_installed(
        command,
        "no store. Run it in the backup job: `docker compose run --rm backup {name} /backups/FILE`, in Kubernetes as "
        "docs/operations.md says under Back up and restore",
    )


def _require_installed(command: Callable[..., None], advice: str) -> Callable[..., None]:
    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        missing = installed.missing(installed.FOR_WORKERS)
        if missing:
            name = click.get_current_context().command_path
            raise OperatorError(
                f"`{name}` needs {missing[0]}, which is not installed here. A gateway's image goes without it and has "
                f"{advice.format(name=name)}"
            )
        command(*args, **kwargs)

    return run


def remark(line: str) -> None:
    """Print progress or advice to stderr, so that stdout has results only."""
    click.echo(line, err=True)


def print_json(value: BaseModel | Iterable[BaseModel], **more: Any) -> None:
    """Print a record, with additional fields, or a list of records."""
    if isinstance(value, BaseModel):
        click.echo(json.dumps(value.model_dump(mode="json") | more, indent=2))
    else:
        click.echo(json.dumps([record.model_dump(mode="json") for record in value], indent=2))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns. On a terminal cells are wrapped so that lines fit; elsewhere each row is one line."""
    lines = [head, *rows]
    widths = column_widths(lines, terminal_columns())
    for line in lines:
        cells = [_wrapped(cell, width) for cell, width in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
            click.echo("  ".join(padded).rstrip())


def print_paragraph(text: str, indent: int = 0) -> None:
    """Print one line. On a terminal it is wrapped, and continuation lines are indented by `indent` characters."""
    columns = terminal_columns()
    if columns is None:
        click.echo(text)
        return
    for line in text.splitlines():
        click.echo(fill(line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False))


def terminal_columns() -> int | None:
    """Return the characters a line may have; None if stdout is no terminal and COLUMNS is not set."""
    given = os.environ.get("COLUMNS", "")
    if not given.isdecimal() and not sys.stdout.isatty():
        return None
    return max(_LEAST_COLUMNS, shutil.get_terminal_size().columns)


def column_widths(lines: Sequence[Sequence[str]], columns: int | None) -> list[int]:
    """Return the widths of a table's columns such that a line, with two spaces between columns, fits into `columns`
    characters.

    The widest columns shrink first: down to their longest word, and within words only if that is not enough. The first
    column, which identifies a row, shrinks last.
    """
    table = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in table]
    if columns is None:
        return widths
    longest_words = [max(len(piece) for cell in column for piece in _words(cell)) for column in table]
    for least, first in ((longest_words, 1), (longest_words, 0), ([1] * len(widths), 1), ([1] * len(widths), 0)):
        while sum(widths) + 2 * (len(widths) - 1) > columns:
            wide = [column for column in range(first, len(widths)) if widths[column] > least[column]]
            if not wide:
                break
            widths[max(wide, key=lambda column: widths[column])] -= 1
    return widths


def _words(cell: str) -> list[str]:
    """Return the words of a cell; hyphens end a word."""
    return wrap(cell, 1, break_long_words=False) or [""]


def _wrapped(cell: str, width: int) -> list[str]:
    return [cell] if len(cell) <= width else wrap(cell, width)


def format_time(when: datetime | None) -> str:
    return "never" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
