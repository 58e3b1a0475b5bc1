"""From image bytes to described faces. The steps are decided here; who detects and who embeds is given."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from worker.faces.decode import configure_opencv, decode, reduction
from worker.faces.geometry import Detection, Image, align, roll
from worker.faces.looking import look
from worker.faces.quality import Quality, measure

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
    """One face. vector: float32 (dimension,), length 1. quality: how it is shown."""

    detection: Detection
    vector: npt.NDArray[np.float32]
    quality: Quality


class Observer(Protocol):
    """Who wants to know how it goes."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """The block is the stage decode, detect, refine, align or embed."""

    def found(self, faces: int) -> None:
        """An image showed that many faces."""

    def embedded(self, faces: int) -> None:
        """That many faces went through the embedder together."""


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

    def describe_all(self, data: bytes, go_on: Callable[[], None] = lambda: None) -> list[Face]:
        """Every face of the image, from left to right. go_on: called before every EMBED_AT_ONCE faces; what it raises
        ends the work, which takes as long as there are faces.
        """
        image = self._decoded(data)
        with self._observer.stage("detect"):
            found = look(self._detector.detect, image).every()
        self._observer.found(len(found))
        return [
            face
            for first in range(0, max(1, len(found)), EMBED_AT_ONCE)
            for face in self._describe(image, found[first : first + EMBED_AT_ONCE], reduction(data), go_on)
        ]

    def describe_prominent(self, data: bytes) -> Face:
        """The largest face of the image; of such as are as large the most central."""
        image = self._decoded(data)
        with self._observer.stage("detect"):
            seen = look(self._detector.detect, image)
            found = seen.prominent()
        self._observer.found(len(seen.decisive))
        (face,) = self._describe(image, found, reduction(data))
        return face

    def _decoded(self, data: bytes) -> Image:
        with self._observer.stage("decode"):
            return decode(data)

    def _describe(
        self, image: Image, detections: Sequence[Detection], reduced: int, go_on: Callable[[], None] = lambda: None
    ) -> list[Face]:
        """Faces in the order of the detections, embedded in one batch. reduced: how many times smaller the image is
        than it was sent. Raises FaceNotDetected when there are none.
        """
        if not detections:
            raise FaceNotDetected
        go_on()
        with self._observer.stage("refine"):
            detections = self._refined(image, detections)
        with self._observer.stage("align"):
            crops = np.stack([align(image, found.landmarks, self._embedder.size) for found in detections])
            shown = [measure(found, crop, reduced) for found, crop in zip(detections, crops, strict=True)]
        self._observer.embedded(len(crops))
        with self._observer.stage("embed"):
            vectors = self._embedder.embed(crops)
        return [Face(*face) for face in zip(detections, vectors, shown, strict=True)]

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
