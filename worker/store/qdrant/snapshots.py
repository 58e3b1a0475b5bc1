"""Backup and return of the collections on a Qdrant server of one node, by the server's own snapshots.

    <folder>/<collection>.snapshot   as the server made it
    <folder>/manifest.json           whose vectors, how many, and each file's checksum; written last

A snapshot holds what one node holds. On a cluster of several nodes each has to be asked for its own, and each returned
to its node; that is for the tools of whoever runs the cluster, and refused here.
"""

import hashlib
from collections.abc import Callable, Container
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ValidationError

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.base import StoreError
from worker.store.qdrant.collections import Placement
from worker.store.qdrant.snapshot_server import SnapshotServer

MANIFEST: Final = "manifest.json"

Say = Callable[[str], None]


class Saved(BaseModel):
    """One collection of a backup. least_points, most_points: counted before and after; they differ if it was in use."""

    collection: str
    placement: Placement
    identity: str
    least_points: int
    most_points: int
    file: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a backup's folder holds."""

    version: Literal[1] = 1
    collections: list[Saved]


def save(settings: Settings, folder: Path, say: Say) -> None:
    """A snapshot of every collection of facesearch into the folder; none stays on the server.

    Raises OperatorError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with SnapshotServer(settings) as server:
            server.require_one_node()
            kept = [_save_one(server, name, folder, say) for name in server.names() if server.identity(name)]
        (folder / MANIFEST).write_text(Manifest(collections=kept).model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise OperatorError(f"cannot write to {folder} ({error.strerror}); mend that or choose another") from None
    except StoreError as error:
        raise OperatorError(f"nothing was saved that could be used: {error}") from None


def load(settings: Settings, folder: Path, overwrite: bool, say: Say, known: Container[str]) -> None:
    """Make each collection what its snapshot says. overwrite: also those that have points now. known: collections that
    belong to somebody; others are told and left.

    Everything is checked before anything is sent. Raises OperatorError.
    """
    manifest = checked(folder)
    wanted = [saved for saved in manifest.collections if saved.placement == "shared" or saved.collection in known]
    for saved in manifest.collections:
        if saved not in wanted:
            say(f"{saved.collection}: left out, as the control data knows no such collection")
    try:
        with SnapshotServer(settings) as server:
            server.require_one_node()
            for saved in wanted:
                server.require_free(saved.collection, overwrite)
            for saved in wanted:
                server.upload(saved.collection, _file(folder, saved), saved.sha256)
                points = server.count(saved.collection)
                if not saved.least_points <= points <= saved.most_points or server.identity(saved.collection) is None:
                    raise OperatorError(
                        f"{saved.collection} has {points} faces after loading, and was saved with {_number(saved)}; "
                        "restore again with --overwrite"
                    )
                say(f"{saved.collection}: {points} faces")
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


def checked(folder: Path) -> Manifest:
    """The manifest of a backup whose files are all there and as they were. Raises OperatorError."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
        for saved in manifest.collections:
            with _file(folder, saved).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != saved.sha256:
                    raise OperatorError(f"{_file(folder, saved)} is damaged: its checksum is not that of the manifest")
    except OSError as error:
        raise OperatorError(f"{folder} holds no whole backup: {error.filename}: {error.strerror}") from None
    except ValidationError:
        raise OperatorError(f"{folder / MANIFEST} is damaged: it is not what `facesearch backup` writes") from None
    return manifest


def _file(folder: Path, saved: Saved) -> Path:
    """In the folder, whatever the manifest says."""
    return folder / Path(saved.file).name


def _number(saved: Saved) -> str:
    if saved.least_points == saved.most_points:
        return str(saved.most_points)
    return f"{saved.least_points} to {saved.most_points}"
