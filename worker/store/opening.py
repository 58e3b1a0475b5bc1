"""Opens the store that the settings name. Importing this module loads no engine and no client of a server."""

from shared.settings import Settings
from worker.models import custom
from worker.models.spaces import Spaces, spaces_of
from worker.store.backend import Backend
from worker.store.base import Store


def configured_spaces(settings: Settings) -> Spaces:
    """Return the spaces of the settings. Raises OperatorError if there is no such embedder."""
    names = filter(None, (settings.embedder, settings.second_embedder))
    embedders = [custom.find(name, "embedding", settings.models_dir) for name in names]
    return spaces_of(*embedders, mirror_faces=settings.mirror_faces)


def backend(settings: Settings) -> Backend:
    """Return the store of the settings, not open yet."""
    # Each is imported when it is wanted: qdrant_client takes 0.75 s and 75 MB, and a gateway's commands need neither.
    match settings.store_kind:
        case "memory":
            from worker.store.memory import MemoryBackend  # noqa: PLC0415 -- see above

            return MemoryBackend()
        case "edge":
            from worker.store.edge.backend import EdgeBackend  # noqa: PLC0415 -- see above

            return EdgeBackend(settings)
        case "qdrant":
            from worker.store.qdrant.backend import QdrantBackend  # noqa: PLC0415 -- see above

            return QdrantBackend(settings)


def open_store(settings: Settings, spaces: Spaces) -> Store:
    """Return the store of the settings, open. Raises OperatorError if the settings or the machine do not allow it."""
    return backend(settings).open(spaces)
