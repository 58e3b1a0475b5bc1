"""Which store is in use: the one place that knows."""

from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Store
from worker.store.edge.store import EdgeStore
from worker.store.memory import MemoryStore


def open_store(settings: Settings, identity: Identity) -> Store:
    """The store that the settings ask for. Raises OperatorError if the settings or the machine do not allow it.

    A Qdrant server need not be up yet: nothing is sent before the first call.
    """
    match settings.store_kind:
        case "memory":
            return MemoryStore(identity)
        case "edge":
            folder, sync = settings.data_dir / "faces", settings.sync == "always"
            return EdgeStore(folder, identity, settings.edge_open_collections, sync=sync)
        case "qdrant":
            # qdrant_client takes 0.75 s and 75 MB to import, Qdrant Edge 0.02 s and 2 MB: who embeds need not wait.
            from worker.store.qdrant.opening import open_qdrant  # noqa: PLC0415 - see above

            return open_qdrant(settings, identity)
