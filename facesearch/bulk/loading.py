"""Photos as they are sent: read and, if that is asked for, made smaller."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Final, TypeVar

from facesearch.bulk.journal import photo_id
from facesearch.bulk.photos import MAX_SHRUNK_BYTES, Photo, Unusable
from shared.contract import MAX_IMAGE_BYTES, Status
from shared.host.cores import cores

LARGE_AT_ONCE: Final = 4
"""Photos above MAX_IMAGE_BYTES that are in memory at once, or one for each core: each takes up to 128 MiB, and its
pixels 150 MB."""

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A photo to send. identity: the id of the photo as it was before it was made smaller, so that another release of
    OpenCV does not make it another photo. image: None if it was added already. is_shrunk: whether image is smaller than
    the photo.
    """

    identity: str
    image: bytes | None
    is_shrunk: bool = False


class Loader:
    """Loads photos, in several threads at once. facedb: that they are added to, "" for the key's own default. shrink:
    whether photos above MAX_IMAGE_BYTES are made smaller. Methods raise Unusable.
    """

    def __init__(self, facedb: str, *, shrink: bool) -> None:
        self._facedb = facedb
        self._shrink = shrink
        self._large = BoundedSemaphore(min(LARGE_AT_ONCE, cores()))
        if shrink:
            # A gateway's image, which has no OpenCV, imports as well.
            from facesearch.bulk import shrinking  # noqa: PLC0415 -- see above

            shrinking.prepare()

    def identity(self, photo: Photo) -> str:
        """Return the id of a photo."""
        return self._read(photo, lambda data: self._identity(photo, data))

    def load(self, photo: Photo, added: Container[str]) -> Loaded:
        """Return a photo to send. added: ids of those that were added."""
        return self._read(photo, lambda data: self._loaded(photo, data, added))

    def _read(self, photo: Photo, use: Callable[[bytes], T]) -> T:
        try:
            return use(photo.load())
        except Unusable as error:
            if not self._shrink or error.status != Status.IMAGE_INVALID_SIZE:
                raise
        with self._large:
            return use(photo.load(MAX_SHRUNK_BYTES))

    def _loaded(self, photo: Photo, data: bytes, added: Container[str]) -> Loaded:
        identity = self._identity(photo, data)
        if identity in added:
            return Loaded(identity, None)
        if len(data) <= MAX_IMAGE_BYTES:
            return Loaded(identity, data)
        from facesearch.bulk.shrinking import shrunk  # noqa: PLC0415 -- see __init__

        return Loaded(identity, shrunk(data), is_shrunk=True)

    def _identity(self, photo: Photo, data: bytes) -> str:
        return photo_id(self._facedb, photo.name, photo.path, data, photo.person)
