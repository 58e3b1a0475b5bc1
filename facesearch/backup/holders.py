"""Which backups have persons."""

import mmap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from facesearch.backup import manifest
from shared.errors import OperatorError


@dataclass(frozen=True)
class Holder:
    """A backup that has persons. sure: found in it; otherwise it cannot be searched. newer: backups beside it that are
    newer.
    """

    folder: Path
    created: datetime
    sure: bool
    newer: int


def holders(folder: Path, person_ids: Collection[str]) -> list[Holder]:
    """Return the backups that have any of these persons, oldest first. folder: a backup, or a folder of backups. Raises
    OperatorError if it is neither, or cannot be read.
    """
    found = sorted(_backups(folder), key=lambda pair: pair[1].created)
    texts = [person_id.encode() for person_id in person_ids]
    holding = []
    for place, (path, made) in enumerate(found):
        sure = made.faces == "embedded"
        try:
            if not sure or any(_contains(path / file.name, texts) for file in made.files):
                holding.append(Holder(path, made.created, sure, len(found) - place - 1))
        except OSError as error:
            raise OperatorError(f"cannot read {error.filename or path} ({error.strerror})") from None
    return holding


def _backups(folder: Path) -> Iterator[tuple[Path, manifest.Manifest]]:
    try:
        inner = [path for path in sorted(folder.iterdir()) if (path / manifest.MANIFEST).is_file()]
    except OSError as error:
        raise OperatorError(f"cannot read {folder} ({error.strerror})") from None
    if (folder / manifest.MANIFEST).is_file() or not inner:
        inner = [folder]
    for path in inner:
        yield path, manifest.read(path)


def _contains(path: Path, texts: Sequence[bytes]) -> bool:
    """Return whether a file has one of the texts. It is mapped, since files of faces are large."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # which cannot be mapped
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            return any(held.find(text) >= 0 for text in texts)
