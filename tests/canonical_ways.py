"""Vectors of the product's own pipeline, of each way of preprocessing, on the packaged portraits.

They were pinned when the way was new, and are never written again: the facedbs of a way hold embeddings that were made
then, and nobody can make them anew.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np

from canonical import DIGITS, PICTURES
from portraits import jpeg, pixels
from shared.settings import Settings
from worker.models import catalog
from worker.models.versions import Preprocessing
from worker.runtime import open_faces
from worker.vision.geometry import rotate

FILE: Final = Path(__file__).parent / "models/canonical/ways.json"

PHOTOS: Final = {**PICTURES, "tilted": jpeg(rotate(pixels(PICTURES["both"]), 25)[0])}
"""Faces of the last one are refined more than once."""

Vectors = dict[str, list[list[float]]]


def pinned() -> dict[str, Vectors]:
    """Return the pinned vectors, by the version of the way and the photo, from left to right."""
    found: dict[str, Vectors] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def vectors(way: Preprocessing) -> Vectors:
    """Return the vectors of a way, as the default models give them now, in the form of `pinned`."""
    settings = Settings()
    faces = open_faces(settings, catalog.find(settings.embedder, "embedding"))
    return {
        name: np.round([face.vector for face in faces.embed_all(photo, preprocessing=way)], DIGITS).tolist()
        for name, photo in PHOTOS.items()
    }
