"""A store on a Qdrant server, from the settings."""

from collections.abc import Collection
from contextlib import closing

from shared.settings import Settings
from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.store.backend import Backend
from worker.store.base import Store
from worker.store.qdrant.connection import connect
from worker.store.qdrant.layout import checked_layout
from worker.store.qdrant.retries import Retries
from worker.store.qdrant.shared_collection import SharedQdrantStore
from worker.store.qdrant.snapshots import QdrantSnapshots
from worker.store.qdrant.store import QdrantStore


def open_qdrant(settings: Settings, identity: Identity) -> Store:
    """Return the store of the placement in the settings. Raises OperatorError if the settings are wrong. Sends
    nothing.
    """
    checked_layout(settings)
    # An operation that hangs must end before its job is taken for lost and given to another worker.
    retries = Retries(min(settings.store_timeout_s, max(1, settings.visibility_timeout_s - 1)))
    kind = SharedQdrantStore if settings.placement == "shared" else QdrantStore
    return kind(connect(settings, retries), retries, identity, settings)


class QdrantBackend(Backend):
    """A Backend on the server of QDRANT_URL."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.qdrant_url or ""
        self.snapshots = QdrantSnapshots(settings)
        self._settings = settings

    def open(self, spaces: Spaces) -> Store:
        return open_qdrant(self._settings, spaces.preferred)

    def foreign(self, spaces: Spaces, collections: Collection[str] | None) -> dict[str, str] | None:
        if collections is None:
            return None
        with closing(self.open(spaces)) as store:
            return spaces.foreign(store.identities(collections))
