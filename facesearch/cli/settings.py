"""`facesearch settings`: every setting with its default and description."""

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import click
from pydantic.fields import FieldInfo

from facesearch.cli.console import json_option, terminal_columns
from shared.settings import Settings

NO_DEFAULT: Final = "—"


@click.command()
@json_option
def settings(as_json: bool) -> None:
    """Print every setting, its default and what it does."""
    if as_json:
        click.echo(json.dumps([_as_dict(*each) for each in _all()], indent=2))
        return
    columns = terminal_columns()
    click.echo(table() if columns is None else listing(columns))


def table() -> str:
    """Return the table of docs/settings.md, in Markdown."""
    rows = [f"| `{variable}` | {_default(field)} | {field.description} |" for variable, field in _all()]
    return "\n".join(["| variable | default | what it does |", "| --- | --- | --- |", *rows])


def listing(columns: int) -> str:
    """Return a paragraph for each setting, wrapped for a terminal of this width."""
    paragraphs = []
    for variable, field in _all():
        default = _default(field).strip("`")
        text = fill(field.description or "", columns, initial_indent="    ", subsequent_indent="    ")
        paragraphs.append(f"{variable}={'' if default == NO_DEFAULT else default}\n{text}")
    return "\n\n".join(paragraphs)


def _all() -> Iterator[tuple[str, FieldInfo]]:
    """Yield each variable with its field."""
    return zip(Settings.variables(), Settings.model_fields.values(), strict=True)


def _as_dict(variable: str, field: FieldInfo) -> dict[str, Any]:
    value = _value(field)
    default = value if isinstance(value, bool | int | float | None) else str(value)
    return {"name": variable, "default": default, "description": field.description}


def _value(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _default(field: FieldInfo) -> str:
    value = _value(field)
    if value is None:
        return NO_DEFAULT
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.replace(str(Path.home()), '~')}`"
