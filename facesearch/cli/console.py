"""Options, settings, error reports and output that the commands share."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import datetime
from functools import wraps
from itertools import zip_longest
from pathlib import Path
from textwrap import fill, wrap
from typing import Any, Final, NoReturn

import click
from pydantic import BaseModel

from facesearch.diagnosis import installed
from shared.control import Unknown
from shared.errors import OperatorError
from shared.settings import Settings

_LEAST_COLUMNS: Final = 40
"""Minimum line length; a narrower terminal wraps the lines itself."""

_GAP: Final = 2
"""Spaces between the columns of a table."""

_NUMBER: Final = re.compile(r"[0-9][0-9,.]*")

_STATES: Final = {"ready": "green", "works": "green", "not fetched": "yellow", "expired": "yellow", "revoked": "red"}
"""Colours of cells below STATE, by their beginning."""

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data directory of the service, unless REDIS_URL is set."
)
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
        except Unknown as error:
            failed(f"{error}; `facesearch {error.listed_by}` lists what there is" if error.listed_by else str(error))
        except OperatorError as error:
            failed(str(error))

    return run


def failed(why: str) -> NoReturn:
    """Print why the command failed, and end it."""
    _say(f"facesearch: {why}", "facesearch:", "red")
    sys.exit(1)


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
        "docs/backups.md says under Back up and restore",
    )


def store_only(command: Callable[..., None]) -> Callable[..., None]:
    """Do the same for a command that reads or writes a file of persons."""
    return _require_installed(
        command,
        "no store. Run it in the backup job: `docker compose run --rm backup {name} /backups/FILE`, in Kubernetes as "
        "docs/backups.md says under Back up and restore",
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
    _say(line, "warning:" if line.startswith("warning:") else "", "yellow")


def without_colour() -> bool:
    """Return whether the user wants none (no-color.org). Elsewhere than on a terminal click prints none anyway."""
    return bool(os.environ.get("NO_COLOR"))


def _say(text: str, mark: str, colour: str) -> None:
    """Print to stderr a text that begins with `mark`, which has a colour. On a terminal lines are wrapped."""
    if sys.stderr.isatty():
        columns = max(_LEAST_COLUMNS, shutil.get_terminal_size().columns)
        text = "\n".join(_filled(line, columns) for line in text.split("\n"))
    click.echo(click.style(mark, fg=colour) + text.removeprefix(mark) if mark else text, err=True)


def print_json(value: BaseModel | Iterable[BaseModel], **more: Any) -> None:
    """Print a record, with additional fields, or a list of records."""
    if isinstance(value, BaseModel):
        click.echo(json.dumps(value.model_dump(mode="json") | more, indent=2))
    else:
        click.echo(json.dumps([record.model_dump(mode="json") for record in value], indent=2))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], usual: Container[str] = ("",)) -> None:
    """Print aligned columns. On a terminal cells are wrapped so that lines fit, numbers are aligned to the right, the
    head and states have colours and, if lines would not fit, columns are left out in which all cells are in `usual`;
    elsewhere each row is one line, and complete.
    """
    columns = terminal_columns()
    lines: Sequence[Sequence[str]] = [head, *rows]
    if columns is not None:
        lines = _fitting(lines, columns, usual)
    widths = column_widths(lines, columns)
    right = [columns is not None and _is_numeric(column[1:]) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        colours = [None if columns is None else _colour(name, cell) for name, cell in zip(lines[0], line, strict=True)]
        cells = [_wrapped(cell, width) for cell, width in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = [
                part.rjust(width) if to_right else part.ljust(width)
                for part, width, to_right in zip(parts, widths, right, strict=True)
            ]
            padded[-1] = padded[-1].rstrip()
            if number == 0 and columns is not None:
                click.echo(click.style((" " * _GAP).join(padded).rstrip(), bold=True))
            else:
                styled = (
                    click.style(part, fg=colour) if colour and part.strip() else part
                    for part, colour in zip(padded, colours, strict=True)
                )
                click.echo((" " * _GAP).join(styled).rstrip())


def _fitting(lines: Sequence[Sequence[str]], columns: int, usual: Container[str]) -> list[tuple[str, ...]]:
    """Return the lines, without columns that say nothing if the lines do not fit into `columns` characters."""
    table = list(zip(*lines, strict=True))
    width = sum(max(map(len, column)) + _GAP for column in table) - _GAP
    if len(lines) > 1 and width > columns:
        table = table[:1] + [column for column in table[1:] if not all(cell in usual for cell in column[1:])]
    return list(zip(*table, strict=True))


def _is_numeric(cells: Sequence[str]) -> bool:
    return any(cells) and all(_NUMBER.fullmatch(cell) for cell in cells if cell)


def _colour(name: str, cell: str) -> str | None:
    """Return the colour of a cell below `name`."""
    if name != "STATE":
        return None
    return next((colour for state, colour in _STATES.items() if cell.startswith(state)), None)


def print_paragraph(text: str, indent: int = 0, mark: str = "", colour: str | None = None) -> None:
    """Print one line. On a terminal it is wrapped, and continuation lines are indented by `indent` characters. mark:
    the beginning of the line that has a colour.
    """
    columns = terminal_columns()
    if columns is not None:
        text = "\n".join(_filled(line, columns, indent) for line in text.split("\n"))
    click.echo(click.style(mark, fg=colour) + text.removeprefix(mark) if mark else text)


def print_text(text: str) -> None:
    """Print running text as it is broken into lines. On a terminal it is broken to fit."""
    print_paragraph(text if terminal_columns() is None else " ".join(text.split()))


def print_result(line: str) -> None:
    """Print a line of a check; a problem begins in red on a terminal."""
    print_paragraph(line, mark="wrong:" if line.startswith("wrong:") else "", colour="red")


def _filled(line: str, columns: int, indent: int = 0) -> str:
    return fill(line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


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
        while sum(widths) + _GAP * (len(widths) - 1) > columns:
            wide = [column for column in range(first, len(widths)) if widths[column] > least[column]]
            if not wide:
                break
            widths[max(wide, key=lambda column: widths[column])] -= 1
    return widths


def _words(cell: str) -> list[str]:
    """Return the words of a cell; hyphens and underscores end a word."""
    return [piece for word in wrap(cell, 1, break_long_words=False) for piece in _pieces(word)] or [""]


def _pieces(word: str) -> list[str]:
    """Return a word in pieces, each but the last with the underscore that ends it."""
    return [piece for piece in re.split(r"(?<=_)", word) if piece]


def _wrapped(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    lines: list[str] = []
    for line in wrap(cell, width, break_long_words=False):
        if len(line) <= width:
            lines.append(line)
            continue
        begun = ""
        for piece in _pieces(line):
            if begun and len(begun + piece) > width:
                lines.append(begun)
                begun = ""
            begun += piece
            while len(begun) > width:
                lines.append(begun[:width])
                begun = begun[width:]
        lines.append(begun)
    return [line for line in lines if line]


def shown_time(text: str | None) -> str:
    """Return a time in ISO 8601: to the minute on a terminal, whole elsewhere; "" for none."""
    if not text or terminal_columns() is None:
        return text or ""
    return format_time(datetime.fromisoformat(text))


def format_time(when: datetime | None) -> str:
    return "never" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"
