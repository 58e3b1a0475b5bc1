"""`facesearch settings`: every setting, as the table of docs/settings.md."""

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from shared.settings import Settings


def table() -> str:
    """Markdown, one row a setting."""
    rows = [
        f"| `{variable}` | {_default(field)} | {field.description} |"
        for variable, field in zip(Settings.variables(), Settings.model_fields.values(), strict=True)
    ]
    return "\n".join(["| variable | default | what it does |", "| --- | --- | --- |", *rows])


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "—"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.replace(str(Path.home()), '~')}`"
