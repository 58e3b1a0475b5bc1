"""Writes a face database into a file, a person at a time."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

import numpy as np

from facesearch.exchange.about import ABOUT, PERSONS, VECTORS, About, Checksum
from facesearch.exchange.lines import line_of
from shared.errors import OperatorError
from shared.host.disk import sync
from worker.models.identity import Identity
from worker.store.base import Point

FLOATS: Final = np.dtype("<f4")

_COPIED: Final = 1024 * 1024
"""Bytes that are copied at once."""


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """Make a folder beside a file that does not exist yet, for what leads to it, and remove it in the end. What a
    killed export left in it is removed first. Raises OSError, and OperatorError if the file exists or another export
    writes it.
    """
    if path.exists() or path.is_symlink():
        raise OperatorError(f"{path} exists already; remove it, or choose another name")
    folder = path.with_name(f".{path.name}.part")
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OperatorError(f"another export writes {path}; wait for its end") from None
        for left in folder.iterdir():
            left.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def write(
    path: Path, folder: Path, facedb: str, identity: Identity, points: Iterable[Point], names: Callable[[], int]
) -> About:
    """Write a new file that only its owner can read, and return what it holds. folder: its workplace. identity: of the
    vectors. names: returns how many automatic names were drawn; called after the last person. Raises OSError, and what
    reading the points raises; then there is no file.
    """
    unfinished = folder / path.name
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            made = _written(archive, folder, facedb, identity, points, names)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync(path.parent)
    return made


def _written(
    archive: zipfile.ZipFile,
    folder: Path,
    facedb: str,
    identity: Identity,
    points: Iterable[Point],
    names: Callable[[], int],
) -> About:
    """Write the members. The vectors wait in a file without a name, since the number of rows comes before the rows."""
    persons = faces = 0
    with tempfile.TemporaryFile(dir=folder) as waiting:
        with _member(archive, PERSONS) as member:
            for point in points:
                line, vectors = line_of(point)
                member.write(line)
                for vector in vectors:
                    waiting.write(vector.astype(FLOATS).tobytes())
                persons += 1
                faces += len(vectors)
        waiting.seek(0)
        files = {PERSONS: member.checksum}
        with _member(archive, VECTORS) as member:
            head = {"descr": FLOATS.str, "fortran_order": False, "shape": (faces, identity.dimension)}
            np.lib.format.write_array_header_1_0(member, head)
            while data := waiting.read(_COPIED):
                member.write(data)
        files[VECTORS] = member.checksum
    made = About(
        created=datetime.now(UTC).replace(microsecond=0),
        release=version("facesearch"),
        facedb=facedb,
        identity=str(identity),
        dimension=identity.dimension,
        persons=persons,
        faces=faces,
        automatic_names=names(),
        files=files,
    )
    with _member(archive, ABOUT) as member:
        member.write(json.dumps(made.model_dump(mode="json"), indent=2).encode() + b"\n")
    return made


class _Member:
    """A member that is being written, and its checksum so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    @property
    def checksum(self) -> Checksum:
        return Checksum(bytes=self._bytes, sha256=self._digest.hexdigest())


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[_Member]:
    about = zipfile.ZipInfo(name, datetime.now(UTC).timetuple()[:6])
    about.external_attr = 0o600 << 16
    with archive.open(about, "w", force_zip64=True) as file:
        yield _Member(file)
