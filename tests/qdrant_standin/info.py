"""The description of a collection and of its copies, with the defaults of a Qdrant server."""

from dataclasses import dataclass

import qdrant_edge as edge
from qdrant_client import models

VERSION = models.VersionInfo(title="a stand-in for Qdrant", version="1.19.0")


def collection_info(asked: models.CreateCollection, shard: object) -> models.CollectionInfo:
    """Return the description of a collection. shard: Qdrant Edge's description of its shard."""
    hnsw = models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000)
    if asked.hnsw_config is not None:
        hnsw = hnsw.model_copy(update=asked.hnsw_config.model_dump(exclude_none=True))
    return models.CollectionInfo(
        status=models.CollectionStatus.GREEN,
        optimizer_status=models.OptimizersStatusOneOf.OK,
        points_count=shard.points_count,
        indexed_vectors_count=shard.indexed_vectors_count,
        segments_count=shard.segments_count,
        payload_schema={name: _index(found) for name, found in shard.payload_schema.items()},
        config=models.CollectionConfig(
            params=models.CollectionParams(
                vectors=asked.vectors,
                shard_number=asked.shard_number or 1,
                replication_factor=asked.replication_factor or 1,
                write_consistency_factor=asked.write_consistency_factor or 1,
                on_disk_payload=True if asked.on_disk_payload is None else asked.on_disk_payload,
            ),
            hnsw_config=hnsw,
            optimizer_config=models.OptimizersConfig(
                deleted_threshold=0.2, vacuum_min_vector_number=1000, default_segment_number=0, flush_interval_sec=5
            ),
            wal_config=models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0),
            quantization_config=asked.quantization_config,
            metadata=asked.metadata,
        ),
    )


@dataclass(frozen=True)
class Nodes:
    """A cluster of count nodes, the last `lost` of which are out of service."""

    count: int = 1
    lost: int = 0


def cluster_info(asked: models.CreateCollection, shard: object, nodes: Nodes) -> models.CollectionClusterInfo:
    """Return the copies of the only shard: one here, and the others on the nodes that follow."""
    copies = range(1, min(asked.replication_factor or 1, nodes.count) + 1)
    states = {
        node: models.ReplicaState.DEAD if node > nodes.count - nodes.lost else models.ReplicaState.ACTIVE
        for node in copies
    }
    return models.CollectionClusterInfo(
        peer_id=1,
        shard_count=1,
        local_shards=[models.LocalShardInfo(shard_id=0, points_count=shard.points_count, state=states[1])],
        remote_shards=[models.RemoteShardInfo(shard_id=0, peer_id=n, state=states[n]) for n in copies[1:]],
        shard_transfers=[],
    )


def _index(found: object) -> models.PayloadIndexInfo:
    if isinstance(found.params, edge.IntegerIndexParams):
        kind = models.PayloadSchemaType.INTEGER
        params: object = models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER, lookup=found.params.lookup, range=found.params.range
        )
    else:
        kind = models.PayloadSchemaType.KEYWORD
        params = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=found.params.is_tenant)
    return models.PayloadIndexInfo(data_type=kind, params=params, points=found.points)
