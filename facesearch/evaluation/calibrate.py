"""A calibration measured on a folder of people, by the pipeline of a search."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from facesearch.evaluation.fitting import Level, calibration, fit, lacking
from facesearch.evaluation.run import Folder, see
from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.calibration import Calibration
from worker.models.catalog import Embedder
from worker.runtime import open_faces
from worker.vision.quality import GATES

MOST_REFUSED: Final = 0.5
"""Part of the pairs of one person below confidence 80 beyond which the model is at fault, or how it is described: the
weakest that is of use refuses a tenth."""


@dataclass(frozen=True)
class Measured:
    """photos: that could be read. faces: of those, on how many one was found. genuine, strangers: pairs of one
    person, and of two. levels: lowest first.
    """

    photos: int
    faces: int
    people: int
    genuine: int
    strangers: int
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
) -> Measured:
    """Faces that a search would turn down by the settings do not count. advance, warn: see run.see.

    Raises OperatorError when a model is missing or not permitted, the folder is too small, or the model does not tell
    its people apart.
    """
    # Before minutes of work.
    _require_enough([photo.person for photo in folder.photos])
    seen = see(open_faces(settings, embedder), GATES[settings.quality_search], folder.photos, threads, advance, warn)
    found = [(photo.person, vector) for photo, vector in seen if not isinstance(vector, str)]
    people = [person for person, _ in found]
    _require_enough(people)
    try:
        levels = fit(np.stack([vector for _, vector in found]), people)
    except ValueError as error:
        raise OperatorError(f"{embedder.name} cannot be calibrated: {error}") from error
    at_80 = next(level for level in levels if level.confidence == 80)
    if at_80.refused > MOST_REFUSED:
        raise OperatorError(
            f"{embedder.name} does not know people again: where 1 in 1,000 strangers is accepted, {at_80.refused:.0%} "
            "of the pairs of one person are refused; check the channels, mean and scale that it is described with"
        )
    genuine = sum(count * (count - 1) // 2 for count in Counter(people).values())
    strangers = math.comb(len(people), 2) - genuine
    return Measured(len(seen), len(found), len(set(people)), genuine, strangers, tuple(levels))


def _require_enough(people: Sequence[str]) -> None:
    if why := lacking(people):
        raise OperatorError(f"the photos are too few to calibrate with: {why}")
