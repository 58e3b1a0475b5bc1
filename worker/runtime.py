"""The composition root: everything a worker process works with, opened once and closed in order."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from redis import Redis

from shared.broker import SOCKET_TIMEOUT_S
from shared.settings import Settings
from worker.faces.service import FaceService
from worker.ledger import Ledger
from worker.models import catalog, files
from worker.models.arcface import ArcFace
from worker.models.calibration import Calibration
from worker.models.identity import Identity, identity
from worker.models.session import open_session
from worker.models.yunet import YuNet
from worker.store.base import Store
from worker.store.opening import open_store


@dataclass(frozen=True)
class Runtime:
    """Safe to use from all threads of the process."""

    faces: FaceService
    calibration: Calibration
    store: Store
    ledger: Ledger
    identity: Identity


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """Raises OperatorError when a model is missing or not permitted, or the data directory is in use."""
    detector = catalog.find(settings.detector, "detection")
    embedder = catalog.find(settings.embedder, "embedding")
    for model in (detector, embedder):
        catalog.permitted(model, settings.accept_noncommercial)
    with ExitStack() as stack:
        faces = FaceService(
            YuNet(open_session(files.prepared_path(detector, settings.models_dir)), settings.detection_score),
            ArcFace(open_session(files.prepared_path(embedder, settings.models_dir)), embedder),
        )
        space = identity(embedder)
        store = stack.enter_context(closing(open_store(settings, space)))
        redis, images = (stack.enter_context(_connect(url)) for url in (settings.broker, settings.images))
        yield Runtime(faces, catalog.calibrated(embedder), store, Ledger(redis, images), space)


def _connect(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=SOCKET_TIMEOUT_S, socket_connect_timeout=SOCKET_TIMEOUT_S)
