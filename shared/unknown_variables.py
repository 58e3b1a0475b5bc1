"""Environment variables that look like settings but are none, such as misspelt ones, to warn of them."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import structlog

from shared import settings
from shared.settings import Settings

PREFIX: Final = "FACESEARCH_"

COMPOSE_VARIABLES: Final = frozenset(
    {
        "FACESEARCH_BACKUPS",
        "FACESEARCH_BACKUPS_KEEP",
        "FACESEARCH_BIND",
        "FACESEARCH_PUBLISH",
        "FACESEARCH_VERSION",
    }
)
"""Variables of the compose files, which a shared shell or .env file may hold."""

SIMILARITY: Final = 0.7
"""Minimum similarity of a setting to be suggested, 0 to 1 (difflib's ratio)."""


@dataclass(frozen=True)
class UnknownVariable:
    """name: of the variable. nearest: the setting that is probably meant, if any."""

    name: str
    nearest: str | None

    def __str__(self) -> str:
        hint = f"did you mean {self.nearest}?" if self.nearest else "`facesearch settings` lists all settings"
        return f"{self.name} is no setting and changes nothing; {hint}"


def unknown_variables() -> list[UnknownVariable]:
    """Return the unknown variables of the environment and of the secret files, ordered by name, without empty ones."""
    known = Settings.variables()
    given = sorted({*(name for name, value in os.environ.items() if value), *_secrets()})
    return [
        UnknownVariable(name, _nearest(name, known))
        for name in given
        if name.upper().startswith(PREFIX) and name.upper() not in {*known, *COMPOSE_VARIABLES}
    ]


def warn(log: structlog.stdlib.BoundLogger) -> None:
    """Log a warning for each unknown variable, without its value, which may be secret."""
    for found in unknown_variables():
        log.warning("unknown_variable", variable=found.name, nearest=found.nearest)


def _secrets() -> Iterator[str]:
    if settings.SECRETS_DIR.is_dir():
        yield from (path.name for path in settings.SECRETS_DIR.iterdir() if path.is_file())


def _nearest(name: str, known: Iterable[str]) -> str | None:
    # Without the common prefix, which would make all names similar.
    stems = {variable.removeprefix(PREFIX): variable for variable in known}
    found = get_close_matches(name.upper().removeprefix(PREFIX), stems, n=1, cutoff=SIMILARITY)
    return stems[found[0]] if found else None
