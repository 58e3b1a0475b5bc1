"""What Prometheus reads of a worker. docs/operations.md tells what to make of it.

Label values are this service's own words: nothing that a caller sent becomes one.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shared.contract import Flaw, Status
from shared.jobs import SENT, AddJob, CompareJob, DeleteJob, Job, SearchJob
from shared.observability.metrics import REQUEST_BUCKETS, new_registry, rejections
from shared.observability.stages import Stages
from shared.observability.tracing import Tracer
from worker.models.catalog import Model
from worker.store.base import StoreError

STAGES: Final = ("image", "decode", "detect", "refine", "align", "embed")
_POOR: Final = tuple(flaw for flaw in Flaw if flaw is not Flaw.SEVERAL)
REASONS: Final = (
    "image_format",
    "no_face",
    "several_faces",
    "too_many_faces",
    *(f"quality_{flaw}" for flaw in _POOR),
)
OPERATIONS: Final = ("add", "search", "contains", "delete")

_FACES: Final = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200)
_STATUSES: Final[Mapping[type[Job], tuple[Status, ...]]] = {
    AddJob: (
        Status.OK,
        Status.FACE_DETECT_FAILED,
        Status.IMAGE_INVALID_FORMAT,
        Status.INVALID_REQUEST,
        Status.FAIL,
    ),
    SearchJob: (
        Status.OK,
        Status.NO_SIMILAR_FACE,
        Status.FACE_DETECT_FAILED,
        Status.IMAGE_INVALID_FORMAT,
        Status.FAIL,
    ),
    DeleteJob: (Status.OK, Status.PERSON_ID_NOT_EXIST, Status.FAIL),
    CompareJob: (Status.OK, Status.FACE_DETECT_FAILED, Status.IMAGE_INVALID_FORMAT, Status.FAIL),
}


def _task(job_type: type[Job]) -> str:
    """add, search, delete or compare."""
    return job_type.task.rpartition(".")[2]


class Metrics:
    """Counters of one worker. All of them exist from the start, so that a rate over them is never missing."""

    def __init__(self, tracer: Tracer) -> None:
        self.registry = new_registry()
        self.tracer = tracer
        self._stages = Stages(
            "facesearch_stage_seconds", "Time in the stages of seeing.", STAGES, self.registry, tracer
        )

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = REQUEST_BUCKETS) -> Histogram:
            return Histogram(f"facesearch_{name}", text, labels, registry=self.registry, buckets=buckets)

        self._store = Stages(
            "facesearch_store_seconds", "Time in calls of the store.", OPERATIONS, self.registry, tracer, "operation"
        )
        self._jobs = Counter("facesearch_jobs", "Jobs done.", ["task", "status"], registry=self.registry)
        self._seconds = histogram("job_seconds", "Time from a job's start to its outcome.", "task")
        self._queue = histogram("job_queue_seconds", "Time from a job's dispatch to its start.")
        self._batch = histogram("batch_faces", "Faces in one call of the embedder.", buckets=_FACES)
        self._faces = histogram("faces_per_image", "Faces found in an image.", buckets=_FACES)
        self._in_flight = Gauge("facesearch_jobs_in_flight", "Jobs being done.", registry=self.registry)
        self._rejected = rejections(self.registry, REASONS)
        self._left_out = Counter(
            "facesearch_faces_left_out",
            "Faces that were not added for the way they are shown.",
            ["reason"],
            registry=self.registry,
        )
        self._store_errors = Counter(
            "facesearch_store_errors", "Failed calls of the store.", ["operation", "error"], registry=self.registry
        )
        self._models = Gauge(
            "facesearch_model_info",
            "Always 1; the models in use are in the labels.",
            ["task", "model", "digest", "device"],
            registry=self.registry,
        )
        self._refused = Gauge(
            "facesearch_facedbs_refused",
            "Face databases that are refused, as another model made their faces.",
            registry=self.registry,
        )
        self._writable = Gauge(
            "facesearch_store_writable",
            "Whether the store can write; 0: adds fail, such as for want of disk.",
            registry=self.registry,
        )
        for job_type, statuses in _STATUSES.items():
            self._seconds.labels(_task(job_type))
            for status in statuses:
                self._jobs.labels(_task(job_type), status)
        for flaw in _POOR:
            self._left_out.labels(flaw)
        for operation in OPERATIONS:
            for error in ("StoreUnavailable", "IdentityMismatch", "InvalidVector", "StoreError"):
                self._store_errors.labels(operation, error)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """The block is that stage of seeing."""
        return self._stages.time(name)

    def found(self, faces: int) -> None:
        """An image showed that many faces."""
        self._faces.observe(faces)

    def embedded(self, faces: int) -> None:
        """That many faces go through the embedder together; 0: none does."""
        if faces:
            self._batch.observe(faces)

    def uses(self, model: Model, device: str) -> None:
        """The worker runs that model on that device."""
        self._models.labels(model.task, model.name, model.sha256, device).set(1)

    def watches(self, check_room: Callable[[], None]) -> None:
        """The worker has a store, of which check_room tells, by StoreUnavailable, that it cannot write."""

        def writable() -> float:
            try:
                check_room()
            except StoreError:
                return 0
            return 1

        self._writable.set_function(writable)

    def refused(self, facedbs: int) -> None:
        """So many face databases are of another identity."""
        self._refused.set(facedbs)

    def rejected(self, reason: str) -> None:
        """An input was turned down."""
        self._rejected.labels(reason).inc()

    def left_out(self, flaw: Flaw) -> None:
        """A face of an image to add was not added."""
        self._left_out.labels(flaw).inc()

    @contextmanager
    def store(self, operation: str) -> Iterator[None]:
        """The block is a call of the store."""
        with self._store.time(operation):
            try:
                yield
            except Exception as error:
                self._store_errors.labels(operation, type(error).__name__).inc()
                raise

    @contextmanager
    def job(self, job: Job, headers: Mapping[str, Any]) -> Iterator["JobTimer"]:
        """Time the block, which does the job and sets the status of the timer that this yields. headers: those of the
        job's message.
        """
        sent = headers.get(SENT)
        if isinstance(sent, float):  # clocks of two machines may differ
            self._queue.observe(max(0.0, time.time() - sent))
        task = _task(type(job))
        timer = JobTimer()
        with (
            self._in_flight.track_inprogress(),
            self._seconds.labels(task).time(),
            self.tracer.resumed(headers, task, job_id=job.job_id),
        ):
            yield timer
        self._jobs.labels(task, timer.status).inc()


class JobTimer:
    """The measurement of one job. status: how the job ended, to be set by the code that does it."""

    status: Status = Status.FAIL


@contextmanager
def served(metrics: Metrics, host: str, port: int | None) -> Iterator[None]:
    """Serve /metrics meanwhile, by a thread of its own; port None: do not. Raises OSError when the port is taken."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, host, metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
