"""A face service without models: each byte of an "image" is a face, and a table has its quality."""

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from shared.errors import FaceNotDetected
from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS, Preprocessing
from worker.vision.geometry import Box
from worker.vision.quality import Quality
from worker.vision.service import EMBED_BATCH, FaceSelection, FaceService

FINE = Quality(size=110, sharpness=0.8, dark=0, bright=0, yaw=0, pitch=0)


DEFAULT = PREPROCESSINGS[PREPROCESSING_VERSION]


class TableFaces(FaceService):
    """shown: the quality of the faces of some bytes; all others are FINE. The first face is the most prominent.
    `embedded` records the bytes that were embedded, `preprocessings` the versions that were asked for.
    """

    def __init__(self, shown: Mapping[int, Quality] | None = None) -> None:
        self.shown = shown or {}
        self.embedded = b""
        self.preprocessings: list[int] = []

    def embed_all(
        self, data: bytes, selection: FaceSelection | None = None, preprocessing: Preprocessing = DEFAULT
    ) -> list[Any]:
        self.preprocessings.append(preprocessing.version)
        if not data:
            raise FaceNotDetected
        selection = selection or FaceSelection()
        qualities = [self.shown.get(byte, FINE) for byte in data]
        numbers = selection.candidates([quality.size for quality in qualities])
        faces, begun = [], time.thread_time()
        for first in range(0, len(numbers), EMBED_BATCH):
            selection.before_batch(time.thread_time() - begun)
            batch = numbers[first : first + EMBED_BATCH]
            chosen = [n for n in batch if selection.accepts(n, qualities[n], self.box(n))]
            faces += [self._face(data[number], number, preprocessing) for number in chosen]
        return faces

    def embed_most_prominent(self, data: bytes, preprocessing: Preprocessing = DEFAULT) -> Any:
        self.preprocessings.append(preprocessing.version)
        if not data:
            raise FaceNotDetected
        return self._face(data[0], 0, preprocessing)

    def _face(self, byte: int, number: int, preprocessing: Preprocessing) -> SimpleNamespace:
        self.embedded += bytes([byte])
        vector = self.vector(byte, preprocessing.version)
        return SimpleNamespace(vector=vector, quality=self.shown.get(byte, FINE), number=number, box=self.box(number))

    @staticmethod
    def box(number: int) -> Box:
        """Return where the face of that number is."""
        return 100.4 * number, 0.0, 90.4, 100.6

    @staticmethod
    def vector(byte: int, version: int = PREPROCESSING_VERSION) -> np.ndarray:
        """Return a vector of length 1 that depends on the byte and the preprocessing alone: float32 (4,)."""
        seed = byte if version == PREPROCESSING_VERSION else [byte, version]
        vector = np.random.default_rng(seed).normal(size=4).astype(np.float32)
        return vector / np.linalg.norm(vector)
