"""Translation of the models of Qdrant's API to those of Qdrant Edge. What facesearch does not use is refused."""

from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_standin.refused import Refused


def edge_config(request: models.CreateCollection) -> edge.EdgeConfig:
    """Return a shard's configuration with vectors only: graphs and quantisation are remembered but not built, and every
    search is exact.
    """
    if not isinstance(request.vectors, dict):
        raise unsupported("unnamed vectors")
    vectors = {}
    for name, params in request.vectors.items():
        if params.distance != models.Distance.COSINE:
            raise unsupported(f"distance {params.distance}")
        vectors[name] = edge.EdgeVectorParams(size=params.size, distance=edge.Distance.Cosine)
    return edge.EdgeConfig(vectors=vectors, max_search_threads=1, wal_enabled=True)


def changed(asked: models.CreateCollection, request: models.UpdateCollection) -> models.CreateCollection:
    """Return the parameters of a collection with changes of its graph and its copies; others are refused."""
    change = request.model_dump(exclude_none=True)
    if change.keys() - {"hnsw_config", "params"} or change.get("params", {}).keys() - {"write_consistency_factor"}:
        raise unsupported(f"a change of {', '.join(change)}")
    hnsw = {**(asked.hnsw_config.model_dump() if asked.hnsw_config else {}), **change.get("hnsw_config", {})}
    return asked.model_copy(update={"hnsw_config": models.HnswConfigDiff(**hnsw), **change.get("params", {})})


def edge_index(request: models.CreateFieldIndex) -> edge.UpdateOperation:
    schema = request.field_schema
    if not isinstance(schema, models.KeywordIndexParams):
        raise unsupported("a payload index other than of keywords with parameters")
    return edge.UpdateOperation.create_field_index(
        request.field_name, edge.KeywordIndexParams(is_tenant=schema.is_tenant, on_disk=schema.on_disk)
    )


def edge_point(point: models.PointStruct) -> edge.Point:
    if not isinstance(point.vector, dict):
        raise unsupported("an unnamed vector")
    vectors: dict[str, Any] = dict(point.vector)
    return edge.Point(str(point.id), vectors, point.payload)


def edge_removal(selector: models.PointIdsList | models.FilterSelector) -> edge.UpdateOperation:
    if isinstance(selector, models.PointIdsList):
        return edge.UpdateOperation.delete_points([str(i) for i in selector.points])
    return edge.UpdateOperation.delete_points_by_filter(edge_filter(selector.filter) or edge.Filter())


def edge_query(request: models.QueryRequest) -> edge.QueryRequest:
    nearest = request.query.nearest if isinstance(request.query, models.NearestQuery) else request.query
    if not isinstance(nearest, list) or request.prefetch or request.offset:
        raise unsupported("a query other than for the nearest of a vector")
    return edge.QueryRequest(
        query=edge.Query.Nearest(nearest, using=request.using),
        limit=request.limit or 10,
        score_threshold=request.score_threshold,
        filter=edge_filter(request.filter),
        params=edge.SearchParams(exact=True),
        with_payload=bool(request.with_payload),
    )


def edge_filter(asked: models.Filter | None) -> edge.Filter | None:
    """Translate a filter that requires values of keys; others are refused."""
    if asked is None:
        return None
    if asked.should or asked.must_not or asked.min_should or not isinstance(asked.must, list):
        raise unsupported("a filter other than `must`")
    return edge.Filter(must=[_condition(condition) for condition in asked.must])


def _condition(condition: object) -> edge.FieldCondition:
    if not isinstance(condition, models.FieldCondition) or not isinstance(condition.match, models.MatchValue):
        raise unsupported("a condition other than on a value")
    return edge.FieldCondition(key=condition.key, match=edge.MatchValue(condition.match.value))


def unsupported(what: str) -> Refused:
    return Refused(400, f"Wrong input: the stand-in does not know {what}")
