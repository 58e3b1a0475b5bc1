"""From an encoded image to its embedded faces: decoding, detection, alignment, quality and embedding in order."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from shared.imagefile.header import DEFAULT_MAX_PIXELS, read_header
from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS, Preprocessing
from worker.vision.arcface import unit_vectors
from worker.vision.decode import configure_opencv, decode, reduction
from worker.vision.decoding_memory import decoding_bytes
from worker.vision.fine_passes import needs_fine_passes, run_fine_passes
from worker.vision.geometry import (
    Box,
    CropScores,
    Detection,
    Pixels,
    align,
    as_sent,
    left_to_right,
    most_prominent,
    scaled,
)
from worker.vision.passes import LEAST_SCORE, DetectionPasses, Detector
from worker.vision.quality import Quality, measure, size
from worker.vision.rotations import choose_passes

EMBED_BATCH: Final = 16
"""Crops of an image that are embedded together: a quarter of a second on one core, after which a job may stop. With
mirror images they show half as many faces."""

_DEFAULT: Final = PREPROCESSINGS[PREPROCESSING_VERSION]


class Embedder(Protocol):
    """Turns aligned faces into embeddings."""

    @property
    def size(self) -> int:
        """Side in pixels of the crops it takes."""

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return float32 (N, dimension), each row of length 1. crops: uint8 (N, size, size, 3) BGR."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Face:
    """One embedded face. vector: float32 (dimension,), length 1. number: from left to right among all faces of the
    image, from 0. reduction: factor by which the image was reduced when it was decoded.
    """

    detection: Detection
    vector: npt.NDArray[np.float32]
    quality: Quality
    number: int = 0
    reduction: int = 1

    @property
    def box(self) -> Box:
        """Its box in the upright image as sent, see `as_sent`."""
        return as_sent(self.detection.box, self.reduction)


class FaceSelection:
    """Selects the faces of an image to embed: all of them, unless a subclass says otherwise. Any exception from its
    methods ends the work.
    """

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        """Return the numbers of the faces to align and measure. Called first, with each `Quality.size` from left to
        right; once more if the work is repeated from the start.
        """
        return range(len(sizes))

    def before_batch(self, cpu_s: float) -> None:
        """Called before the faces of every EMBED_BATCH crops: the work grows with the number of faces. cpu_s: seconds
        of computing for the image so far.
        """

    def accepts(self, number: int, quality: Quality, box: Box) -> bool:  # noqa: ARG002 -- for subclasses
        """Return whether to embed a face. Called for each candidate, in order. box: as `Face.box`."""
        return True


class Observer(Protocol):
    """Observes the steps of the work."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Enter the stage decode, detect, refine, align or embed for the block."""

    def found(self, faces: int) -> None:
        """Called with the number of faces in an image."""

    def embedded(self, faces: int) -> None:
        """Called with the number of faces embedded together; 0 if none was after alignment."""


class Memory(Protocol):
    """A budget for decoded images."""

    def reserve(self, size: int) -> AbstractContextManager[None]:
        """Reserve that many bytes for the block; waits until they are free."""


