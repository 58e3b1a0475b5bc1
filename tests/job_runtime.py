"""A worker's runtime for tests of jobs: stores of a few numbers, faces from a table, and a real Redis."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from redis import Redis

from shared.jobs import CountFacedbsJob, Job, image_key, new_gateway_id, new_job_id, new_request_id
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import TableFaces
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.runtime import Runtime
from worker.store.edge.store import EdgeStore
from worker.store.memory import MemoryStore

SPACE = Identity("test", "0" * 64, 1, 4)
COLLECTION = "tenant.facedb.00000000"


@contextmanager
def job_runtime(kind: Literal["memory", "edge"], redis_url: str, folder: Path) -> Iterator[Runtime]:
    """Yield a runtime with an empty store of that kind."""
    store = MemoryStore(SPACE) if kind == "memory" else EdgeStore(folder, SPACE, 8)
    with closing(store), Redis.from_url(redis_url) as redis:
        yield Runtime(TableFaces(), SFACE, store, Ledger(redis, redis), only(SPACE), Metrics(NoTraces()), 3)


def job_of(runtime: Runtime, job_type: type[Job], image: bytes | None = None, **fields: Any) -> Any:
    """Return a new job, by default about COLLECTION, with its image in the image store."""
    job_id = new_job_id(new_gateway_id(), new_request_id())
    if image is not None:
        runtime.ledger.images.set(image_key(job_id), image)
    about = {} if job_type is CountFacedbsJob else {"collection": COLLECTION}
    return job_type.model_validate({"job_id": job_id, "deadline": time.time() + 60, **about, **fields})
