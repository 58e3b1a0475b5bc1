"""Measuring a calibration on a folder of people, with the pipeline of a search."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from facesearch.evaluation.fitting import Level, calibration, fit, shortage
from facesearch.evaluation.run import Folder, Searched, embed_photos
from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.calibration import Calibration
from worker.models.catalog import Embedder
from worker.models.spaces import spaces_of
from worker.runtime import open_faces
from worker.vision.quality import GATES

MOST_REFUSED: Final = 0.5
"""Part of genuine pairs below confidence 80 beyond which the model or its description is at fault: the weakest useful
model refuses a tenth."""


@dataclass(frozen=True)
class Measurement:
    """A measured calibration. photos: that could be read. faces: photos with a face. genuine, impostors: numbers of
    pairs. levels: lowest first.
    """

    photos: int
    faces: int
    people: int
    genuine: int
    impostors: int
    levels: tuple[Level, ...]

    def calibration(self) -> Calibration:
        return calibration(self.levels)


def measure(
    settings: Settings,
    embedder: Embedder,
    folder: Folder,
    threads: int,
    advance: Callable[[], None],
    warn: Callable[[str], None],
) -> Measurement:
    """Measure a calibration. Faces that a search would refuse by the settings do not count. advance, warn: see
    run.embed_photos.

    Raises OperatorError if a model is missing or not permitted, the folder is too small, or the model does not tell its
    people apart.
    """
    # Before minutes of work.
    _require_enough([photo.person for photo in folder.photos])
    preprocessing = spaces_of(embedder, mirror_faces=settings.mirror_faces).preprocessing
    searched = Searched(open_faces(settings, embedder), preprocessing, GATES[settings.quality_search])
    outcomes = embed_photos(searched, folder.photos, threads, advance, warn)
    found = [(photo.person, vector) for photo, vector in outcomes if not isinstance(vector, str)]
    people = [person for person, _ in found]
    _require_enough(people)
    try:
        levels = fit(np.stack([vector for _, vector in found]), people)
    except ValueError as error:
        raise OperatorError(f"{embedder.name} cannot be calibrated: {error}") from error
    at_80 = next(level for level in levels if level.confidence == 80)
    if at_80.refused > MOST_REFUSED:
        raise OperatorError(
            f"{embedder.name} does not recognise people: where 1 in 1,000 impostor pairs is accepted, "
            f"{at_80.refused:.0%} of the genuine pairs are refused; check the "
            "channels, mean and scale that it is described with"
        )
    genuine = sum(count * (count - 1) // 2 for count in Counter(people).values())
    impostors = math.comb(len(people), 2) - genuine
    return Measurement(len(outcomes), len(found), len(set(people)), genuine, impostors, tuple(levels))


def _require_enough(people: Sequence[str]) -> None:
    if why := shortage(people):
        raise OperatorError(f"the photos are too few to calibrate with: {why}")
