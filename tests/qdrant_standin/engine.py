"""The collections of the stand-in: a shard of Qdrant Edge for each, and the parameters it was created with."""

import json
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from qdrant_standin import info, translate
from qdrant_standin.refused import Refused, missing
from worker.store.edge.shards import OpenShards

_NAME = re.compile(r"[^/\x00-\x1f<>:\"\\|?*.][^/\x00-\x1f<>:\"\\|?*]{0,254}")


class Engine:
    """Collections in a folder. Methods raise Refused. nodes: those of the cluster that it pretends to be part of.
    record: a file to which calls are appended as JSON.
    """

    def __init__(self, folder: Path, nodes: info.Nodes, record: Path | None = None) -> None:
        self.nodes = nodes
        self._folder = folder / "collections"
        self._temporary = folder / "temporary"
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        self._shards = OpenShards(lambda name: edge.EdgeShard.load(str(self.path(name) / "shard")), 1000)
        self._record, self._recording = record, threading.Lock()

    def note(self, call: str, collection: str, body: BaseModel | None = None, **options: object) -> None:
        """Add a call to the record."""
        if self._record is not None:
            content: Any = body.model_dump(mode="json", exclude_none=True) if body else None
            line = json.dumps({"call": call, "collection": collection, "body": content, **options})
            with self._recording, self._record.open("a") as file:
                file.write(line + "\n")

    def names(self) -> list[str]:
        return [path.name for path in self._folder.iterdir()]

    def path(self, name: str) -> Path:
        """Return the folder of an existing collection. Raises Refused."""
        path = self._folder / name
        if not _NAME.fullmatch(name) or not path.is_dir():
            raise missing(name)
        return path

    def exists(self, name: str) -> bool:
        return name in self.names()

    def create(self, name: str, request: models.CreateCollection) -> None:
        if not _NAME.fullmatch(name):
            raise Refused(422, "Validation error in path parameters: [name: invalid]")
        made = self._temporary / uuid.uuid4().hex
        made.mkdir()
        (made / "collection.json").write_text(request.model_dump_json(exclude_none=True))
        edge.EdgeShard.create(str(made / "shard"), translate.edge_config(request)).close()
        self.put(name, made)

    def change(self, name: str, request: models.UpdateCollection) -> None:
        """Remember other parameters of graph and copies."""
        with self._shards.alone(name):
            changed = translate.changed(self._asked(name), request)
            (self.path(name) / "collection.json").write_text(changed.model_dump_json(exclude_none=True))

    def put(self, name: str, made: Path, *, replace: bool = False) -> None:
        """Move a complete folder to the collection's place."""
        with self._shards.alone(name):
            if (self._folder / name).exists():
                if not replace:
                    shutil.rmtree(made)
                    raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
                (self._folder / name).rename(self._temporary / uuid.uuid4().hex)
            made.rename(self._folder / name)

    def delete(self, name: str) -> bool:
        with self._shards.alone(name):
            if not self.exists(name):
                return False
            gone = self._temporary / uuid.uuid4().hex
            (self._folder / name).rename(gone)
        shutil.rmtree(gone)
        return True

    def info(self, name: str) -> models.CollectionInfo:
        with self._shard(name) as shard:
            return info.collection_info(self._asked(name), shard.info())

    def cluster(self, name: str) -> models.CollectionClusterInfo:
        """Return where the copies of the collection's one shard are said to be."""
        with self._shard(name) as shard:
            return info.cluster_info(self._asked(name), shard.info(), self.nodes)

    def index(self, name: str, request: models.CreateFieldIndex) -> None:
        with self._shard(name) as shard:
            shard.update(translate.edge_index(request))

    def upsert(self, name: str, asked: models.PointsList) -> None:
        with self._shard(name) as shard:
            shard.update(translate.edge_upsert(asked))

    def set_payload(self, name: str, request: models.SetPayload) -> None:
        with self._shard(name) as shard:
            shard.update(translate.edge_payload_change(request))

    def remove(self, name: str, selector: models.PointIdsList | models.FilterSelector) -> None:
        with self._shard(name) as shard:
            shard.update(translate.edge_removal(selector))

    def retrieve(self, name: str, request: models.PointRequest) -> list[models.Record]:
        with self._shard(name) as shard:
            found = shard.retrieve(
                [str(i) for i in request.ids],
                with_payload=translate.edge_selector(request.with_payload),
                with_vector=bool(request.with_vector),
            )
            return [models.Record(id=str(r.id), payload=r.payload, vector=r.vector) for r in found]

    def scroll(self, name: str, request: models.ScrollRequest) -> models.ScrollResult:
        with self._shard(name) as shard:
            found, after = shard.scroll(translate.edge_scroll(request))
            return models.ScrollResult(
                points=[
                    models.Record(id=str(r.id), payload=r.payload, vector=r.vector, order_value=r.order_value)
                    for r in found
                ],
                next_page_offset=None if after is None else str(after),
            )

    def query(self, name: str, request: models.QueryRequest) -> list[models.ScoredPoint]:
        with self._shard(name) as shard:
            found = shard.query(translate.edge_query(request))
            return [
                models.ScoredPoint(id=str(p.id), version=p.version, score=p.score, payload=p.payload) for p in found
            ]

    def count(self, name: str, request: models.CountRequest) -> int:
        with self._shard(name) as shard:
            return shard.count(edge.CountRequest(exact=True, filter=translate.edge_filter(request.filter)))

    def facet(self, name: str, request: models.FacetRequest) -> list[models.FacetValueHit]:
        with self._shard(name) as shard:
            asked = edge.FacetRequest(
                key=request.key, limit=request.limit or 10, exact=True, filter=translate.edge_filter(request.filter)
            )
            return [models.FacetValueHit(value=hit.value, count=hit.count) for hit in shard.facet(asked).hits]

    @contextmanager
    def still(self, name: str) -> Iterator[Path]:
        """Yield the collection's folder with no open file in it, so that it can be copied."""
        with self._shards.alone(name):
            yield self.path(name)

    def temporary(self) -> Path:
        """Return a free path on the same file system."""
        return self._temporary / uuid.uuid4().hex

    def close(self) -> None:
        self._shards.close()

    def _asked(self, name: str) -> models.CreateCollection:
        return models.CreateCollection.model_validate_json((self.path(name) / "collection.json").read_text())

    @contextmanager
    def _shard(self, name: str) -> Iterator[edge.EdgeShard]:
        self.path(name)
        try:
            with self._shards.use(name) as shard:
                yield shard
        except Refused:
            raise
        except Exception as error:  # the engine's errors have no class of their own
            if not (self._folder / name).exists():  # dropped meanwhile
                raise missing(name) from error
            raise Refused(400, f"Wrong input: {error}") from error
