"""Running the pipeline of a search over a folder of people. The folder is only read."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from facesearch.evaluation.result import Evaluation, Tally, evaluation
from shared.errors import FaceNotDetected, ImageUnreadable, OperatorError
from shared.imagefile.header import SIGNATURE_BYTES, kind_of
from shared.settings import Settings
from worker.models import custom
from worker.models.spaces import spaces_of
from worker.models.versions import Preprocessing
from worker.runtime import open_faces
from worker.vision.quality import GATES, Gate
from worker.vision.service import FaceService

Missing = Literal["no face", "poor"]
Outcome = npt.NDArray[np.float32] | Missing
"""An embedding, or why there is none."""


@dataclass(frozen=True)
class Photo:
    person: str
    path: Path


@dataclass(frozen=True)
class Folder:
    """The photos in a folder. photos: JPEG, PNG and BMP files, by person and then by name. skipped: number of other
    files and folders found.
    """

    photos: tuple[Photo, ...]
    skipped: int


def list_photos(folder: Path) -> Folder:
    """Return every `person/photo` of the folder. Raises OperatorError if it is not a folder, is unreadable or has no
    photo.
    """
    if not folder.is_dir():
        raise OperatorError(
            f"{folder} is not a folder; give one with a folder for each person, with their photos in it"
        )
    photos, skipped = [], 0
    try:
        for person in sorted(folder.iterdir()):
            if not person.is_dir():
                skipped += 1
                continue
            for path in sorted(person.iterdir()):
                if path.is_file() and _is_photo(path):
                    photos.append(Photo(person.name, path))
                else:
                    skipped += 1
    except OSError as error:
        raise OperatorError(f"cannot read {error.filename}: {error.strerror}") from error
    if not photos:
        raise OperatorError(
            f"{folder} has no photos: JPEG, PNG or BMP files are looked for in its folders, one folder a person"
        )
    return Folder(tuple(photos), skipped)


def _is_photo(path: Path) -> bool:
    """Return whether the first bytes are those of a photo; a file without read permission counts as one."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(SIGNATURE_BYTES)) is not None
    except PermissionError:
        return True


def evaluate(
    settings: Settings, folder: Folder, threads: int, advance: Callable[[], None], warn: Callable[[str], None]
) -> Evaluation:
    """Evaluate a search on the folder, on the CPU. advance: called after each photo. warn: called with a line for each
    photo that cannot be read.

    Raises OperatorError if a model is missing or not permitted, and unless there are two people, two photos of one of
    them, and a face.
    """
    # Before minutes of work.
    _require_pairs([photo.person for photo in folder.photos])
    embedder = custom.find(settings.embedder, "embedding", settings.models_dir)
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    spaces = spaces_of(embedder, mirror_faces=settings.mirror_faces)
    searched = Searched(open_faces(settings, embedder), spaces.preprocessing, GATES[settings.quality_search])
    outcomes = embed_photos(searched, folder.photos, threads, advance, warn)
    people = [photo.person for photo, _ in outcomes]
    _require_pairs(people)
    nothing = np.full(embedder.dimension, np.nan, np.float32)
    vectors = np.stack([nothing if isinstance(vector, str) else vector for _, vector in outcomes])
    missing = [vector for _, vector in outcomes if isinstance(vector, str)]
    tally = Tally(
        photos=len(outcomes),
        people=len(set(people)),
        without_face=missing.count("no face"),
        poor=missing.count("poor"),
        skipped=folder.skipped,
        unreadable=len(folder.photos) - len(outcomes),
    )
    if not tally.detected:
        raise OperatorError(f"no face was found on any of the {tally.photos} photos")
    model, finder = str(spaces.preferred), f"{detector.name}:{detector.sha256}"
    return evaluation(vectors, people, tally, embedder.calibration, model, finder)


@dataclass(frozen=True)
class Searched:
    """How a search sees a photo. gate: the quality that its face must have."""

    faces: FaceService
    preprocessing: Preprocessing
    gate: Gate | None


def embed_photos(
    searched: Searched,
    photos: Sequence[Photo],
    threads: int,
    advance: Callable[[], None],
    warn: Callable[[str], None],
) -> list[tuple[Photo, Outcome]]:
    """Return the most prominent face of each readable photo, in their order, embedded as for a search."""
    gate = searched.gate

    def embed(photo: Photo) -> Outcome:
        try:
            face = searched.faces.embed_most_prominent(photo.path.read_bytes(), searched.preprocessing)
        except FaceNotDetected:
            return "no face"
        return face.vector if gate is None or gate.flaw(face.quality) is None else "poor"

    found: list[tuple[Photo, Outcome]] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for photo, result in [(photo, pool.submit(embed, photo)) for photo in photos]:
            try:
                found.append((photo, result.result()))
            except ImageUnreadable as error:
                warn(f"{photo.path} is damaged and left out: {error}")
            except OSError as error:
                warn(f"{photo.path} cannot be read and is left out: {error.strerror}")
            advance()
    finally:
        # Ctrl-C does not wait for the remaining photos.
        pool.shutdown(cancel_futures=True)
    return found


def _require_pairs(people: Sequence[str]) -> None:
    names = set(people)
    if len(names) < 2 or len(names) == len(people):
        raise OperatorError(
            f"the folder has {len(people)} photos of {len(names)} people that can be read; to compare, there must be "
            "two people, and two photos of one of them"
        )
