"""The folder of a backup and its manifest, which is written last and against which the files are checked."""

import hashlib
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from shared.control.layout import now
from shared.errors import OperatorError
from shared.host.disk import sync
from shared.progress import Show, not_shown

MANIFEST: Final = "manifest.json"
CONTROL: Final = "control.jsonl"
FACES: Final = "faces"

VERSION: Final = 2
"""The latest version of a backup. 2 has attributes of persons in its files of faces, which an earlier release would
leave out without a word. Snapshots have them in any version, so a backup with snapshots stays one of version 1."""

Kind = Literal["embedded", "qdrant"]

_PIECE: Final = 1024 * 1024
"""Bytes that are read at once."""

_VERSIONS: Final[dict[Kind, Literal[1, 2]]] = {"embedded": 2, "qdrant": 1}


class File(BaseModel):
    """A file of a backup. name: its path in the folder, with slashes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """The contents of a backup. faces: how they are stored. release: of facesearch, which wrote the backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2]
    created: AwareDatetime
    faces: Kind
    release: str
    files: list[File]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class _Version(BaseModel):
    """The fields of every version of the manifest."""

    version: int
    release: str


def begin(folder: Path) -> None:
    """Make the folder, for its owner alone. Raises OperatorError if it is not empty or cannot be made."""
    try:
        if (folder / MANIFEST).exists():
            raise OperatorError(f"{folder} holds a backup already; choose another folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = sorted(path.name for path in folder.iterdir())
        if CONTROL in held:
            raise OperatorError(f"{folder} holds a backup that was cut short; remove it or choose another folder")
        if held:
            raise OperatorError(f"{folder} is not empty; choose another folder")
        folder.chmod(0o700)
        (folder / CONTROL).touch(mode=0o600)  # from here on it shows that the backup was cut short
        (folder / FACES).mkdir(mode=0o700)
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(folder: Path, error: OSError) -> OperatorError:
    """Return the error that says that nothing can be written into the folder, and what to do."""
    if isinstance(error, PermissionError):
        place = error.filename or folder
        return OperatorError(
            f"cannot write to {place} ({error.strerror}); this command runs as user {os.getuid()}, which has to be "
            "allowed to: give it the folder with chown, or choose another"
        )
    return OperatorError(f"cannot write to {folder} ({error.strerror}); mend that or choose another")


def finish(folder: Path, faces: Kind) -> Manifest:
    """Write the manifest of all files in the folder, and return it. Raises OSError."""
    files = [_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
    made = Manifest(version=_VERSIONS[faces], created=now(), faces=faces, release=version("facesearch"), files=files)
    unfinished = folder / f".{MANIFEST}"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(made.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / MANIFEST)
    for path in (folder / FACES, folder):
        sync(path)
    return made


def read(folder: Path) -> Manifest:
    """Raises OperatorError if the folder holds no backup, or one of a later release."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        if (folder / CONTROL).exists():
            what = "a backup that was cut short: it has no manifest.json; use another one"
        elif whole := sorted(folder.glob(f"*/{MANIFEST}")):
            what = f"no backup itself; name one of those in it, such as {whole[-1].parent}"
        else:
            what = "no backup; name the folder that `facesearch backup` wrote"
        raise OperatorError(f"{folder} holds {what}") from None
    except OSError as error:
        raise OperatorError(f"cannot read {folder / MANIFEST} ({error.strerror})") from None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        pass
    try:
        later = _Version.model_validate_json(text)
    except ValidationError:
        raise OperatorError(f"{folder / MANIFEST} is damaged: it is not what `facesearch backup` writes") from None
    if later.version <= VERSION:
        raise OperatorError(f"{folder / MANIFEST} is damaged: it is not what `facesearch backup` writes")
    raise OperatorError(
        f"{folder} is a backup of version {later.version}, and this release reads versions up to {VERSION}; use "
        f"release {later.release}, which wrote it"
    )


def damages(folder: Path, manifest: Manifest, show: Show = not_shown) -> Iterator[str]:
    """Yield a line for each file that is missing or changed. Reads every file completely. show: called with the kB that
    were read.
    """
    read = 0

    def count(more: int) -> None:
        nonlocal read
        read += more
        show("kB checked", read // 1000, manifest.bytes // 1000)

    for file in manifest.files:
        if not _is_within(file.name):
            yield f"{folder / MANIFEST} is damaged: {file.name!r} is no file of a backup"
            continue
        path = folder / file.name
        try:
            found = _file(folder, path, count)
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror}); the backup is not whole"
            continue
        if found != file:
            yield f"{path} is damaged: its size or checksum is not that of the manifest"


def _is_within(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _file(folder: Path, path: Path, count: Callable[[int], None] = lambda _: None) -> File:
    """Return what the manifest says of a file. count: called with the bytes of each piece that is read."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            count(len(piece))
    return File(name=path.relative_to(folder).as_posix(), bytes=size, sha256=digest.hexdigest())
