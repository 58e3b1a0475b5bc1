"""Reads a face database from a file, with bounded memory, and checks every part of it."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from pydantic import ValidationError

from facesearch.exchange.about import ABOUT, PERSONS, UNREADABLE, VECTORS, VERSION, About, AnyVersion, Checksum
from facesearch.exchange.lines import LONGEST_LINE, parsed, point_of
from shared.errors import OperatorError
from worker.models.identity import Identity
from worker.store.base import InvalidVector, Point, check_vectors
from worker.store.faces import FacesOpposed

FLOATS: Final = np.dtype("<f4")

LONGEST_ABOUT: Final = 65_536
"""Bytes of the description that are read at most."""

_BUFFERED: Final = 1024 * 1024


class FacedbFile:
    """An open file. about: what it says of itself. identity: of its vectors."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self.about = self._about()
        try:
            self.identity = Identity.parse(self.about.identity)
        except ValueError:
            raise self._damaged(f"{ABOUT} names no model") from None
        if self.identity.dimension != self.about.dimension:
            raise self._damaged(f"{ABOUT} has two dimensions")

    def check(self) -> None:
        """Read everything. Raises OperatorError unless the checksums are right and every person and vector is whole."""
        for name in (PERSONS, VECTORS):
            with self._open(name) as member:
                if _checksum(member) != self.about.files.get(name):
                    raise self._damaged(f"{name} does not fit its checksum in {ABOUT}")
        for _ in self.points():
            pass

    def points(self) -> Iterator[Point]:
        """Yield each person. Raises OperatorError, which names the line, for one that no store takes."""
        about, number, rows = self.about, 0, 0
        with self._open(PERSONS) as lines, self._open(VECTORS) as vectors:
            self._require_shape(vectors)
            try:
                while line := lines.readline(LONGEST_LINE):
                    number += 1
                    person = parsed(line)
                    found = self._rows(vectors, len(person["faces"]))
                    rows += len(found)
                    check_vectors(list(found), about.dimension)
                    yield point_of(person, list(found))
            except InvalidVector as error:
                raise self._damaged(f"line {number} of {PERSONS} has a vector of {error}") from None
            except FacesOpposed:
                raise self._damaged(f"line {number} of {PERSONS} has faces that cancel each other out") from None
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise self._damaged(f"line {number} of {PERSONS} is no person, or has no row of {VECTORS}") from None
        if (number, rows) != (about.persons, about.faces):
            raise self._damaged(f"it has {number} persons with {rows} faces, and {ABOUT} says otherwise")

    def _rows(self, vectors: IO[bytes], count: int) -> Any:
        """Return the next rows: float32, shape (count, dimension). Raises ValueError if there are fewer."""
        size = count * self.about.dimension * FLOATS.itemsize
        if count > self.about.faces or len(data := vectors.read(size)) < size:
            raise ValueError("rows")
        return np.frombuffer(data, FLOATS).astype(np.float32).reshape(count, self.about.dimension)

    def _require_shape(self, vectors: IO[bytes]) -> None:
        try:
            version = np.lib.format.read_magic(vectors)
            found = np.lib.format.read_array_header_1_0(vectors)
        except ValueError:
            raise self._damaged(f"{VECTORS} is no file of NumPy's format 1.0") from None
        if version != (1, 0) or found != ((self.about.faces, self.about.dimension), False, FLOATS):
            raise self._damaged(f"{VECTORS} has not the shape and type that {ABOUT} says")

    def _about(self) -> About:
        with self._open(ABOUT) as member:
            text = member.read(LONGEST_ABOUT)
        try:
            return About.model_validate_json(text)
        except ValidationError:
            pass
        try:
            other = AnyVersion.model_validate_json(text)
        except ValidationError:
            raise self._damaged(f"{ABOUT} is not what `facesearch export` writes") from None
        if other.version <= VERSION:
            raise self._damaged(f"{ABOUT} is not what `facesearch export` writes")
        raise OperatorError(
            f"{self._path} is of version {other.version}, and this release reads version {VERSION}; import it with "
            f"release {other.release}, which wrote it, or a later one"
        )

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._archive.open(name) as member, io.BufferedReader(member, _BUFFERED) as buffered:  # type: ignore[type-var]
                yield buffered
        except KeyError:
            raise self._damaged(f"it has no {name}") from None
        except UNREADABLE as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            raise OperatorError(f"cannot read {self._path}: {error.strerror}") from None

    def _damaged(self, what: str) -> OperatorError:
        return OperatorError(f"{self._path} is damaged: {what}; nothing of it can be relied on, export again")


@contextmanager
def opened(path: Path) -> Iterator[FacedbFile]:
    """Open a file. Raises OperatorError if it cannot be read or is none, damaged, or of a later release."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, *UNREADABLE):
        raise OperatorError(f"{path} is damaged or cut short: it is no whole ZIP file; export again") from None
    with archive:
        yield FacedbFile(path, archive)


def _checksum(member: IO[bytes]) -> Checksum:
    digest, length = hashlib.sha256(), 0
    while data := member.read(_BUFFERED):
        digest.update(data)
        length += len(data)
    return Checksum(bytes=length, sha256=digest.hexdigest())