class NullObserver:
    """An Observer that does nothing."""

    def stage(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002 -- the interface's
        return nullcontext()

    def found(self, faces: int) -> None:
        pass

    def embedded(self, faces: int) -> None:
        pass


class FaceService:
    """Finds and embeds the faces of an encoded image. Thread-safe.

    preprocessing: the way from the image to the embeddings, of those that are known; each call may have another.

    Its methods raise shared.errors.ImageUnreadable if the bytes are no image or have too many pixels, and
    FaceNotDetected if there is no face.
    """

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        observer: Observer | None = None,
        least_score: float = LEAST_SCORE,
        memory: Memory | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """least_score: least score, in (0, 1), of a candidate in passes over the whole picture. memory: budget for
        decoded images, None for no limit. max_pixels: most pixels of an image.
        """
        configure_opencv()
        self._observer = observer or NullObserver()
        self._detector = _ObservedDetector(detector, self._observer)
        self.embedder: Final = embedder
        self._least_score = least_score
        self._memory = memory
        self._max_pixels = max_pixels

    def embed_all(
        self, data: bytes, selection: FaceSelection | None = None, preprocessing: Preprocessing = _DEFAULT
    ) -> list[Face]:
        """Return the selected faces, by default all, from left to right. Only these are embedded."""
        with ExitStack() as held:
            return self._embed_all(data, selection or FaceSelection(), preprocessing, held)

    def _embed_all(
        self, data: bytes, selection: FaceSelection, preprocessing: Preprocessing, held: ExitStack
    ) -> list[Face]:
        begun = time.thread_time()
        pixels, reduced = self._decode(data, held)
        passes = choose_passes(self._detector, pixels, self._least_score)
        found = [_Found(face, pixels, reduced) for face in passes.all_faces()]
        found += self._run_fine_passes(data, pixels, reduced, passes, held, found)
        found = left_to_right(found, passes.degrees)
        self._observer.found(len(found))
        if not found:
            raise FaceNotDetected
        numbers = selection.candidates([size(face.detection, face.reduced) for face in found])
        faces = []
        step = EMBED_BATCH // 2 if preprocessing.mirrors else EMBED_BATCH
        for first in range(0, len(numbers), step):
            selection.before_batch(time.thread_time() - begun)
            faces += self._embed(found, numbers[first : first + step], selection, preprocessing)
        return faces

    def embed_most_prominent(self, data: bytes, preprocessing: Preprocessing = _DEFAULT) -> Face:
        """Return the most prominent face."""
        with ExitStack() as held:
            return self._embed_most_prominent(data, preprocessing, held)

    def _embed_most_prominent(self, data: bytes, preprocessing: Preprocessing, held: ExitStack) -> Face:
        pixels, reduced = self._decode(data, held)
        passes = choose_passes(self._detector, pixels, self._least_score)
        face = passes.most_prominent()
        if face is not None:
            found = [_Found(face, pixels, reduced)]
        else:
            found = self._run_fine_passes(data, pixels, reduced, passes, held)
        self._observer.found(passes.count or len(found))
        if not found:
            raise FaceNotDetected
        prominent = most_prominent(found, (reduced * pixels.shape[1], reduced * pixels.shape[0]))
        (embedded,) = self._embed([prominent], [0], FaceSelection(), preprocessing)
        return embedded

    def _decode(self, data: bytes, held: ExitStack, *, full_size: bool = False) -> tuple[Pixels, int]:
        """Return the pixels and the factor by which they were reduced. held: keeps the memory of the pixels reserved.
        That of a reduced image is released at once, so that a thread never waits for memory while it holds some.
        """
        reduced = 1 if full_size else reduction(read_header(data, self._max_pixels))
        with ExitStack() as meanwhile:
            if self._memory is not None:
                size = decoding_bytes(data, full_size=full_size, max_pixels=self._max_pixels)
                (held if reduced == 1 else meanwhile).enter_context(self._memory.reserve(size))
            with self._observer.stage("decode"):
                return decode(data, full_size=full_size, max_pixels=self._max_pixels), reduced

    def _run_fine_passes(
        self,
        data: bytes,
        pixels: Pixels,
        reduced: int,
        passes: DetectionPasses,
        held: ExitStack,
        known: Sequence["_Found"] = (),
    ) -> list["_Found"]:
        """Return the faces beside the known ones that were too small or too doubtful for the passes so far."""
        finer = not known or needs_fine_passes(reduced * max(pixels.shape[:2]))
        doubtful = [scaled(face, reduced) for face in passes.doubtful()]
        if not (finer or doubtful):
            return []
        whole = pixels if reduced == 1 else self._decode(data, held, full_size=True)[0]
        known_there = [scaled(face.detection, reduced) for face in known]
        found = run_fine_passes(self._detector, whole, known_there, doubtful, passes.degrees, finer=finer)
        return [_Found(face, whole, 1) for face in found]

    def _embed(
        self,
        found: Sequence["_Found"],
        numbers: Sequence[int],
        selection: FaceSelection,
        preprocessing: Preprocessing,
    ) -> list[Face]:
        """Embed in one batch those of the faces with these numbers that the selection accepts."""
        batch = [found[number] for number in numbers]
        with self._observer.stage("align"):
            crops = [align(face.pixels, face.detection.landmarks, self.embedder.size) for face in batch]
            qualities = [measure(face.detection, crop, face.reduced) for face, crop in zip(batch, crops, strict=True)]
            accepted = [
                at
                for at, number in enumerate(numbers)
                if selection.accepts(number, qualities[at], as_sent(batch[at].detection.box, batch[at].reduced))
            ]
        self._observer.embedded(len(accepted))
        if not accepted:
            return []
        with self._observer.stage("embed"):
            chosen = np.stack([crops[at] for at in accepted])
            vectors = embed_mirrored(self.embedder, chosen) if preprocessing.mirrors else self.embedder.embed(chosen)
        return [
            Face(batch[at].detection, vector, qualities[at], numbers[at], batch[at].reduced)
            for at, vector in zip(accepted, vectors, strict=True)
        ]


def embed_mirrored(embedder: Embedder, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the means of the embeddings of crops and their mirror images, float32 (N, dimension), each row of length
    1. A crop and its mirror image have the same. crops: as the embedder takes them. Raises ValueError as it does.
    """
    vectors = embedder.embed(np.concatenate([crops, crops[:, :, ::-1]]))
    return unit_vectors(vectors[: len(crops)] + vectors[len(crops) :])


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class _Found:
    """A refined face in pixels of an image that was reduced by a factor when it was decoded."""

    detection: Detection
    pixels: Pixels
    reduced: int

    @property
    def area(self) -> float:
        """Area of the box in pixels of the image as sent."""
        return self.detection.area * self.reduced**2

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box in the same pixels: x, y."""
        x, y = self.detection.centre
        return x * self.reduced, y * self.reduced


class _ObservedDetector:
    """A Detector whose passes are observed stages."""

    def __init__(self, detector: Detector, observer: Observer) -> None:
        self._detector = detector
        self._observer = observer

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        with self._observer.stage("detect"):
            return self._detector.detect(image, side)

    def best_scores(self, images: Sequence[Pixels]) -> list[float]:
        with self._observer.stage("detect"):
            return self._detector.best_scores(images)

    def refine(self, image: Pixels, detections: Sequence[Detection]) -> list[Detection]:
        with self._observer.stage("refine"):
            return self._detector.refine(image, detections)

    def score_crops(self, image: Pixels, detections: Sequence[Detection]) -> list[CropScores]:
        with self._observer.stage("refine"):
            return self._detector.score_crops(image, detections)
