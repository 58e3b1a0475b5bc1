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
    if isinstance(schema, models.KeywordIndexParams):
        made: Any = edge.KeywordIndexParams(is_tenant=schema.is_tenant, on_disk=schema.on_disk)
    elif isinstance(schema, models.IntegerIndexParams):
        made = edge.IntegerIndexParams(lookup=schema.lookup, range=schema.range, on_disk=schema.on_disk)
    else:
        raise unsupported("a payload index other than of keywords or integers with parameters")
    return edge.UpdateOperation.create_field_index(request.field_name, made)


def edge_point(point: models.PointStruct) -> edge.Point:
    if not isinstance(point.vector, dict):
        raise unsupported("an unnamed vector")
    vectors: dict[str, Any] = dict(point.vector)
    return edge.Point(str(point.id), vectors, point.payload)


_MODES = {
    None: edge.UpdateMode.Upsert,
    models.UpdateMode.UPSERT: edge.UpdateMode.Upsert,
    models.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
    models.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
}


def edge_upsert(asked: models.PointsList) -> edge.UpdateOperation:
    return edge.UpdateOperation.upsert_points(
        [edge_point(point) for point in asked.points],
        condition=edge_filter(asked.update_filter),
        update_mode=_MODES[asked.update_mode],
    )


def edge_payload_change(request: models.SetPayload) -> edge.UpdateOperation:
    """Translate a change of the payload of the points that match a filter; others are refused."""
    if request.filter is None or request.points is not None or request.key is not None:
        raise unsupported("a change of payloads other than by a filter")
    return edge.UpdateOperation.set_payload_by_filter(edge_filter(request.filter) or edge.Filter(), request.payload)


def edge_scroll(request: models.ScrollRequest) -> edge.ScrollRequest:
    if request.order_by is not None and request.offset is not None:
        raise Refused(400, "Bad request: Cannot use an `offset` when using `order_by`. The alternative for paging ...")
    return edge.ScrollRequest(
        offset=None if request.offset is None else str(request.offset),
        limit=request.limit,
        filter=edge_filter(request.filter),
        with_payload=edge_selector(request.with_payload),
        with_vector=bool(request.with_vector),
        order_by=_order(request.order_by),
    )


def edge_selector(asked: object) -> bool | list[str]:
    """Translate which keys of the payload are asked for: all, none, or those of a list."""
    if isinstance(asked, models.PayloadSelectorInclude):
        return asked.include
    if asked is None or isinstance(asked, bool | list):
        return asked or False
    raise unsupported("a choice of payload keys other than of those to include")


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
        with_payload=edge_selector(request.with_payload),
    )


def edge_filter(asked: models.Filter | None) -> edge.Filter | None:
    """Translate a filter of conditions that must all hold; others are refused."""
    if asked is None:
        return None
    if asked.should or asked.must_not or asked.min_should or not isinstance(asked.must, list):
        raise unsupported("a filter other than `must`")
    return edge.Filter(must=[_condition(condition) for condition in asked.must])


def _condition(condition: object) -> Any:
    match condition:
        case models.FieldCondition(match=models.MatchValue(value=value)):
            return edge.FieldCondition(key=condition.key, match=edge.MatchValue(value))
        case models.FieldCondition(match=models.MatchAny(any=values)):
            return edge.FieldCondition(key=condition.key, match=edge.MatchAny(values))
        case models.FieldCondition(range=models.Range() as limits):
            limits = edge.RangeFloat(gte=limits.gte, gt=limits.gt, lte=limits.lte, lt=limits.lt)
            return edge.FieldCondition(key=condition.key, range=limits)
        case models.IsEmptyCondition():
            return edge.IsEmptyCondition(condition.is_empty.key)
        case models.HasIdCondition():
            return edge.HasIdCondition({str(point) for point in condition.has_id})
    raise unsupported("a condition other than on a value, a range, an empty key or ids")


def _order(asked: object) -> edge.OrderBy | None:
    if asked is None:
        return None
    if not isinstance(asked, models.OrderBy) or asked.direction is not models.Direction.ASC:
        raise unsupported("an order other than an ascending one with parameters")
    return edge.OrderBy(asked.key, edge.Direction.Asc, asked.start_from)


def unsupported(what: str) -> Refused:
    return Refused(400, f"Wrong input: the stand-in does not know {what}")
