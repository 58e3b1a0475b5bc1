"""The photos of jobs: their bytes, their most prominent face, and faces as callers see them."""

from shared.contract import AddedFace, Box, FoundFace, ShownFace
from shared.errors import FacePoor, Unavailable
from shared.jobs import Job
from shared.persons import FaceQuality
from worker.models.versions import Preprocessing
from worker.runtime import Runtime
from worker.vision import geometry
from worker.vision.quality import Quality
from worker.vision.service import Face


def image_of(job: Job, runtime: Runtime, number: int = 0) -> bytes:
    """Return an encoded image of a job. number: from 0. Raises Unavailable when it has expired."""
    with runtime.metrics.stage("image"):
        image = runtime.ledger.image(job.job_id, number)
    if image is None:
        raise Unavailable("image is gone")
    return image


def prominent(image: bytes, runtime: Runtime, preprocessing: Preprocessing) -> Face:
    """Return the face to search for or to compare. Raises FacePoor when its quality does not suffice."""
    face = runtime.faces.embed_most_prominent(image, preprocessing=preprocessing)
    gate = runtime.gates.search
    flaw = gate.flaw(face.quality) if gate is not None else None
    if flaw is not None:
        raise FacePoor(flaw)
    return face


def shown(box: geometry.Box, quality: Quality) -> ShownFace:
    """Return a face as callers see it. box: in pixels of the photo as sent."""
    return {"box": described_box(box), "quality": described_quality(quality)}


def attach_face(entry: AddedFace | FoundFace, face: Face) -> None:
    """Add the details of a face in a photo to an entry."""
    entry["box"], entry["quality"] = described_box(face.box), described_quality(face.quality)


def as_number(confidence: float) -> float:
    """Return a confidence as in the JSON: with at most 3 decimals, a whole number as an int."""
    rounded = round(confidence, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def described_box(box: geometry.Box) -> Box:
    """Return a box in whole pixels: left, top, width, height."""
    return [round(number) for number in box]


def described_quality(quality: Quality) -> FaceQuality:
    """Return a quality in as many digits as mean something."""
    return {
        "size": round(quality.size, 1),
        "sharpness": round(quality.sharpness, 3),
        "dark": round(quality.dark, 3),
        "bright": round(quality.bright, 3),
        "yaw": round(quality.yaw, 1),
        "pitch": round(quality.pitch, 1),
    }
