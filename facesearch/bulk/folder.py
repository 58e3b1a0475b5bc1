"""Photos in a folder and the folders below it."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from facesearch.bulk.photos import LISTED_SUFFIXES, UNREADABLE, Failure, Listing, Photo, Unusable, printable, read_image
from facesearch.bulk.place import is_hidden, name_of
from shared.contract import MAX_IMAGE_BYTES
from shared.imagefile.header import SIGNATURE_BYTES, kind_of


def listing(folder: Path, names_from: Literal["folder", "file"]) -> Listing:
    """Return the photos below the folder, in the order of their paths. Links to folders are not followed. Raises
    OSError for a folder that cannot be read.
    """
    photos: list[Photo] = []
    failures: list[Failure] = []
    skipped = 0
    for path in _files(folder):
        within = PurePosixPath(path.relative_to(folder))
        if is_hidden(within) or not _is_listed(path):
            skipped += 1
            continue
        name = name_of(within, names_from)
        if isinstance(name, Failure):
            failures.append(name)
        else:
            photos.append(Photo(printable(str(within)), name, partial(load, path)))
    return Listing(tuple(photos), tuple(failures), skipped)


def load(path: Path, most: int = MAX_IMAGE_BYTES) -> bytes:
    """Return the encoded image in a file (see Load). Raises Unusable."""
    try:
        with path.open("rb") as file:
            return read_image(file, most)
    except OSError as error:
        raise Unusable(UNREADABLE, f"it cannot be read: {error.strerror}") from None


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        yield from (Path(here, name) for name in sorted(files))


def _raise(error: OSError) -> None:
    raise error


def _is_listed(path: Path) -> bool:
    """Return whether a file is a photo, by its suffix or its first bytes. What is no regular file is none: reading a
    pipe would never end.
    """
    if not path.is_file():
        return False
    if path.suffix.lower() in LISTED_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return kind_of(file.read(SIGNATURE_BYTES)) is not None
    except OSError:
        return False
