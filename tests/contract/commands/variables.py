"""The variables that documents name."""

import re
from typing import Final

from contract.commands import containers
from contract.commands.pages import WrongError
from shared.settings import Settings
from shared.unknown_variables import COMPOSE_VARIABLES

OF_CALLERS: Final = frozenset({"FACESEARCH_URL", "FACESEARCH_KEY", "FACESEARCH_ADMIN_URL"})
"""Variables that programs of callers and of operators read."""

VARIABLE: Final = re.compile(r"\b(?:FACESEARCH_[A-Z0-9_]*[A-Z0-9]\b(?!\*|_)|\w+_(?:CPUS|MEMORY|MAXMEMORY)\b)")


def check_variable(name: str) -> None:
    known = {*Settings.variables(), *COMPOSE_VARIABLES, *OF_CALLERS}
    if name.startswith("FACESEARCH_") and name not in known:
        raise WrongError(f"{name} is no setting; `facesearch settings` lists them")


def check_variables_of(text: str) -> None:
    """Check every variable that a text names."""
    compose = {*containers.variables(), *Settings.variables()}
    for name in VARIABLE.findall(text):
        check_variable(name)
        if re.match(r"(VALKEY|IMAGES|QDRANT|GATEWAY|WORKER|BACKUP)_", name) and name not in compose:
            raise WrongError(f"{name} is no variable of the compose files")
