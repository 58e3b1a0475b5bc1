"""Which store is in use: the one place that knows."""

from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Store
from worker.store.edge import EdgeStore
from worker.store.memory import MemoryStore


def open_store(settings: Settings, identity: Identity) -> Store:
    """The store that the settings ask for. Raises OperatorError if the settings or the machine do not allow it.

    A Qdrant server need not be up yet: nothing is sent before the first call.
    """
    match settings.store_kind:
        case "memory":
            return MemoryStore(identity)
        case "edge":
            return EdgeStore(settings.data_dir / "faces", identity, settings.edge_open_collections)
        case "qdrant":
            # qdrant_client takes 0.75 s and 75 MB to import, Qdrant Edge 0.02 s and 2 MB: who embeds need not wait.
            from worker.store.qdrant import QdrantStore  # noqa: PLC0415 - see above
            from worker.store.qdrant_calls import connect  # noqa: PLC0415

            api_key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
            # A call that hangs must end before the job is taken for lost and given to another worker.
            timeout = max(1, settings.visibility_timeout_s - 1)
            return QdrantStore(connect(settings.qdrant_url, api_key, timeout), identity)
