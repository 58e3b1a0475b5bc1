"""Backup and restore of the collections on a Qdrant server of one node, by the server's own snapshots.

    <folder>/<collection>.snapshot   as the server made it
    <folder>/manifest.json           identity and number of vectors, and each file's checksum; written last

A snapshot holds what one node holds. A cluster of several nodes is refused: each node has to be asked for its own
snapshot and given it back, which is a task for the cluster's own tools.
"""

import hashlib
from collections.abc import Container, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ValidationError

from shared.errors import OperatorError
from shared.progress import Say
from shared.settings import Settings
from worker.store.base import StoreError
from worker.store.qdrant.collections import Placement
from worker.store.qdrant.snapshot_server import SnapshotServer

MANIFEST: Final = "manifest.json"


class Saved(BaseModel):
    """One collection of a backup. least_points, most_points: counted before and after the snapshot; they differ if the
    collection was in use.
    """

    collection: str
    placement: Placement
    identity: str
    least_points: int
    most_points: int
    file: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """The manifest of a backup's folder."""

    version: Literal[1] = 1
    collections: list[Saved]


class QdrantSnapshots:
    """Snapshots on the server of QDRANT_URL. Methods raise OperatorError."""

    def __init__(self, settings: Settings) -> None:
        self.placement: str = settings.placement
        self._settings = settings

    def save(self, folder: Path, say: Say) -> None:
        """Write a snapshot of every collection of facesearch into the folder; none stays on the server."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with SnapshotServer(self._settings) as server:
                server.require_one_node()
                kept = [_save_one(server, name, folder, say) for name in server.names() if server.identity(name)]
            (folder / MANIFEST).write_text(Manifest(collections=kept).model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise OperatorError(f"cannot write to {folder} ({error.strerror}); mend that or choose another") from None
        except StoreError as error:
            raise OperatorError(f"nothing was saved that could be used: {error}") from None

    def checked(self, folder: Path) -> Sequence[Saved]:
        """Return the collections of a backup whose files are all there and match their checksums."""
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
            for saved in manifest.collections:
                with _file(folder, saved).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != saved.sha256:
                        raise OperatorError(
                            f"{_file(folder, saved)} is damaged: its checksum is not that of the manifest"
                        )
        except OSError as error:
            raise OperatorError(f"{folder} holds no whole backup: {error.filename}: {error.strerror}") from None
        except ValidationError:
            raise OperatorError(f"{folder / MANIFEST} is damaged: it is not what `facesearch backup` writes") from None
        return manifest.collections

    def load(self, folder: Path, overwrite: bool, say: Say, known: Container[str]) -> None:
        """Restore each collection from its snapshot. overwrite: also those that have points now. known: collections
        of facedbs; others are reported and left out. Checks everything before it sends anything.
        """
        found = self.checked(folder)
        wanted = [saved for saved in found if saved.placement == "shared" or saved.collection in known]
        for saved in found:
            if saved not in wanted:
                say(f"{saved.collection}: left out, as the control data knows no such collection")
        try:
            with SnapshotServer(self._settings) as server:
                server.require_one_node()
                for saved in wanted:
                    server.require_free(saved.collection, overwrite)
                for saved in wanted:
                    _load_one(server, saved, folder, say)
        except StoreError as error:
            raise OperatorError(str(error)) from None


def _save_one(server: SnapshotServer, name: str, folder: Path, say: Say) -> Saved:
    path = folder / f"{name}.snapshot"
    with ExitStack() as made:
        before = server.count(name)
        snapshot = server.create(name)
        made.callback(server.remove, name, snapshot["name"])
        with path.open("wb") as file:
            digest = server.download(name, snapshot["name"], file)
        after = server.count(name)
    if snapshot.get("checksum") not in {None, digest}:
        raise StoreError(f"{name} was damaged on its way here; save again")
    placement, identity = server.identity(name) or ("separate", "")
    saved = Saved(
        collection=name,
        placement=placement,
        identity=identity,
        least_points=min(before, after),
        most_points=max(before, after),
        file=path.name,
        bytes=path.stat().st_size,
        sha256=digest,
    )
    say(f"{name}: {_number(saved)} faces, {saved.bytes / 1e6:.1f} MB")
    return saved


def _load_one(server: SnapshotServer, saved: Saved, folder: Path, say: Say) -> None:
    server.upload(saved.collection, _file(folder, saved), saved.sha256)
    points = server.count(saved.collection)
    if not saved.least_points <= points <= saved.most_points or server.identity(saved.collection) is None:
        raise OperatorError(
            f"{saved.collection} has {points} faces after loading, and was saved with {_number(saved)}; "
            "restore again with --overwrite"
        )
    say(f"{saved.collection}: {points} faces")


def _file(folder: Path, saved: Saved) -> Path:
    """Return a path in the folder, whatever the name in the manifest."""
    return folder / Path(saved.file).name


def _number(saved: Saved) -> str:
    if saved.least_points == saved.most_points:
        return str(saved.most_points)
    return f"{saved.least_points} to {saved.most_points}"
