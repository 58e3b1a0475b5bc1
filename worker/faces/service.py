"""From image bytes to described faces. The steps are decided here; who detects and who embeds is given."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from worker.faces.decode import configure_opencv, decode, reduction
from worker.faces.geometry import Detection, Image, align, roll
from worker.faces.looking import look
from worker.faces.quality import Quality, measure, size

PREPROCESSING_VERSION: Final = 3
"""Of everything between the bytes and the embedder: decoding, working size, alignment. Raised when a change there
changes embeddings; embeddings of different versions are never compared (see worker/models/identity.py)."""

EMBED_AT_ONCE: Final = 16
"""Faces of an image that are described together: a quarter of a second of one core, after which one may stop."""

REFINED_AGAIN: Final = 8.0
"""Degrees by which telling landmarks again must have turned a face for them to be told once more: of a tilted face the
detector sees the tilt too small, at 30 degrees 11 at first and 24 then. Of upright faces none is turned so much."""

REFINED_AT_MOST: Final = 3
"""Times that landmarks are told again: what a fourth would still turn is no face, or lies on its head."""


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Image, side: int) -> list[Detection]:
        """Faces in pixels of the image, looked for with its longest side made so many pixels; none is an empty list."""

    def refine(self, image: Image, detections: Sequence[Detection]) -> list[Detection]:
        """The same faces with landmarks as good as can be."""


class Embedder(Protocol):
    """Describes aligned faces."""

    @property
    def size(self) -> int:
        """Side in pixels of the crops it takes."""

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """crops: uint8 (N, size, size, 3) BGR. Returns float32 (N, dimension), each row of length 1."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Face:
    """One face. vector: float32 (dimension,), length 1. quality: how it is shown. number: from left to right among all
    faces of the image, from 0.
    """

    detection: Detection
    vector: npt.NDArray[np.float32]
    quality: Quality
    number: int = 0


class Choice:
    """Which faces of an image are described: all, unless a subclass chooses. What its methods raise ends the work."""

    def found(self, sizes: Sequence[float]) -> Sequence[int]:
        """Called once, with the `Quality.size` of every face from left to right: the numbers of those to look at."""
        return range(len(sizes))

    def go_on(self) -> None:
        """Called before every EMBED_AT_ONCE faces: the work takes as long as there are faces."""

    def shown(self, number: int, quality: Quality) -> bool:  # noqa: ARG002 -- for subclasses
        """Called for each that is looked at, in their order: whether it is to be described."""
        return True


class Observer(Protocol):
    """Who wants to know how it goes."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """The block is the stage decode, detect, refine, align or embed."""

    def found(self, faces: int) -> None:
        """An image showed that many faces."""

    def embedded(self, faces: int) -> None:
        """That many faces go through the embedder together; 0: after being aligned none does."""


class Nobody:
    """An Observer that does not care."""

    def stage(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002 -- the interface's
        return nullcontext()

    def found(self, faces: int) -> None:
        pass

    def embedded(self, faces: int) -> None:
        pass


class FaceService:
    """Describes the faces of an image. May be called from several threads.

    Its methods raise shared.errors.ImageUnreadable when the bytes are no image, and FaceNotDetected when it shows
    no face.
    """

    def __init__(self, detector: Detector, embedder: Embedder, observer: Observer | None = None) -> None:
        configure_opencv()
        self._observer = observer or Nobody()
        self._detector = detector
        self._embedder = embedder

    def describe_all(self, data: bytes, choice: Choice | None = None) -> list[Face]:
        """Every face of the image, or those that are chosen, from left to right. Only these are embedded."""
        choice, image, reduced = choice or Choice(), self._decoded(data), reduction(data)
        with self._observer.stage("detect"):
            found = look(self._detector.detect, image).every()
        self._observer.found(len(found))
        if not found:
            raise FaceNotDetected
        numbers = choice.found([size(face, reduced) for face in found])
        faces = []
        for first in range(0, len(numbers), EMBED_AT_ONCE):
            choice.go_on()
            faces += self._describe(image, found, numbers[first : first + EMBED_AT_ONCE], reduced, choice)
        return faces

    def describe_prominent(self, data: bytes) -> Face:
        """The largest face of the image; of such as are as large the most central."""
        image = self._decoded(data)
        with self._observer.stage("detect"):
            seen = look(self._detector.detect, image)
            found = seen.prominent()
        self._observer.found(len(seen.decisive))
        if not found:
            raise FaceNotDetected
        (face,) = self._describe(image, found, [0], reduction(data), Choice())
        return face

    def _decoded(self, data: bytes) -> Image:
        with self._observer.stage("decode"):
            return decode(data)

    def _describe(
        self, image: Image, found: Sequence[Detection], numbers: Sequence[int], reduced: int, choice: Choice
    ) -> list[Face]:
        """Those of the faces found that have these numbers and are chosen, embedded in one batch. reduced: how many
        times smaller the image is than it was sent.
        """
        with self._observer.stage("refine"):
            detections = self._refined(image, [found[number] for number in numbers])
        with self._observer.stage("align"):
            crops = [align(image, face.landmarks, self._embedder.size) for face in detections]
            shown = [measure(face, crop, reduced) for face, crop in zip(detections, crops, strict=True)]
            chosen = [at for at, number in enumerate(numbers) if choice.shown(number, shown[at])]
        self._observer.embedded(len(chosen))
        if not chosen:
            return []
        with self._observer.stage("embed"):
            vectors = self._embedder.embed(np.stack([crops[at] for at in chosen]))
        return [
            Face(detections[at], vector, shown[at], numbers[at]) for at, vector in zip(chosen, vectors, strict=True)
        ]

    def _refined(self, image: Image, detections: Sequence[Detection]) -> list[Detection]:
        """The faces with their landmarks told again; those of a face that this has turned much, once more."""
        found = list(detections)
        numbers = list(range(len(found)))
        for _ in range(REFINED_AT_MOST):
            again = self._detector.refine(image, [found[number] for number in numbers])
            turned = []
            for number, face in zip(numbers, again, strict=True):
                if _between(roll(face.landmarks), roll(found[number].landmarks)) > REFINED_AGAIN:
                    turned.append(number)
                found[number] = face
            numbers = turned
            if not numbers:
                break
        return found


def _between(first: float, second: float) -> float:
    """Degrees between two directions, 0 to 180."""
    return abs((first - second + 180) % 360 - 180)
