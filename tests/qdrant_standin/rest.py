"""The REST half of the stand-in."""

import json
import re
import sys
import tempfile
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client import models

from qdrant_standin.engine import Engine
from qdrant_standin.info import VERSION
from qdrant_standin.refused import Refused
from qdrant_standin.snapshots import Snapshots

_SELECTOR = TypeAdapter(models.PointIdsList | models.FilterSelector)
_DONE = models.UpdateResult(operation_id=1, status=models.UpdateStatus.COMPLETED)

_ABOUT = {
    "/": (VERSION.model_dump_json().encode(), "application/json"),
    "/readyz": (b"all shards are ready", "text/plain"),
}
"""What is said of the server itself, without a key."""

Query = dict[str, str]


class Routes:
    """The handler of each method and path. A handler takes the path's parts, the query and the body, and returns the
    result.
    """

    def __init__(self, engine: Engine, snapshots: Snapshots) -> None:
        self._engine, self._snapshots = engine, snapshots
        points = r"/collections/([^/]+)/points"
        stored = r"/collections/([^/]+)/snapshots"
        self._table: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = [
            (method, re.compile(pattern), handler)
            for method, pattern, handler in [
                ("GET", r"/collections", self._list),
                ("GET", r"/collections/([^/]+)", lambda name, *_: engine.info(name)),
                ("GET", r"/collections/([^/]+)/exists", lambda name, *_: {"exists": engine.exists(name)}),
                ("PUT", r"/collections/([^/]+)", self._create),
                ("PATCH", r"/collections/([^/]+)", self._change),
                ("DELETE", r"/collections/([^/]+)", self._delete),
                ("GET", r"/collections/([^/]+)/cluster", lambda name, *_: engine.cluster(name)),
                ("PUT", r"/collections/([^/]+)/index", self._index),
                ("PUT", points, self._upsert),
                ("POST", points, self._retrieve),
                ("POST", points + "/query", self._query),
                ("POST", points + "/scroll", self._scroll),
                ("POST", points + "/count", self._count),
                ("POST", points + "/delete", self._remove),
                ("POST", points + "/payload", self._set_payload),
                ("POST", r"/collections/([^/]+)/facet", self._facet),
                ("POST", stored, lambda name, *_: snapshots.create(name)),
                ("GET", stored, lambda name, *_: snapshots.list(name)),
                ("GET", stored + r"/([^/]+)", lambda name, snapshot, *_: snapshots.path(name, snapshot)),
                ("DELETE", stored + r"/([^/]+)", self._delete_snapshot),
                ("POST", stored + "/upload", self._upload),
                ("GET", r"/cluster", self._cluster),
            ]
        ]

    def answer(self, method: str, path: str, query: Query, body: bytes) -> Any:
        """Return the result of a call; a Path is a file to send. Raises Refused."""
        for known, pattern, handler in self._table:
            if known == method and (found := pattern.fullmatch(path)):
                try:
                    return handler(*map(unquote, found.groups()), query, body)
                except ValidationError as error:
                    raise Refused(400, f"Format error in JSON body: {error.errors()[0]['msg']}") from error
        raise Refused(404, f"no such path: {method} {path}")

    def _list(self, *_: object) -> Any:
        return {"collections": [{"name": name} for name in self._engine.names()]}

    def _create(self, name: str, query: Query, body: bytes) -> bool:
        request = models.CreateCollection.model_validate_json(body)
        self._engine.note("create", name, request, **query)
        self._engine.create(name, request)
        return True

    def _change(self, name: str, query: Query, body: bytes) -> bool:
        request = models.UpdateCollection.model_validate_json(body)
        self._engine.note("change", name, request, **query)
        self._engine.change(name, request)
        return True

    def _delete(self, name: str, query: Query, _: bytes) -> bool:
        self._engine.note("drop", name, **query)
        return self._engine.delete(name)

    def _index(self, name: str, query: Query, body: bytes) -> BaseModel:
        request = models.CreateFieldIndex.model_validate_json(body)
        self._engine.note("index", name, request, **query)
        self._engine.index(name, request)
        return _DONE

    def _upsert(self, name: str, query: Query, body: bytes) -> BaseModel:
        request = models.PointsList.model_validate_json(body)
        self._engine.note("upsert", name, request.model_copy(update={"points": []}), **query)
        self._engine.upsert(name, request)
        return _DONE

    def _set_payload(self, name: str, query: Query, body: bytes) -> BaseModel:
        request = models.SetPayload.model_validate_json(body)
        self._engine.note("set_payload", name, request, **query)
        self._engine.set_payload(name, request)
        return _DONE

    def _retrieve(self, name: str, query: Query, body: bytes) -> Any:
        request = models.PointRequest.model_validate_json(body)
        self._engine.note("retrieve", name, request, **query)
        return self._engine.retrieve(name, request)

    def _scroll(self, name: str, query: Query, body: bytes) -> Any:
        request = models.ScrollRequest.model_validate_json(body)
        self._engine.note("scroll", name, request, **query)
        return self._engine.scroll(name, request)

    def _query(self, name: str, query: Query, body: bytes) -> Any:
        request = models.QueryRequest.model_validate_json(body)
        self._engine.note("query", name, request.model_copy(update={"query": None}), **query)
        return {"points": self._engine.query(name, request)}

    def _count(self, name: str, query: Query, body: bytes) -> Any:
        request = models.CountRequest.model_validate_json(body)
        self._engine.note("count", name, request, **query)
        return {"count": self._engine.count(name, request)}

    def _remove(self, name: str, query: Query, body: bytes) -> BaseModel:
        selector = _SELECTOR.validate_json(body)
        self._engine.note("delete", name, selector, **query)
        self._engine.remove(name, selector)
        return _DONE

    def _facet(self, name: str, query: Query, body: bytes) -> Any:
        request = models.FacetRequest.model_validate_json(body)
        self._engine.note("facet", name, request, **query)
        return {"hits": self._engine.facet(name, request)}

    def _delete_snapshot(self, name: str, snapshot: str, *_: object) -> bool:
        self._snapshots.delete(name, snapshot)
        return True

    def _upload(self, name: str, query: Query, body: bytes) -> bool:
        self._engine.note("recover", name, **query)
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            self._snapshots.recover(name, Path(file.name), query.get("checksum"))
        return True

    def _cluster(self, *_: object) -> Any:
        nodes = self._engine.nodes.count
        if nodes == 1:
            return {"status": "disabled"}
        return {
            "status": "enabled",
            "peer_id": 1,
            "peers": {str(peer): {"uri": f"http://peer{peer}:6335/"} for peer in range(1, nodes + 1)},
            "raft_info": {"term": 1, "commit": 1, "pending_operations": 0, "role": "Leader", "is_voter": True},
            "consensus_thread_status": {"consensus_thread_status": "working", "last_update": "2026-01-01T00:00:00Z"},
            "message_send_failures": {},
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of a connection: a client that cancels a call resets it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(address: tuple[str, int], routes: Routes, api_key: str | None) -> ThreadingHTTPServer:
    """Return a server on host and port, with a thread for each connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            if url.path in _ABOUT:
                self._send(200, *_ABOUT[url.path])
                return
            if api_key is not None and self.headers.get("api-key") != api_key:
                self._send(401, b"Invalid API key or JWT", "text/plain")
                return
            if self.headers.get_content_type() == "multipart/form-data":
                body = _first_part(self.headers["Content-Type"], body)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            try:
                result = routes.answer(self.command, url.path, query, body)
            except Refused as refused:
                answer = {"status": {"error": str(refused)}, "time": 0.0}
                self._send(refused.code, json.dumps(answer).encode(), "application/json")
                return
            if isinstance(result, Path):
                self._send(200, result.read_bytes(), "application/octet-stream")
            else:
                answer = {"result": result, "status": "ok", "time": 0.0}
                self._send(200, json.dumps(answer, default=_plain).encode(), "application/json")

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 -- the base class's names

        def _send(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.flush_headers_with(body)

        def flush_headers_with(self, body: bytes) -> None:
            """Send headers and body in one packet."""
            self._headers_buffer += [b"\r\n", body]
            self.flush_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing: tests read the record instead."""

    return _Server(address, Handler)


def _plain(value: object) -> Any:
    assert isinstance(value, BaseModel)
    return value.model_dump(mode="json", exclude_none=True)


def _first_part(content_type: str, body: bytes) -> bytes:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    part = next(message.iter_parts()).get_payload(decode=True)
    assert isinstance(part, bytes)
    return part
