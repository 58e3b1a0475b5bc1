"""A store on a Qdrant server, from the settings."""

from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Store
from worker.store.qdrant.connection import connect
from worker.store.qdrant.layout import checked_layout
from worker.store.qdrant.retries import Patience
from worker.store.qdrant.shared_collection import SharedQdrantStore
from worker.store.qdrant.store import QdrantStore


def open_qdrant(settings: Settings, identity: Identity) -> Store:
    """Raises OperatorError if the settings do not make sense. Sends nothing."""
    checked_layout(settings)
    # An operation that hangs must end before its job is taken for lost and given to another worker.
    patience = Patience(min(settings.store_timeout_s, max(1, settings.visibility_timeout_s - 1)))
    kind = SharedQdrantStore if settings.placement == "shared" else QdrantStore
    return kind(connect(settings, patience), patience, identity, settings)
