"""`facesearch models`: the catalogue on the command line."""

from collections.abc import Callable, Sequence

import click

from facesearch.console import print_table
from shared.errors import OperatorError
from shared.settings import Settings
from worker.models import catalog, files

Say = Callable[[str], None]


def in_use(settings: Settings) -> list[catalog.Model]:
    """The models that the settings name. Raises OperatorError when one is unknown or not permitted."""
    chosen = (catalog.find(settings.detector, "detection"), catalog.find(settings.embedder, "embedding"))
    return [catalog.permitted(model, settings.accept_noncommercial) for model in chosen]


def pull(settings: Settings, names: Sequence[str], say: Say) -> None:
    """Make the named models, or those in use, ready. Raises OperatorError when one cannot be had."""
    known = {model.name: model for model in catalog.MODELS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise OperatorError(f"no model is called {unknown[0]!r}; `facesearch models list` names them all")
    wanted = [catalog.permitted(known[name], settings.accept_noncommercial) for name in names] or in_use(settings)
    for model in wanted:
        files.pull(model, settings.models_dir, say)


def list_all(settings: Settings) -> None:
    """Print one line a model."""
    used = {settings.detector, settings.embedder}
    rows = [
        (
            model.name + (" *" if model.name in used else ""),
            model.task,
            "ready" if files.is_ready(model, settings.models_dir) else "not fetched",
            "yes" if model.commercial else "no",
            model.licence,
        )
        for model in catalog.MODELS
    ]
    print_table(("NAME", "TASK", "STATE", "COMMERCIAL USE", "LICENCE"), rows)
    click.echo(f"\n* in use. Folder: {settings.models_dir}")
