"""How many persons and faces a shard has. What a shard had when it was closed is kept in a file beside it, so that a
closed one is counted without opening it, which takes some 40 ms.

The file is removed when the shard is opened, so that it never outlives a change. It also names the configuration that
the engine writes anew, and syncs, whenever it opens a shard: so the file is not believed either where a release that
does not remove it has opened the shard, or where a power failure has brought it back.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import qdrant_edge as engine

from shared.persons import MAX_FACES
from worker.store.base import Counts
from worker.store.edge import indexes
from worker.store.kept_faces import FACE_COUNT

FILE: Final = "counts.json"
"""Name of the file in the folder of a collection."""


def counted(shard: engine.EdgeShard) -> Counts:
    """Count what an open shard has."""
    persons = shard.count(engine.CountRequest(exact=True))
    if FACE_COUNT not in indexes.keys_of(shard):  # made before anybody gets a second face
        return Counts(persons, persons)
    several = shard.facet(engine.FacetRequest(key=FACE_COUNT, limit=MAX_FACES, exact=True)).hits
    return Counts(persons, persons + sum((int(str(hit.value)) - 1) * hit.count for hit in several))


def keep(collection: Path, counts: Counts) -> None:
    """Keep the counts of a shard that was just closed. collection: its folder. If that fails, nothing is kept."""
    with suppress(OSError):
        kept = {"persons": counts.persons, "faces": counts.faces, "opening": _opening(collection)}
        (collection / FILE).write_text(json.dumps(kept), "utf-8")


def kept(collection: Path) -> Counts | None:
    """Return the counts of a closed shard; None if none are kept, as while it is open."""
    try:
        found = json.loads((collection / FILE).read_bytes())
        if found["opening"] != _opening(collection):
            return None
        return Counts(int(found["persons"]), int(found["faces"]))
    except (OSError, ValueError, KeyError, TypeError):  # none, or it was cut short
        return None


def forget(collection: Path) -> None:
    """Keep nothing any more: the shard is about to be opened."""
    (collection / FILE).unlink(missing_ok=True)


def _opening(collection: Path) -> list[int]:
    """Return what no two openings of a shard have in common."""
    written: os.stat_result = (collection / "shard" / "edge_config.json").stat()
    return [written.st_ino, written.st_mtime_ns]
