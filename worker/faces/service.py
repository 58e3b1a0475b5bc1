"""From image bytes to described faces. The steps are decided here; who detects and who embeds is given."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from worker.faces.decode import configure_opencv, decode, reduction
from worker.faces.fine import find_fine, wants_fine
from worker.faces.geometry import Detection, Image, align, left_to_right, most_prominent, scaled
from worker.faces.looking import LEAST_SCORE, Detector, Look, look
from worker.faces.quality import Quality, measure

PREPROCESSING_VERSION: Final = 3
"""Of everything between the bytes and the embedder: decoding, working size, alignment. Raised when a change there
changes embeddings; embeddings of different versions are never compared (see worker/models/identity.py)."""

EMBED_AT_ONCE: Final = 16
"""Faces of an image that are described together: a quarter of a second of one core, after which one may stop."""


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

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        observer: Observer | None = None,
        least_score: float = LEAST_SCORE,
    ) -> None:
        """least_score: score, (0, 1), from which on a candidate counts where a photo is looked at as a whole."""
        configure_opencv()
        self._observer = observer or Nobody()
        self._detector = _Observed(detector, self._observer)
        self._embedder = embedder
        self._least_score = least_score

    def describe_all(self, data: bytes, go_on: Callable[[], None] = lambda: None) -> list[Face]:
        """Every face of the image, from left to right. go_on: called before every EMBED_AT_ONCE faces; what it raises
        ends the work, which takes as long as there are faces.
        """
        image, reduced = self._decoded(data)
        seen = look(self._detector, image, self._least_score)
        found = [_Found(face, image, reduced) for face in seen.every()]
        found += self._fine(data, image, reduced, seen, found)
        self._observer.found(len(found))
        ordered = left_to_right(found, seen.degrees)
        return [
            face
            for first in range(0, max(1, len(found)), EMBED_AT_ONCE)
            for face in self._describe(ordered[first : first + EMBED_AT_ONCE], go_on)
        ]

    def describe_prominent(self, data: bytes) -> Face:
        """The largest face of the image; of such as are as large the most central."""
        image, reduced = self._decoded(data)
        seen = look(self._detector, image, self._least_score)
        face = seen.prominent()
        found = [_Found(face, image, reduced)] if face is not None else self._fine(data, image, reduced, seen)
        self._observer.found(seen.count or len(found))
        if len(found) > 1:
            found = [most_prominent(found, (found[0].image.shape[1], found[0].image.shape[0]))]
        (described,) = self._describe(found)
        return described

    def _decoded(self, data: bytes, *, whole: bool = False) -> tuple[Image, int]:
        """The image, and how many times smaller it is than it was sent."""
        with self._observer.stage("decode"):
            return decode(data, whole=whole), 1 if whole else reduction(data)

    def _fine(
        self, data: bytes, image: Image, reduced: int, seen: Look, known: Sequence["_Found"] = ()
    ) -> list["_Found"]:
        """Faces that are too small to be known yet, or too doubtful."""
        finer = not known or wants_fine(reduced * max(image.shape[:2]))
        doubtful = [scaled(face, reduced) for face in seen.doubtful()]
        if not (finer or doubtful):
            return []
        whole = image if reduced == 1 else self._decoded(data, whole=True)[0]
        sent = [scaled(face.detection, reduced) for face in known]
        found = find_fine(self._detector, whole, sent, doubtful, seen.degrees, finer=finer)
        return [_Found(face, whole, 1) for face in found]

    def _describe(self, found: Sequence["_Found"], go_on: Callable[[], None] = lambda: None) -> list[Face]:
        """The faces in their order, embedded in one batch. Raises FaceNotDetected when there are none."""
        if not found:
            raise FaceNotDetected
        go_on()
        with self._observer.stage("align"):
            crops = np.stack([align(face.image, face.detection.landmarks, self._embedder.size) for face in found])
            shown = [measure(face.detection, crop, face.reduced) for face, crop in zip(found, crops, strict=True)]
        self._observer.embedded(len(crops))
        with self._observer.stage("embed"):
            vectors = self._embedder.embed(crops)
        return [Face(*face) for face in zip([face.detection for face in found], vectors, shown, strict=True)]


@dataclass(frozen=True, eq=False)  # as above
class _Found:
    """A refined face in pixels of an image that is `reduced` times smaller than it was sent."""

    detection: Detection
    image: Image
    reduced: int

    @property
    def area(self) -> float:
        """Of the box, in pixels of the image as it was sent."""
        return self.detection.area * self.reduced**2

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box, in the same pixels: x, y."""
        x, y = self.detection.centre
        return x * self.reduced, y * self.reduced


class _Observed:
    """A Detector each pass of which is a stage."""

    def __init__(self, detector: Detector, observer: Observer) -> None:
        self._detector = detector
        self._observer = observer

    def detect(self, image: Image, side: int) -> list[Detection]:
        with self._observer.stage("detect"):
            return self._detector.detect(image, side)

    def refine(self, image: Image, detections: Sequence[Detection]) -> list[Detection]:
        with self._observer.stage("refine"):
            return self._detector.refine(image, detections)
