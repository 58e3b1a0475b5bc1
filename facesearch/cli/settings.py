"""`facesearch settings`: every setting with its default and description."""

from pathlib import Path
from textwrap import fill
from typing import Any, Final

import click
from pydantic.fields import FieldInfo

from facesearch.cli.console import terminal_columns
from shared.settings import Settings

NO_DEFAULT: Final = "—"


@click.command()
def settings() -> None:
    """Print every setting, its default and what it does."""
    columns = terminal_columns()
    click.echo(table() if columns is None else listing(columns))


def table() -> str:
    """Return the table of docs/settings.md, in Markdown."""
    rows = [
        f"| `{variable}` | {_default(field)} | {field.description} |"
        for variable, field in zip(Settings.variables(), Settings.model_fields.values(), strict=True)
    ]
    return "\n".join(["| variable | default | what it does |", "| --- | --- | --- |", *rows])


def listing(columns: int) -> str:
    """Return a paragraph for each setting, wrapped for a terminal of this width."""
    paragraphs = []
    for variable, field in zip(Settings.variables(), Settings.model_fields.values(), strict=True):
        default = _default(field).strip("`")
        text = fill(field.description or "", columns, initial_indent="    ", subsequent_indent="    ")
        paragraphs.append(f"{variable}={'' if default == NO_DEFAULT else default}\n{text}")
    return "\n\n".join(paragraphs)


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return NO_DEFAULT
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.replace(str(Path.home()), '~')}`"
