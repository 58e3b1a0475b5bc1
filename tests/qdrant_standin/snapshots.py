"""Snapshots of a collection: a tar of its folder, compressed as the files are mostly holes.

A format of the stand-in's own, which a real server does not read.
"""

import hashlib
import json
import shutil
import tarfile
import uuid
from pathlib import Path

from qdrant_client import models

from qdrant_standin.engine import Engine
from qdrant_standin.refused import Refused


class Snapshots:
    """Snapshots in a folder beside the collections."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder = folder / "snapshots"
        self._engine = engine

    def create(self, name: str) -> models.SnapshotDescription:
        self._engine.path(name)
        path = self._folder / name / f"{name}-{uuid.uuid4().hex}.snapshot"
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._engine.still(name) as folder, tarfile.open(path, "w:gz", compresslevel=1) as archive:
            archive.add(folder, "collection")
        return models.SnapshotDescription(name=path.name, size=path.stat().st_size, checksum=checksum(path))

    def list(self, name: str) -> list[models.SnapshotDescription]:
        self._engine.path(name)
        return [
            models.SnapshotDescription(name=path.name, size=path.stat().st_size, checksum=checksum(path))
            for path in sorted((self._folder / name).glob("*.snapshot"))
        ]

    def path(self, name: str, snapshot: str) -> Path:
        path = self._folder / name / Path(snapshot).name
        if not path.is_file():
            raise Refused(404, f"Not found: Snapshot {snapshot} not found")
        return path

    def delete(self, name: str, snapshot: str) -> None:
        self.path(name, snapshot).unlink()

    def recover(self, name: str, archive: Path, expected: str | None) -> None:
        """Make the collection equal to the snapshot, whether or not it exists."""
        if expected and checksum(archive) != expected:
            raise Refused(400, "Wrong input: Snapshot checksum mismatch")
        made = self._engine.temporary()
        try:
            with tarfile.open(archive) as opened:
                # Like the argument `filter`, which Python 3.11.2 of Debian 12 lacks.
                opened.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                opened.extractall(made)  # noqa: S202 -- filtered, and made by this class
            json.loads((made / "collection" / "collection.json").read_text())
        except (tarfile.TarError, OSError, ValueError) as error:
            shutil.rmtree(made, ignore_errors=True)
            raise Refused(400, f"Wrong input: Failed to read snapshot: {error}") from error
        self._engine.put(name, made / "collection", replace=True)


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
