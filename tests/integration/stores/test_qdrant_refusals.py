"""Answers of a Qdrant server that no stand-in gives on purpose: overloaded, failing, too busy. They come
from a script.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import StoreError, StoreUnavailable
from worker.store.qdrant.backend import open_qdrant
from worker.store.qdrant.store import QdrantStore

OURS = Identity("sface", "0" * 64, 1, 4)
REASON = {"status": {"error": 'Service internal error: shard of "Ada Lovelace" has no active replica'}, "time": 0.1}


@dataclass
class Script:
    """The answers in order, as (status code, headers); after them, an empty list of collections."""

    answers: list[tuple[int, dict[str, str]]]
    asked: list[str] = field(default_factory=list)


@contextmanager
def scripted(script: Script, **settings: object) -> Iterator[QdrantStore]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.asked.append(self.path)
            code, headers = script.answers.pop(0) if script.answers else (200, {})
            body = json.dumps({"result": {"collections": []}, "status": "ok", "time": 0.1} if code == 200 else REASON)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing: the script records the requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        patient = {"store_timeout_s": 30, "visibility_timeout_s": 60}
        with closing(open_qdrant(Settings(qdrant_url=url, **(patient | settings)), OURS)) as store:
            yield store
        server.shutdown()


@pytest.mark.parametrize(
    "trouble",
    [
        *((code, {}) for code in (408, 429, 500, 502, 503)),
        *((429, {"Retry-After": when}) for when in ("0", "1", "soon")),
    ],
    ids=str,
)
def test_a_temporary_refusal_is_retried(trouble: tuple[int, dict[str, str]]) -> None:
    script = Script([trouble, trouble])
    with scripted(script) as store:
        store.collections()
    assert len(script.asked) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422])
def test_a_refused_request_is_not_retried(code: int) -> None:
    script = Script([(code, {})])
    with scripted(script) as store, pytest.raises(StoreError) as refused:
        store.collections()
    assert not isinstance(refused.value, StoreUnavailable)
    assert "Ada" not in str(refused.value)
    assert len(script.asked) == 1


def test_a_retry_after_beyond_the_time_limit_is_not_waited_for() -> None:
    script = Script([(429, {"Retry-After": "3600"})])
    with scripted(script) as store, pytest.raises(StoreUnavailable, match="too many requests"):
        store.collections()
    assert len(script.asked) == 1


def test_retries_end_at_the_time_limit() -> None:
    script = Script([(503, {})] * 1000)
    with scripted(script, store_timeout_s=1) as store, pytest.raises(StoreUnavailable, match="no active replica"):
        store.collections()
    assert 1 < len(script.asked) < 1000
