"""The models that vision processes use: in each of them, shared as a fork shares memory, or in an inference process."""

import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from worker.inference.announcing import AnnouncingObserver
from worker.inference.client import RemoteSession
from worker.inference.plan import Plan
from worker.inference.process import COMMAND, InferenceProcess
from worker.inference.wire import Model
from worker.models.catalog import Embedder
from worker.vision.arcface import ArcFace
from worker.vision.service import FaceService, Memory, NullObserver, Observer
from worker.vision.services import FaceServices
from worker.vision.session import Session, open_session
from worker.vision.warm_up import warm_up
from worker.vision.yunet import YuNet

S = TypeVar("S", bound=Session)


@dataclass(frozen=True)
class Vision:
    """What a fork server loads. detector, embedder: prepared graphs. model: the embedder's entry. least_score,
    max_pixels: as FaceService takes them. cpu_s: most seconds of computing for one image. plan: of the inference
    process that has the models; None: the vision processes have them, on a CPU. command: what starts one. second: the
    prepared graph and the entry of the second embedder, if there is one.
    """

    detector: Path
    embedder: Path
    model: Embedder
    least_score: float
    max_pixels: int
    cpu_s: float
    plan: Plan | None = None
    command: Sequence[str] = COMMAND
    second: tuple[Path, Embedder] | None = None


class Link(Protocol):
    """What one vision process needs of the models."""

    def service(self, observer: Observer, memory: Memory | None) -> FaceServices:
        """Return the face services of the vision process."""

    def close(self) -> None:
        """Close this process's end."""


class Models(Protocol):
    """The models, loaded."""

    @property
    def pid(self) -> int | None:
        """Process id of the inference process, without which the models are gone; None if there is none."""

    def link(self) -> Link:
        """Return a new link to the models. Raises OSError when the inference process has ended."""

    def forget(self) -> None:
        """Close, in a fork, what belongs to the process that loaded them."""

    def close(self) -> None:
        """Close them for good."""


def open_models(vision: Vision) -> Models:
    """Load the models and run them once. Raises OperatorError."""
    models = _Local(vision) if vision.plan is None else _Remote(vision, vision.plan)
    with closing(models.link()) as link:
        for service in link.service(NullObserver(), None).each():
            warm_up(service)
    return models


def _face_services(
    vision: Vision, service: Callable[[S, Embedder], FaceService], first: S, second: S | None
) -> FaceServices:
    """Return the face service of each embedder. service: makes one for a session of an embedder."""
    others = {}
    if vision.second is not None and second is not None:
        _, model = vision.second
        others[model.name] = service(second, model)
    return FaceServices(service(first, vision.model), others)


class _Local:
    """Models in this process and its forks, which need nothing else."""

    pid = None

    def __init__(self, vision: Vision) -> None:
        self._vision = vision
        self._detect = open_session(vision.detector)
        self._embed = open_session(vision.embedder)
        self._second = None if vision.second is None else open_session(vision.second[0])

    def link(self) -> Link:
        return self

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass

    def service(self, observer: Observer, memory: Memory | None) -> FaceServices:
        vision = self._vision
        yunet = YuNet(self._detect)

        def service(embed: Session, model: Embedder) -> FaceService:
            arcface = ArcFace(embed, model)
            return FaceService(yunet, arcface, observer, vision.least_score, memory, vision.max_pixels)

        return _face_services(vision, service, self._embed, self._second)


class _Remote:
    """Models in an inference process."""

    def __init__(self, vision: Vision, plan: Plan) -> None:
        self._vision = vision
        self._inference = InferenceProcess(plan, vision.command)
        self.pid = self._inference.pid

    def link(self) -> Link:
        return _RemoteLink(self._vision, self._inference.connect())

    def forget(self) -> None:
        self._inference.forget()

    def close(self) -> None:
        self._inference.close()


class _RemoteLink:
    """A connection to an inference process."""

    def __init__(self, vision: Vision, connection: socket.socket) -> None:
        self._vision = vision
        self._connection = connection

    def service(self, observer: Observer, memory: Memory | None) -> FaceServices:
        vision = self._vision
        detect = RemoteSession(self._connection, Model.DETECTOR)

        def service(embed: RemoteSession, model: Embedder) -> FaceService:
            announcing = AnnouncingObserver(observer, {"detect": detect, "refine": detect, "align": embed})
            arcface = ArcFace(embed, model)
            return FaceService(YuNet(detect), arcface, announcing, vision.least_score, memory, vision.max_pixels)

        first, second = (
            RemoteSession(self._connection, model, observer.embedded)
            for model in (Model.EMBEDDER, Model.SECOND_EMBEDDER)
        )
        return _face_services(vision, service, first, second)

    def close(self) -> None:
        self._connection.close()
