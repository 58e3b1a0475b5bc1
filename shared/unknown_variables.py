"""Variables that look like settings and are none: with a typing error a default holds, and nobody would know."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import structlog

from shared import settings
from shared.settings import Settings

PREFIX: Final = "FACESEARCH_"

OF_COMPOSE: Final = frozenset(
    {
        "FACESEARCH_BACKUPS",
        "FACESEARCH_BACKUPS_KEEP",
        "FACESEARCH_BIND",
        "FACESEARCH_PUBLISH",
        "FACESEARCH_VERSION",
    }
)
"""What the compose files read themselves; a shell or a file .env that serves both may hold them."""

LIKENESS: Final = 0.7
"""How much of a name has to be the same, 0 to 1, for another to be what was meant."""


@dataclass(frozen=True)
class UnknownVariable:
    """name: as it was given. nearest: the setting that is probably meant."""

    name: str
    nearest: str | None

    def __str__(self) -> str:
        meant = f"did you mean {self.nearest}?" if self.nearest else "`facesearch settings` lists all settings"
        return f"{self.name} is no setting and changes nothing; {meant}"


def unknown_variables() -> list[UnknownVariable]:
    """Those of the environment, and of the files that settings are read from, by name. An empty one is left out, as an
    empty setting counts as left out.
    """
    known = Settings.variables()
    given = sorted({*(name for name, value in os.environ.items() if value), *_secrets()})
    return [
        UnknownVariable(name, _nearest(name, known))
        for name in given
        if name.upper().startswith(PREFIX) and name.upper() not in {*known, *OF_COMPOSE}
    ]


def warn(log: structlog.stdlib.BoundLogger) -> None:
    """Log a warning for each; never a value, which may be a secret."""
    for found in unknown_variables():
        log.warning("unknown_variable", variable=found.name, nearest=found.nearest)


def _secrets() -> Iterator[str]:
    if settings.SECRETS_DIR.is_dir():
        yield from (path.name for path in settings.SECRETS_DIR.iterdir() if path.is_file())


def _nearest(name: str, known: Iterable[str]) -> str | None:
    # Without the prefix, which all have but REDIS_URL and QDRANT_…, and which would make all names alike.
    stems = {variable.removeprefix(PREFIX): variable for variable in known}
    found = get_close_matches(name.upper().removeprefix(PREFIX), stems, n=1, cutoff=LIKENESS)
    return stems[found[0]] if found else None
