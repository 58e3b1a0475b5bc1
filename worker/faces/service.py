"""From image bytes to described faces. The steps are decided here; who detects and who embeds is given."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from worker.faces.decode import configure_opencv, decode
from worker.faces.geometry import Detection, Image, align, left_to_right, most_prominent

PREPROCESSING_VERSION: Final = 1
"""Of everything between the bytes and the embedder: decoding, working size, alignment. Raised when a change there
changes embeddings; embeddings of different versions are never compared (see worker/models/identity.py)."""


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Image) -> list[Detection]:
        """Faces in pixels of the image; none is an empty list."""


class Embedder(Protocol):
    """Describes aligned faces."""

    @property
    def size(self) -> int:
        """Side in pixels of the crops it takes."""

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """crops: uint8 (N, size, size, 3) BGR. Returns float32 (N, dimension), each row of length 1."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Face:
    """One face. vector: float32 (dimension,), length 1."""

    detection: Detection
    vector: npt.NDArray[np.float32]


class Observer(Protocol):
    """Who wants to know how it goes."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """The block is the stage decode, detect, align or embed."""

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

    def describe_all(self, data: bytes) -> list[Face]:
        """Every face of the image, from left to right."""
        image, detections = self._find(data)
        return self._describe(image, left_to_right(detections))

    def describe_prominent(self, data: bytes) -> Face:
        """The largest face of the image; of equals the more central."""
        image, detections = self._find(data)
        height, width = image.shape[:2]
        (face,) = self._describe(image, [most_prominent(detections, (width, height))])
        return face

    def _find(self, data: bytes) -> tuple[Image, list[Detection]]:
        """The decoded image and its faces, at least one."""
        with self._observer.stage("decode"):
            image = decode(data)
        with self._observer.stage("detect"):
            detections = self._detector.detect(image)
        self._observer.found(len(detections))
        if not detections:
            raise FaceNotDetected
        return image, detections

    def _describe(self, image: Image, detections: Sequence[Detection]) -> list[Face]:
        """Faces in the order of the detections, embedded in one batch."""
        with self._observer.stage("align"):
            crops = np.stack([align(image, found.landmarks, self._embedder.size) for found in detections])
        self._observer.embedded(len(crops))
        with self._observer.stage("embed"):
            vectors = self._embedder.embed(crops)
        return [Face(found, vector) for found, vector in zip(detections, vectors, strict=True)]
