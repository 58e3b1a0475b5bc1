"""From image bytes to described faces. The steps are decided here; who detects and who embeds is given."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import FaceNotDetected
from shared.imagefile.header import DEFAULT_MAX_PIXELS, read_header
from worker.vision.decode import configure_opencv, decode, reduction
from worker.vision.decoding_memory import decoding_bytes
from worker.vision.fine_passes import needs_fine_passes, run_fine_passes
from worker.vision.geometry import CropScores, Detection, Pixels, align, left_to_right, most_prominent, scaled
from worker.vision.memory_budget import MemoryBudget
from worker.vision.passes import LEAST_SCORE, DetectionPasses, Detector, choose_passes
from worker.vision.quality import Quality, measure, size

EMBED_BATCH: Final = 16
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
    """One face. vector: float32 (dimension,), length 1. quality: how it is shown. number: from left to right among all
    faces of the image, from 0.
    """

    detection: Detection
    vector: npt.NDArray[np.float32]
    quality: Quality
    number: int = 0


class FaceSelection:
    """Which faces of an image are described: all, unless a subclass chooses. What its methods raise ends the work."""

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        """Called once, with the `Quality.size` of every face from left to right: the numbers of those to look at."""
        return range(len(sizes))

    def before_batch(self) -> None:
        """Called before every EMBED_BATCH faces: the work takes as long as there are faces."""

    def accepts(self, number: int, quality: Quality) -> bool:  # noqa: ARG002 -- for subclasses
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


class NullObserver:
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
        memory: MemoryBudget | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """least_score: score, (0, 1), from which on a candidate counts where a photo is looked at as a whole. room:
        what decoded images may take at once; without one, whatever they need. max_pixels: most pixels of an image.
        """
        configure_opencv()
        self._observer = observer or NullObserver()
        self._detector = _ObservedDetector(detector, self._observer)
        self._embedder = embedder
        self._least_score = least_score
        self._memory = memory
        self._max_pixels = max_pixels

    def embed_all(self, data: bytes, selection: FaceSelection | None = None) -> list[Face]:
        """Every face of the image, or those that are chosen, from left to right. Only these are embedded."""
        with ExitStack() as held:
            return self._embed_all(data, selection or FaceSelection(), held)

    def _embed_all(self, data: bytes, selection: FaceSelection, held: ExitStack) -> list[Face]:
        image, reduced = self._decoded(data, held)
        seen = choose_passes(self._detector, image, self._least_score)
        found = [_Found(face, image, reduced) for face in seen.all_faces()]
        found += self._fine(data, image, reduced, seen, held, found)
        found = left_to_right(found, seen.degrees)
        self._observer.found(len(found))
        if not found:
            raise FaceNotDetected
        numbers = selection.candidates([size(face.detection, face.reduced) for face in found])
        faces = []
        for first in range(0, len(numbers), EMBED_BATCH):
            selection.before_batch()
            faces += self._describe(found, numbers[first : first + EMBED_BATCH], selection)
        return faces

    def embed_most_prominent(self, data: bytes) -> Face:
        """The largest face of the image; of such as are as large the most central."""
        with ExitStack() as held:
            return self._embed_most_prominent(data, held)

    def _embed_most_prominent(self, data: bytes, held: ExitStack) -> Face:
        image, reduced = self._decoded(data, held)
        seen = choose_passes(self._detector, image, self._least_score)
        face = seen.most_prominent()
        found = [_Found(face, image, reduced)] if face is not None else self._fine(data, image, reduced, seen, held)
        self._observer.found(seen.count or len(found))
        if not found:
            raise FaceNotDetected
        prominent = most_prominent(found, (reduced * image.shape[1], reduced * image.shape[0]))
        (described,) = self._describe([prominent], [0], FaceSelection())
        return described

    def _decoded(self, data: bytes, held: ExitStack, *, full_size: bool = False) -> tuple[Pixels, int]:
        """The image, and how many times smaller it is than it was sent. held: keeps its room as long as the image. One
        that was made smaller keeps none, so that a thread never waits for room while it has some.
        """
        reduced = 1 if full_size else reduction(read_header(data, self._max_pixels))
        with ExitStack() as meanwhile:
            if self._memory is not None:
                keeping = held if reduced == 1 else meanwhile
                size = decoding_bytes(data, full_size=full_size, max_pixels=self._max_pixels)
                keeping.enter_context(self._memory.reserve(size))
            with self._observer.stage("decode"):
                return decode(data, full_size=full_size, max_pixels=self._max_pixels), reduced

    def _fine(
        self,
        data: bytes,
        image: Pixels,
        reduced: int,
        seen: DetectionPasses,
        held: ExitStack,
        known: Sequence["_Found"] = (),
    ) -> list["_Found"]:
        """Faces that are too small to be known yet, or too doubtful."""
        finer = not known or needs_fine_passes(reduced * max(image.shape[:2]))
        doubtful = [scaled(face, reduced) for face in seen.doubtful()]
        if not (finer or doubtful):
            return []
        whole = image if reduced == 1 else self._decoded(data, held, full_size=True)[0]
        sent = [scaled(face.detection, reduced) for face in known]
        found = run_fine_passes(self._detector, whole, sent, doubtful, seen.degrees, finer=finer)
        return [_Found(face, whole, 1) for face in found]

    def _describe(self, found: Sequence["_Found"], numbers: Sequence[int], selection: FaceSelection) -> list[Face]:
        """Those of the faces found that have these numbers and are chosen, embedded in one batch."""
        looked_at = [found[number] for number in numbers]
        with self._observer.stage("align"):
            crops = [align(face.image, face.detection.landmarks, self._embedder.size) for face in looked_at]
            shown = [measure(face.detection, crop, face.reduced) for face, crop in zip(looked_at, crops, strict=True)]
            chosen = [at for at, number in enumerate(numbers) if selection.accepts(number, shown[at])]
        self._observer.embedded(len(chosen))
        if not chosen:
            return []
        with self._observer.stage("embed"):
            vectors = self._embedder.embed(np.stack([crops[at] for at in chosen]))
        return [
            Face(looked_at[at].detection, vector, shown[at], numbers[at])
            for at, vector in zip(chosen, vectors, strict=True)
        ]


@dataclass(frozen=True, eq=False)  # as above
class _Found:
    """A refined face in pixels of an image that is `reduced` times smaller than it was sent."""

    detection: Detection
    image: Pixels
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


class _ObservedDetector:
    """A Detector each pass of which is a stage."""

    def __init__(self, detector: Detector, observer: Observer) -> None:
        self._detector = detector
        self._observer = observer

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        with self._observer.stage("detect"):
            return self._detector.detect(image, side)

    def refine(self, image: Pixels, detections: Sequence[Detection]) -> list[Detection]:
        with self._observer.stage("refine"):
            return self._detector.refine(image, detections)

    def score_crops(self, image: Pixels, detections: Sequence[Detection]) -> list[CropScores]:
        with self._observer.stage("refine"):
            return self._detector.score_crops(image, detections)
