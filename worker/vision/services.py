"""The face services of several embedders, of which each image is given to one."""

from collections.abc import Iterator, Mapping

from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS, Preprocessing
from worker.vision.service import Face, FaceSelection, FaceService

_DEFAULT = PREPROCESSINGS[PREPROCESSING_VERSION]


class FaceServices:
    """Finds and embeds the faces of an image with the embedder of its preprocessing. Thread-safe.

    Its methods raise what those of FaceService raise, and KeyError for an embedder that it does not have.
    """

    def __init__(self, first: FaceService, others: Mapping[str, FaceService]) -> None:
        """others: by the names of their embedders."""
        self._services = {"": first, **others}

    def embed_all(
        self, data: bytes, selection: FaceSelection | None = None, preprocessing: Preprocessing = _DEFAULT
    ) -> list[Face]:
        """Return the selected faces, by default all, from left to right. Only these are embedded."""
        return self._services[preprocessing.embedder].embed_all(data, selection, preprocessing)

    def embed_most_prominent(self, data: bytes, preprocessing: Preprocessing = _DEFAULT) -> Face:
        """Return the most prominent face."""
        return self._services[preprocessing.embedder].embed_most_prominent(data, preprocessing)

    def each(self) -> Iterator[FaceService]:
        """Yield the services, first that of the preferred embedder."""
        yield from self._services.values()
