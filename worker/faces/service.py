"""From image bytes to described faces. The steps are decided here; who detects and who embeds is given."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from worker.faces.decode import configure_opencv, decode
from worker.faces.geometry import Detection, Image, align, left_to_right, most_prominent, overlap

PREPROCESSING_VERSION: Final = 2
"""Of everything between the bytes and the embedder: decoding, working size, alignment. Raised when a change there
changes embeddings; embeddings of different versions are never compared (see worker/models/identity.py)."""


SIDE: Final = 640
"""Longest side in pixels at which every face is looked for. One for all, since scores depend on it."""

COARSE_SIDE: Final = SIDE // 2
"""Where only the most prominent face matters it is looked for at a quarter of the pixels first."""

COARSE_FACE: Final = 40
"""Least side in pixels, there, of a face that is taken as it is found there, to enrol and to search: the same photo
then gives the same vector. The detector finds faces from about 10 pixels on; next to a small one, a larger one may have
been missed."""

EMBED_AT_ONCE: Final = 16
"""Faces of an image that are described together: a quarter of a second of one core, after which one may stop."""

_SAME: Final = 0.3
"""Overlap from which on two detections are one face, as within one pass of the detector."""


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
    """One face. vector: float32 (dimension,), length 1."""

    detection: Detection
    vector: npt.NDArray[np.float32]


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
            found = left_to_right(self._all(image))
        self._observer.found(len(found))
        return [
            face
            for first in range(0, max(1, len(found)), EMBED_AT_ONCE)
            for face in self._describe(image, found[first : first + EMBED_AT_ONCE], go_on)
        ]

    def describe_prominent(self, data: bytes) -> Face:
        """The largest face of the image; of such as are as large the most central."""
        image = self._decoded(data)
        with self._observer.stage("detect"):
            found = self._prominent(image)
        (face,) = self._describe(image, found)
        return face

    def _decoded(self, data: bytes) -> Image:
        with self._observer.stage("decode"):
            return decode(data)

    def _all(self, image: Image) -> list[Detection]:
        """Every face: the large ones as the coarse pass finds them, all others as the full one does."""
        large = [face for face in self._detector.detect(image, COARSE_SIDE) if _is_large(face, image)]
        every = self._detector.detect(image, SIDE)
        return large + [face for face in every if all(overlap(face.box, other.box) <= _SAME for other in large)]

    def _prominent(self, image: Image) -> list[Detection]:
        """The most prominent face, or none."""
        prominent: list[Detection] = []
        for side in (COARSE_SIDE, SIDE):
            found = self._detector.detect(image, side)
            if found:
                prominent = [most_prominent(found, (image.shape[1], image.shape[0]))]
                if _is_large(prominent[0], image):
                    break
        self._observer.found(len(found))
        return prominent

    def _describe(
        self, image: Image, detections: Sequence[Detection], go_on: Callable[[], None] = lambda: None
    ) -> list[Face]:
        """Faces in the order of the detections, embedded in one batch. Raises FaceNotDetected when there are none."""
        if not detections:
            raise FaceNotDetected
        go_on()
        with self._observer.stage("refine"):
            detections = self._detector.refine(image, detections)
        with self._observer.stage("align"):
            crops = np.stack([align(image, found.landmarks, self._embedder.size) for found in detections])
        self._observer.embedded(len(crops))
        with self._observer.stage("embed"):
            vectors = self._embedder.embed(crops)
        return [Face(found, vector) for found, vector in zip(detections, vectors, strict=True)]


def _is_large(face: Detection, image: Image) -> bool:
    return bool(min(face.box[2:]) * COARSE_SIDE >= COARSE_FACE * max(image.shape[:2]))
