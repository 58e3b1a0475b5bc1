"""The gRPC half of the stand-in."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from qdrant_client import grpc as api
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from qdrant_standin.engine import Engine
from qdrant_standin.info import VERSION
from qdrant_standin.refused import GRPC_CODES, Refused

_DONE = api.PointsOperationResponse(result=api.UpdateResult(operation_id=1, status=api.UpdateStatus.Completed))


class Collections(api.CollectionsServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def List(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802 -- the service's names
        names = [api.CollectionDescription(name=name) for name in self._engine.names()]
        return api.ListCollectionsResponse(collections=names)

    def Get(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        found = self._engine.info(request.collection_name)
        return api.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(found))

    def CollectionExists(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        exists = api.CollectionExists(exists=self._engine.exists(request.collection_name))
        return api.CollectionExistsResponse(result=exists)

    def Create(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        def given(field: str, convert: Callable[[Any], Any] = lambda value: value) -> Any:
            return convert(getattr(request, field)) if request.HasField(field) else None

        asked = models.CreateCollection(
            vectors=GrpcToRest.convert_vectors_config(request.vectors_config),
            shard_number=given("shard_number"),
            replication_factor=given("replication_factor"),
            write_consistency_factor=given("write_consistency_factor"),
            on_disk_payload=given("on_disk_payload"),
            hnsw_config=given("hnsw_config", GrpcToRest.convert_hnsw_config_diff),
            quantization_config=given("quantization_config", GrpcToRest.convert_quantization_config),
            metadata=GrpcToRest.convert_payload(request.metadata),
        )
        self._engine.note("create", request.collection_name, asked)
        self._engine.create(request.collection_name, asked)
        return api.CollectionOperationResponse(result=True)

    def Update(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        def given(field: str, convert: Callable[[Any], Any]) -> Any:
            return convert(getattr(request, field)) if request.HasField(field) else None

        asked = models.UpdateCollection(
            hnsw_config=given("hnsw_config", GrpcToRest.convert_hnsw_config_diff),
            params=given("params", GrpcToRest.convert_collection_params_diff),
        )
        self._engine.note("change", request.collection_name, asked)
        self._engine.change(request.collection_name, asked)
        return api.CollectionOperationResponse(result=True)

    def CollectionClusterInfo(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        return RestToGrpc.convert_collection_cluster_info(self._engine.cluster(request.collection_name))

    def Delete(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._engine.note("drop", request.collection_name)
        return api.CollectionOperationResponse(result=self._engine.delete(request.collection_name))


class Points(api.PointsServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def Upsert(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        mode = GrpcToRest.convert_update_mode(request.update_mode) if request.HasField("update_mode") else None
        only = GrpcToRest.convert_filter(request.update_filter) if request.HasField("update_filter") else None
        asked = models.PointsList(points=[], update_filter=only, update_mode=mode)
        self._engine.note("upsert", request.collection_name, asked, **_write_options(request))
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        self._engine.upsert(request.collection_name, asked.model_copy(update={"points": points}))
        return _DONE

    def SetPayload(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        selector = GrpcToRest.convert_points_selector(request.points_selector)
        chosen = {"filter": selector.filter} if isinstance(selector, models.FilterSelector) else {"points": []}
        asked = models.SetPayload(payload=GrpcToRest.convert_payload(request.payload), **chosen)
        self._engine.note("set_payload", request.collection_name, asked, **_write_options(request))
        self._engine.set_payload(request.collection_name, asked)
        return _DONE

    def Delete(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        selector = GrpcToRest.convert_points_selector(request.points)
        self._engine.note("delete", request.collection_name, selector, **_write_options(request))
        self._engine.remove(request.collection_name, selector)
        return _DONE

    def Get(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        asked = models.PointRequest(
            ids=[GrpcToRest.convert_point_id(i) for i in request.ids],
            with_payload=_selector(request),
            with_vector=_with_vectors(request),
        )
        self._engine.note("retrieve", request.collection_name, asked)
        found = self._engine.retrieve(request.collection_name, asked)
        whole = [record.model_copy(update={"payload": record.payload or {}}) for record in found]
        return api.GetResponse(result=[RestToGrpc.convert_retrieved_point(record) for record in whole])

    def Scroll(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        asked = models.ScrollRequest(
            offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
            limit=request.limit,
            filter=_filter(request),
            with_payload=_selector(request),
            with_vector=_with_vectors(request),
            order_by=GrpcToRest.convert_order_by(request.order_by) if request.HasField("order_by") else None,
        )
        self._engine.note("scroll", request.collection_name, asked)
        found = self._engine.scroll(request.collection_name, asked)
        records = [RestToGrpc.convert_retrieved_point(record) for record in found.points]
        after = found.next_page_offset
        offset = None if after is None else RestToGrpc.convert_extended_point_id(after)
        return api.ScrollResponse(result=records, next_page_offset=offset)

    def Query(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        asked = models.QueryRequest(
            query=GrpcToRest.convert_query(request.query),
            using=request.using,
            filter=_filter(request),
            params=GrpcToRest.convert_search_params(request.params),
            score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
            limit=request.limit,
            with_payload=_selector(request),
        )
        self._engine.note("query", request.collection_name, asked.model_copy(update={"query": None}))
        found = self._engine.query(request.collection_name, asked)
        return api.QueryResponse(result=[RestToGrpc.convert_scored_point(point) for point in found])

    def Count(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        asked = models.CountRequest(filter=_filter(request), exact=request.exact)
        self._engine.note("count", request.collection_name, asked)
        count = self._engine.count(request.collection_name, asked)
        return api.CountResponse(result=api.CountResult(count=count))

    def Facet(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        asked = models.FacetRequest(key=request.key, limit=request.limit, filter=_filter(request), exact=request.exact)
        self._engine.note("facet", request.collection_name, asked)
        hits = self._engine.facet(request.collection_name, asked)
        return api.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(hit) for hit in hits])

    def CreateFieldIndex(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        schema = GrpcToRest.convert_payload_schema_params(request.field_index_params)
        asked = models.CreateFieldIndex(field_name=request.field_name, field_schema=schema)
        self._engine.note("index", request.collection_name, asked, **_write_options(request))
        self._engine.index(request.collection_name, asked)
        return _DONE


class Server(api.QdrantServicer):
    def HealthCheck(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        return api.HealthCheckReply(title=VERSION.title, version=VERSION.version)


class _Guard(grpc.ServerInterceptor):
    """Checks the key, and answers refusals with their code."""

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        known = self._api_key is None or dict(details.invocation_metadata).get("api-key") == self._api_key

        def run(request: Any, context: grpc.ServicerContext) -> Any:
            if not known:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")
            try:
                return handler.unary_unary(request, context)
            except Refused as refused:
                context.abort(GRPC_CODES[refused.code], str(refused))

        return grpc.unary_unary_rpc_method_handler(
            run, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def server(engine: Engine, api_key: str | None) -> grpc.Server:
    """Return the server, not started and bound to no port yet."""
    pings = [("grpc.http2.min_ping_interval_without_data_ms", 1000), ("grpc.http2.max_ping_strikes", 0)]
    made = grpc.server(
        ThreadPoolExecutor(16), interceptors=[_Guard(api_key)], options=[("grpc.so_reuseport", 0), *pings]
    )
    api.add_QdrantServicer_to_server(Server(), made)
    api.add_CollectionsServicer_to_server(Collections(engine), made)
    api.add_PointsServicer_to_server(Points(engine), made)
    return made


def _filter(request: Any) -> models.Filter | None:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


def _with_vectors(request: Any) -> bool:
    """Return whether the request asks for all vectors, or for those of some names: there is only one."""
    return bool(GrpcToRest.convert_with_vectors_selector(request.with_vectors))


def _selector(request: Any) -> Any:
    return GrpcToRest.convert_with_payload_selector(request.with_payload)


def _write_options(request: Any) -> dict[str, Any]:
    """Return the options as in the query of a REST URL."""
    options = {"wait": str(request.wait).lower()}
    if request.HasField("ordering"):
        options["ordering"] = api.WriteOrderingType.Name(request.ordering.type).lower()
    return options
