"""Indexes of the attributes of persons in a shard of Qdrant Edge, by which they are listed, looked up and counted.

A new shard indexes the times of adding. The other indexes are made when somebody first looks for a name or an
external_id, when a person first gets a second face, or when the shard becomes large: each makes the optimiser's pauses
longer, and most small collections are never asked for these. Making one holds the interpreter lock, for a quarter of a
second for 100,000 points. A larger shard without it, of an earlier release, gets it by compaction, which goes in steps.
docs/decisions/0031-persons-in-the-store.md has the figures.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import qdrant_edge as engine

from worker.store.attributes import ADDED, EXTERNAL_ID, NAME
from worker.store.kept_faces import FACE_COUNT

_SCHEMAS: Final[dict[str, engine.IntegerIndexParams | engine.KeywordIndexParams]] = {
    ADDED: engine.IntegerIndexParams(lookup=False, range=True, on_disk=True),
    NAME: engine.KeywordIndexParams(on_disk=True),
    EXTERNAL_ID: engine.KeywordIndexParams(on_disk=True),
    FACE_COUNT: engine.IntegerIndexParams(lookup=True, range=False, on_disk=True),
}

KEYS: Final = tuple(_SCHEMAS)
"""The attributes that can be indexed."""


def create_shard(path: Path, config: engine.EdgeConfig, keys: Iterable[str] = ()) -> engine.EdgeShard:
    """Return a new, empty shard that indexes the times of adding, and these keys."""
    shard = engine.EdgeShard.create(str(path), config)
    for key in {ADDED, *keys}:
        make(shard, key)
    return shard


def keys_of(shard: engine.EdgeShard) -> list[str]:
    """Return the attributes that the shard indexes."""
    return [key for key in shard.info().payload_schema if key in _SCHEMAS]


def make(shard: engine.EdgeShard, key: str) -> None:
    """Index a key; nothing happens if the shard does so already."""
    shard.update(engine.UpdateOperation.create_field_index(key, _SCHEMAS[key]))
