"""From a folder of people to what the pipeline of a search makes of it. The folder is read and never written."""

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
from worker.models.identity import identity
from worker.runtime import open_faces
from worker.vision.quality import GATES, Gate
from worker.vision.service import FaceService

Missing = Literal["no face", "poor"]
Seen = npt.NDArray[np.float32] | Missing
"""A vector, or why there is none."""


@dataclass(frozen=True)
class Photo:
    person: str
    path: Path


@dataclass(frozen=True)
class Folder:
    """photos: JPEG, PNG and BMP files, by person and then by name. skipped: how many other things lie where photos are
    looked for.
    """

    photos: tuple[Photo, ...]
    skipped: int


def listed(folder: Path) -> Folder:
    """Every `person/photo` of the folder. Raises OperatorError when it is no folder, cannot be read or has no photo."""
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
    """By its first bytes; of a file that may not be read nothing else is known than that it is none to skip."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(SIGNATURE_BYTES)) is not None
    except PermissionError:
        return True


def evaluate(
    settings: Settings, folder: Folder, threads: int, advance: Callable[[], None], warn: Callable[[str], None]
) -> Evaluation:
    """What a search on a CPU makes of the folder. advance: called after each photo. warn: gets a line for each photo
    that cannot be read.

    Raises OperatorError when a model is missing or not permitted, and when the photos do not make two people, two
    photos of one of them, and a face.
    """
    # Before minutes of work.
    _require_pairs([photo.person for photo in folder.photos])
    embedder = custom.find(settings.embedder, "embedding", settings.models_dir)
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    faces = open_faces(settings, embedder)
    seen = see(faces, GATES[settings.quality_search], folder.photos, threads, advance, warn)
    people = [photo.person for photo, _ in seen]
    _require_pairs(people)
    nothing = np.full(embedder.dimension, np.nan, np.float32)
    vectors = np.stack([nothing if isinstance(vector, str) else vector for _, vector in seen])
    missing = [vector for _, vector in seen if isinstance(vector, str)]
    tally = Tally(
        photos=len(seen),
        people=len(set(people)),
        without_face=missing.count("no face"),
        poor=missing.count("poor"),
        skipped=folder.skipped,
        unreadable=len(folder.photos) - len(seen),
    )
    if not tally.detected:
        raise OperatorError(f"no face was found on any of the {tally.photos} photos")
    model, finder = str(identity(embedder)), f"{detector.name}:{detector.sha256}"
    return evaluation(vectors, people, tally, embedder.calibration, model, finder)


def see(
    faces: FaceService,
    gate: Gate | None,
    photos: Sequence[Photo],
    threads: int,
    advance: Callable[[], None],
    warn: Callable[[str], None],
) -> list[tuple[Photo, Seen]]:
    """The most prominent face of each photo that can be read, in their order, as a search describes it. gate: what it
    must pass.
    """

    def look(photo: Photo) -> Seen:
        try:
            face = faces.embed_most_prominent(photo.path.read_bytes())
        except FaceNotDetected:
            return "no face"
        return face.vector if gate is None or gate.flaw(face.quality) is None else "poor"

    found: list[tuple[Photo, Seen]] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for photo, result in [(photo, pool.submit(look, photo)) for photo in photos]:
            try:
                found.append((photo, result.result()))
            except ImageUnreadable as error:
                warn(f"{photo.path} is damaged and left out: {error}")
            except OSError as error:
                warn(f"{photo.path} cannot be read and is left out: {error.strerror}")
            advance()
    finally:
        # Whoever presses Ctrl-C does not wait for all the others.
        pool.shutdown(cancel_futures=True)
    return found


def _require_pairs(people: Sequence[str]) -> None:
    names = set(people)
    if len(names) < 2 or len(names) == len(people):
        raise OperatorError(
            f"the folder has {len(people)} photos of {len(names)} people that can be read; to compare, there must be "
            "two people, and two photos of one of them"
        )
