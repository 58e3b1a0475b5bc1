"""Photos in a ZIP file, read from it one by one: nothing is written to a disk, so no path in it leads anywhere.

What a small file may cost is bounded: of a member no more than one byte beyond what the service takes is decompressed,
and only in ways whose memory does not depend on what the file claims.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from facesearch.bulk.photos import (
    LISTED_SUFFIXES,
    UNREADABLE,
    Failure,
    Listing,
    Photo,
    Unusable,
    printable,
    read_image,
    too_large,
)
from facesearch.bulk.place import is_hidden, name_of
from shared.contract import MAX_IMAGE_BYTES
from shared.errors import OperatorError

_ENCRYPTED: Final = 0x1
"""Bit of a member's flags (APPNOTE 6.3.10, 4.4.4)."""

_WAYS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""The ways of compression that are read. LZMA's dictionary is as large as a member says, up to 4 GiB."""


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield the ZIP file. Raises OperatorError if it is none, OSError if it cannot be read."""
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise OperatorError(f"{path} is no ZIP file, or a damaged one: {error}") from None
    with file:
        yield file


def listing(file: zipfile.ZipFile, names_from: Literal["folder", "file"]) -> Listing:
    """Return the photos in a ZIP file, by their suffixes, in the order of their paths."""
    photos: list[Photo] = []
    failures: list[Failure] = []
    skipped = 0
    # A path may be there several times; of one that is there with the same content, once.
    members = {(each.filename, each.CRC, each.file_size): each for each in file.infolist()}
    for _, member in sorted(members.items()):
        path = PurePosixPath(member.filename)
        if member.is_dir():
            continue
        if is_hidden(path) or path.suffix.lower() not in LISTED_SUFFIXES:
            skipped += 1
            continue
        name = name_of(path, names_from)
        if isinstance(name, Failure):
            failures.append(name)
        else:
            photos.append(Photo(printable(member.filename), name, partial(_load, file, member)))
    return Listing(tuple(photos), tuple(failures), skipped)


def _load(file: zipfile.ZipFile, member: zipfile.ZipInfo, most: int = MAX_IMAGE_BYTES) -> bytes:
    if member.flag_bits & _ENCRYPTED:
        raise Unusable(UNREADABLE, "it is encrypted")
    if member.compress_type not in _WAYS:
        raise Unusable(UNREADABLE, "it is compressed in a way that is not read; only `deflate` and `store` are")
    if member.file_size > most:
        raise too_large(most)
    try:
        with file.open(member) as content:
            return read_image(content, most)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        raise Unusable(UNREADABLE, f"it cannot be read from the ZIP file: {error}") from None
