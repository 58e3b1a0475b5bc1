"""The composition root: everything a worker process works with, opened once and closed in order."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from shared.errors import OperatorError
from shared.redis_clients import connect_blocking
from shared.settings import Settings
from shared.tracing import open_tracer
from worker.faces.service import FaceService
from worker.ledger import Ledger
from worker.metrics import Metrics, served
from worker.models import catalog, files
from worker.models.arcface import ArcFace
from worker.models.calibration import Calibration
from worker.models.identity import Identity, identity
from worker.models.session import Session, open_session
from worker.models.yunet import YuNet
from worker.store.base import Store
from worker.store.measured import MeasuredStore
from worker.store.opening import open_store


@dataclass(frozen=True)
class Runtime:
    """Safe to use from all threads of the process."""

    faces: FaceService
    calibration: Calibration
    store: Store
    ledger: Ledger
    identity: Identity
    metrics: Metrics


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """Raises OperatorError when a model is missing or not permitted, the device is not there, the data directory is in
    use, or the metrics' port is taken.
    """
    detector = catalog.find(settings.detector, "detection")
    embedder = catalog.find(settings.embedder, "embedding")
    for model in (detector, embedder):
        catalog.permitted(model, settings.accept_noncommercial)
    with ExitStack() as stack:
        metrics = Metrics(open_tracer(settings, "facesearch-worker"))
        stack.callback(metrics.tracer.close)

        def session(model: catalog.Model) -> Session:
            metrics.uses(model, settings.device)
            return open_session(files.prepared_path(model, settings.models_dir), settings.device)

        faces = FaceService(
            YuNet(session(detector), settings.detection_score), ArcFace(session(embedder), embedder), metrics
        )
        space = identity(embedder)
        store = stack.enter_context(closing(open_store(settings, space)))
        redis, images = (stack.enter_context(connect_blocking(url)) for url in (settings.broker, settings.images))
        _serve(stack, metrics, settings)
        measured = MeasuredStore(store, metrics.store)
        yield Runtime(faces, catalog.calibrated(embedder), measured, Ledger(redis, images), space, metrics)


def _serve(stack: ExitStack, metrics: Metrics, settings: Settings) -> None:
    try:
        stack.enter_context(served(metrics, settings.metrics_host, settings.metrics_port))
    except OSError as error:
        raise OperatorError(
            f"cannot serve metrics on {settings.metrics_host} port {settings.metrics_port}: {error.strerror}; "
            "choose another with FACESEARCH_METRICS_PORT"
        ) from None
