"""The composition root of a worker process: opens everything once and closes it in order."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from shared.calls import CALLS, Call
from shared.errors import OperatorError
from shared.fair_queue import extra_threads
from shared.observability.tracing import open_tracer
from shared.redis_clients import connect_blocking
from shared.settings import Settings
from worker.delivery.time_limit import PATIENCE_SHARE, WaitedSeconds, limit_s, never_waited
from worker.inference.plan import Plan
from worker.ledger import Ledger
from worker.metrics import Metrics, served
from worker.migrations import Migrations
from worker.models import catalog, files
from worker.models.calibration import Calibration
from worker.models.own_calibrations import OwnCalibrations
from worker.models.selection import calibrations_in_use, detector_in_use, in_use, second_in_use
from worker.models.spaces import Spaces, spaces_of
from worker.models.versions import Preprocessing
from worker.processes.models import Vision
from worker.processes.pool import VisionPool
from worker.store.base import Store
from worker.store.measured import MeasuredStore
from worker.store.migrated import FindMigrations, MigratedStore
from worker.store.opening import open_store
from worker.vision.arcface import ArcFace
from worker.vision.memory_budget import MemoryBudget
from worker.vision.quality import GATES, NO_GATES, Gates
from worker.vision.service import Face, FaceSelection, FaceService
from worker.vision.services import FaceServices
from worker.vision.session import open_session
from worker.vision.yunet import YuNet
from worker.waits import Waits


class Faces(Protocol):
    """Finds and embeds the faces of encoded images, as FaceService does."""

    def embed_all(
        self, data: bytes, selection: FaceSelection | None = None, *, preprocessing: Preprocessing
    ) -> list[Face]:
        """Return the selected faces, by default all, from left to right."""

    def embed_most_prominent(self, data: bytes, *, preprocessing: Preprocessing) -> Face:
        """Return the most prominent face."""


@dataclass(frozen=True)
class Runtime:
    """The parts that jobs use. Safe to use from all threads of the process.

    patience_s: seconds after which a job that can give up does so, as the time limit counts. gates: quality gates; none
    by default. waited_s: returns how long a thread has waited for what does not count. spaces: of the facedbs that are
    served. store: under the preferred identity. calibration: of the preferred embedder. own_calibrations: chooses the
    calibration of a search. calibrations: those of the embedders, by their names. migrations: of facedbs from one model
    to another; none by default.
    """

    faces: Faces
    calibration: Calibration
    store: Store
    ledger: Ledger
    spaces: Spaces
    metrics: Metrics
    patience_s: float
    gates: Gates = NO_GATES
    waited_s: WaitedSeconds = never_waited
    own_calibrations: OwnCalibrations = field(default_factory=OwnCalibrations)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    migrations: FindMigrations = dict
    stored_under_their_names: Store | None = None

    @property
    def stored(self) -> Store:
        """The store with the names of stored collections, which are other ones where a facedb is migrated."""
        return self.stored_under_their_names or self.store


@contextmanager
def open_runtime(settings: Settings, waits: Waits | None = None, calls: Sequence[Call] = CALLS) -> Iterator[Runtime]:
    """Open the runtime of a worker for the given calls. waits: counts how long its threads wait.

    Raises OperatorError when a model is missing, not permitted, not calibrated or not for the device, the device is
    missing or cannot run it, the data directory is in use, or the metrics' port is taken.
    """
    detector, embedder = in_use(settings)
    second = second_in_use(settings)
    calibrations = calibrations_in_use(settings)
    for setting, each in (("EMBEDDER", embedder), ("SECOND_EMBEDDER", second)):
        if each is not None and each.ranges is not None and settings.device != "cpu":
            raise OperatorError(
                f"{each.name} is for CPUs; choose an embedder without 8 bits with FACESEARCH_{setting}, or set "
                "FACESEARCH_DEVICE=cpu"
            )
    with ExitStack() as stack:
        metrics = Metrics(open_tracer(settings, "facesearch-worker"), calls)
        stack.callback(metrics.tracer.close)

        waits = waits or Waits()
        faces = _open_faces(stack, settings, detector, (embedder, second), metrics, waits)
        spaces = spaces_of(embedder, second, mirror_faces=settings.mirror_faces)
        store = stack.enter_context(closing(open_store(settings, spaces)))
        redis, images = (stack.enter_context(connect_blocking(url)) for url in (settings.broker, settings.images))
        _serve(stack, metrics, settings)
        migrations = Migrations(redis)
        measured = MeasuredStore(MigratedStore(store, migrations), metrics.store)
        metrics.watches(measured.check_room)
        ledger, patience_s = Ledger(redis, images), PATIENCE_SHARE * limit_s(settings.visibility_timeout_s)
        gates = Gates(GATES[settings.quality_add], GATES[settings.quality_search])
        yield Runtime(
            faces,
            calibrations[embedder.name],
            measured,
            ledger,
            spaces,
            metrics,
            patience_s,
            gates,
            waits.seconds,
            OwnCalibrations(calibrations),
            calibrations,
            migrations,
            store,
        )


def open_faces(
    settings: Settings, embedder: catalog.Embedder, graph: Path | None = None, memory: MemoryBudget | None = None
) -> FaceService:
    """Return the face service of a worker on a CPU. embedder: needs no calibration. graph: the embedder's prepared
    graph if it is not in the models folder. memory: limits decoded images.

    Raises OperatorError when a model is missing or not permitted.
    """
    detector = detector_in_use(settings)
    catalog.permitted(embedder, settings.accept_noncommercial)
    detect = open_session(files.prepared_path(detector, settings.models_dir))
    embed = open_session(graph or files.prepared_path(embedder, settings.models_dir))
    return FaceService(
        YuNet(detect), ArcFace(embed, embedder), None, settings.detection_score, memory, settings.max_pixels
    )


def _open_faces(
    stack: ExitStack,
    settings: Settings,
    detector: catalog.Model,
    embedders: tuple[catalog.Embedder, catalog.Embedder | None],
    metrics: Metrics,
    waits: Waits,
) -> Faces:
    """Return what finds faces: vision processes or, if there are to be none, the calling threads."""
    memory = MemoryBudget(settings.decoded_mb * 1_000_000, waits)
    embedder, other = embedders
    for model in filter(None, (detector, *embedders)):
        metrics.uses(model, settings.device)
    detects, embeds = (files.prepared_path(model, settings.models_dir) for model in (detector, embedder))
    second = None if other is None else (files.prepared_path(other, settings.models_dir), other)
    if settings.has_vision_processes:
        cpu_s = limit_s(settings.visibility_timeout_s)
        plan = None
        if settings.device != "cpu":
            wait_s = settings.batch_wait_ms / 1e3
            side = embedder.input_size
            plan = Plan(str(detects), str(embeds), side, settings.device, settings.batch_size, wait_s)
            if second is not None:
                plan = replace(plan, second=str(second[0]), second_side=second[1].input_size)
        vision = Vision(
            detects, embeds, embedder, settings.detection_score, settings.max_pixels, cpu_s, plan, second=second
        )
        return stack.enter_context(closing(VisionPool(vision, vision_processes(settings), memory, waits, metrics)))
    if settings.device != "cpu":
        raise OperatorError(
            f"FACESEARCH_DEVICE={settings.device} needs vision processes, which need Linux; set "
            "FACESEARCH_VISION_PROCESSES to 1 or more, or leave it out"
        )
    yunet = YuNet(open_session(detects))

    def service(graph: Path, model: catalog.Embedder) -> FaceService:
        arcface = ArcFace(open_session(graph), model)
        return FaceService(yunet, arcface, metrics, settings.detection_score, memory, settings.max_pixels)

    others = {} if second is None else {second[1].name: service(*second)}
    return FaceServices(service(embeds, embedder), others)


def vision_processes(settings: Settings) -> int:
    """Return the number of vision processes of a worker that has any: unless told, one for each job at once, so that a
    tenant without a running job waits for no image of another's.
    """
    return settings.vision_processes or settings.threads + extra_threads(settings.threads)


def _serve(stack: ExitStack, metrics: Metrics, settings: Settings) -> None:
    try:
        stack.enter_context(served(metrics, settings.metrics_host, settings.metrics_port))
    except OSError as error:
        raise OperatorError(
            f"cannot serve metrics on {settings.metrics_host} port {settings.metrics_port}: {error.strerror}; "
            "choose another with FACESEARCH_METRICS_PORT"
        ) from None
