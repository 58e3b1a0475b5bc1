"""Which face databases the service refuses, as another model made their faces: for `facesearch doctor`."""

from contextlib import closing

from redis import RedisError

from facesearch.embedded import data_directory, servers
from shared.control.inventory import in_use
from shared.errors import OperatorError
from shared.presence import Presence, said
from shared.redis_clients import connect_blocking
from shared.settings import Settings


def refused(settings: Settings) -> str | None:
    """In one line which, and what to do; "" if there are none, None if nobody can tell.

    Workers that are alive know. One that refuses to start for it is not: then the faces themselves are looked at.
    """
    known: dict[str, str] | None = None
    try:
        url = settings.broker if settings.redis_url else servers.url(data_directory.broker_socket(settings.data_dir))
        with connect_blocking(url) as redis:
            records = [record for record in said(redis).values() if record is not None]
            known = in_use(redis)
        if records:
            return "; ".join(sorted({Presence.model_validate_json(record).refused for record in records} - {""}))
    except (OperatorError, RedisError, OSError):
        pass  # another finding says so
    return _looked_at(settings, known)


def _looked_at(settings: Settings, known: dict[str, str] | None) -> str | None:
    """known: what each collection in use is to an operator; None if that cannot be read."""
    folder = settings.data_dir.expanduser() / "faces"
    if settings.store_kind == "memory" or (settings.store_kind == "edge" and not folder.is_dir()):
        return None
    from worker.models import custom, identity  # noqa: PLC0415 -- what a worker needs takes seconds to import
    from worker.store.base import StoreError  # noqa: PLC0415 -- as above
    from worker.store.edge import files  # noqa: PLC0415 -- as above
    from worker.store.opening import open_store  # noqa: PLC0415 -- as above
    from worker.upkeep.foreign_facedbs import described as sentence  # noqa: PLC0415 -- as above

    try:
        ours = identity.identity(custom.find(settings.embedder, "embedding", settings.models_dir))
        if settings.store_kind == "edge":  # it may be open, which disturbs nobody
            found = files.strangers(folder, files.names(folder) if known is None else known, str(ours))
        elif known is None:
            return None
        else:
            with closing(open_store(settings, ours)) as store:
                found = store.strangers(known)
    except (OperatorError, StoreError, OSError):
        return None
    return sentence(found, ours, known or {})
