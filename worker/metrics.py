"""The metrics of a worker for Prometheus; docs/monitoring.md explains them.

No value of a label comes from a caller.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shared.asynchronous import IMAGES
from shared.calls import CALLS, Call, action_rejections
from shared.contract import Flaw, Status
from shared.errors import FacePoor
from shared.jobs import SENT, Job
from shared.observability.metrics import REQUEST_BUCKETS, new_registry, rejections
from shared.observability.stages import Stages
from shared.observability.tracing import Tracer
from worker.models.catalog import Model
from worker.store.base import StoreError

STAGES: Final = ("image", "decode", "detect", "refine", "align", "embed")
ENDINGS: Final = ("killed", "crashed", "retired")
"""How vision processes end, see worker/processes/pool.py."""

OPERATIONS: Final = ("add", "search", "contains", "delete", "get", "replace", "page", "person", "update")

WAIT_BUCKETS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
"""Histogram buckets in seconds, up to the deadline of asynchronous jobs."""

_FACES: Final = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200)


def _task(job_type: type[Job]) -> str:
    """Return the label of a job, such as add."""
    return job_type.task.rpartition(".")[2]


class Metrics:
    """The metrics of one worker. All of them exist from the start, so that a rate over them is never missing."""

    def __init__(self, tracer: Tracer, calls: Sequence[Call] = CALLS) -> None:
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
        self._queue = histogram("job_queue_seconds", "Time from the dispatch of a job that is waited for to its start.")
        self._asynchronous_wait = histogram(
            "asynchronous_wait_seconds",
            "Time from the acceptance of an asynchronous job to its start.",
            buckets=WAIT_BUCKETS,
        )
        self._asynchronous = Counter(
            "facesearch_asynchronous_done", "Asynchronous jobs done.", ["status"], registry=self.registry
        )
        self._batch = histogram("batch_faces", "Faces in one call of the embedder.", buckets=_FACES)
        self._faces = histogram("faces_per_image", "Faces found in an image.", buckets=_FACES)
        self._in_flight = Gauge("facesearch_jobs_in_flight", "Jobs being done.", registry=self.registry)
        self._rejected = rejections(self.registry, action_rejections(calls))
        self._left_out = Counter(
            "facesearch_faces_left_out",
            "Faces that were not added for the way they are shown.",
            ["reason"],
            registry=self.registry,
        )
        self._too_old = Counter(
            "facesearch_retention_faces",
            "Faces that were deleted because they were older than their facedb keeps faces.",
            registry=self.registry,
        )
        self._retention_failures = Counter(
            "facesearch_retention_failures",
            "Passes of the retention that could not delete or erase everything; the next one is ten minutes later.",
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
        self._ended = Counter(
            "facesearch_vision_processes_ended",
            "Vision processes that ended: killed, such as for want of memory, crashed, or retired by their worker.",
            ["how"],
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
        for call in calls:
            self._seconds.labels(_task(call.job))
            for status in call.job_statuses:
                self._jobs.labels(_task(call.job), status)
                if call.may_be_asynchronous:
                    self._asynchronous.labels(status)
        for flaw in FacePoor.FLAWS:
            self._left_out.labels(flaw)
        for how in ENDINGS:
            self._ended.labels(how)
        for operation in OPERATIONS:
            for error in ("StoreUnavailable", "IdentityMismatch", "InvalidVector", "StoreError"):
                self._store_errors.labels(operation, error)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time the block as that stage of a detection."""
        return self._stages.time(name)

    def record_stage(self, name: str, at: float, seconds: float) -> None:
        """Record a stage that a vision process timed. at: time of its start, in seconds since 1970."""
        self._stages.record(name, at, seconds)

    def vision_process_ended(self, how: str) -> None:
        """Count a vision process that ended. how: one of ENDINGS."""
        self._ended.labels(how).inc()

    def found(self, faces: int) -> None:
        """Record the number of faces detected in an image."""
        self._faces.observe(faces)

    def embedded(self, faces: int) -> None:
        """Record the number of faces in one call of the embedder; 0 is not recorded."""
        if faces:
            self._batch.observe(faces)

    def uses(self, model: Model, device: str) -> None:
        """Record a model in use and its device."""
        self._models.labels(model.task, model.name, model.sha256, device).set(1)

    def watches(self, check_room: Callable[[], None]) -> None:
        """Watch whether the store can write: check_room raises StoreError when it cannot."""

        def writable() -> float:
            try:
                check_room()
            except StoreError:
                return 0
            return 1

        self._writable.set_function(writable)

    def refused(self, facedbs: int) -> None:
        """Record the number of face databases that are refused."""
        self._refused.set(facedbs)

    def rejected(self, reason: str) -> None:
        """Count a rejected input."""
        self._rejected.labels(reason).inc()

    def left_out(self, flaw: Flaw) -> None:
        """Count a face of an image that was not added."""
        self._left_out.labels(flaw).inc()

    def too_old(self) -> None:
        """Count a face that was deleted for its age."""
        self._too_old.inc()

    def retention_failed(self) -> None:
        """Count a pass of the retention that could not do everything."""
        self._retention_failures.inc()

    @contextmanager
    def store(self, operation: str) -> Iterator[None]:
        """Time the block as a call of the store, and count its error."""
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
        sent, is_asynchronous = headers.get(SENT), IMAGES in headers
        if isinstance(sent, float):  # clocks of two machines may differ
            waited = self._asynchronous_wait if is_asynchronous else self._queue
            waited.observe(max(0.0, time.time() - sent))
        task = _task(type(job))
        timer = JobTimer()
        with (
            self._in_flight.track_inprogress(),
            self._seconds.labels(task).time(),
            self.tracer.resumed(headers, task, job_id=job.job_id),
        ):
            yield timer
        self._jobs.labels(task, timer.status).inc()
        if is_asynchronous:
            self._asynchronous.labels(timer.status).inc()


class JobTimer:
    """The measurement of one job. status: how the job ended, to be set by the code that does it."""

    status: Status = Status.FAIL


@contextmanager
def served(metrics: Metrics, host: str, port: int | None) -> Iterator[None]:
    """Serve /metrics during the block, in a thread; port None: do not. Raises OSError when the port is taken."""
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
