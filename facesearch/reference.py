"""`facesearch settings`: every setting, as the table of docs/settings.md."""

from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from shared.settings import Settings


def table() -> str:
    """Markdown, one row a setting."""
    rows = [
        f"| `{_variable(name, field)}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | what it does |", "| --- | --- | --- |", *rows])


def _variable(name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{Settings.model_config['env_prefix']}{name}".upper()


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "—"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.replace(str(Path.home()), '~')}`"
