"""What an exported face database says of itself."""

import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

FORMAT: Final = "facesearch facedb"

VERSION: Final = 1

ABOUT: Final = "facedb.json"
PERSONS: Final = "persons.jsonl"
VECTORS: Final = "vectors.npy"

UNREADABLE: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error)
"""What zipfile raises for a damaged, encrypted or strangely compressed file."""

_Count = Annotated[int, Field(ge=0, lt=2**53)]


class Checksum(BaseModel):
    """A member of the file: its length in bytes, and its SHA-256 in hexadecimal digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: _Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class About(BaseModel):
    """facedb: the name it had. release: of facesearch, which wrote the file. identity: of the model and the way of
    preprocessing that made the vectors (worker/models/identity.py), of `dimension` numbers each. persons, faces: how
    many. automatic_names: how many names `ID<n>` were drawn, so that none is drawn again. files: the other members.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["facesearch facedb"] = FORMAT
    version: Literal[1] = VERSION
    created: AwareDatetime
    release: str
    facedb: str
    identity: str
    dimension: Annotated[int, Field(ge=1, le=65_536)]
    persons: _Count
    faces: _Count
    automatic_names: _Count
    files: dict[str, Checksum]


class AnyVersion(BaseModel):
    """The fields of every version."""

    format: Literal["facesearch facedb"]
    version: int
    release: str


def is_facedb(path: Path) -> bool:
    """Return whether a file is an exported face database, damaged or not: by its members, or by its suffix if it is no
    whole ZIP file.
    """
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {ABOUT, PERSONS, VECTORS} <= set(archive.namelist())
    except (OSError, ValueError, *UNREADABLE):
        return path.suffix == ".facedb"
