"""Finds the face databases that the service refuses, because another model made their faces."""

from redis import RedisError

from facesearch.embedded.broker import broker_url
from shared.control.inventory import searched
from shared.errors import OperatorError
from shared.heartbeat import Heartbeat, read_heartbeats
from shared.redis_clients import connect_blocking
from shared.settings import Settings
from worker.store.backend import Backend
from worker.store.base import StoreError
from worker.store.opening import configured_spaces
from worker.upkeep.foreign_facedbs import describe


def refused(settings: Settings, store: Backend) -> str | None:
    """Return one line with the refused face databases and the remedy; "" if there are none, None if it is unknown.

    Living workers report them. If there is none (a worker that refuses all face databases does not start), the store
    is asked.
    """
    known: dict[str, str] | None = None
    try:
        with connect_blocking(broker_url(settings)) as redis:
            records = [record for record in read_heartbeats(redis).values() if record is not None]
            known = searched(redis)
        if records:
            return "; ".join(sorted({Heartbeat.model_validate_json(record).refused for record in records} - {""}))
    except (OperatorError, RedisError, OSError, ValueError):
        pass  # another finding says so
    try:
        spaces = configured_spaces(settings)
        found = store.foreign(spaces, known)
    except (OperatorError, StoreError, OSError):
        return None
    return None if found is None else describe(found, spaces.preferred, known or {})
