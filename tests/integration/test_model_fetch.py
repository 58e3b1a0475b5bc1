"""Fetching models over HTTP from a real server on the loopback interface that misbehaves as servers do."""

import hashlib
import re
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.errors import OperatorError
from worker.models.catalog import Model, UrlSource
from worker.models.fetch import FetchError, UnreachableError, fetch, fetching
from worker.models.files import original, sha256

DATA = hashlib.shake_256(b"weights").digest(1_000_000)
SIZE = len(DATA)


class Server(ThreadingHTTPServer):
    """A server of `data`. ranges: whether it supports Range. cuts: bytes after which the next answers break off."""

    def __init__(self, data=DATA, *, ranges=True, cuts=(), length=True, status=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.ranges, self.cuts, self.length, self.status = data, ranges, list(cuts), length, status
        self.requests = []

    @property
    def source(self):
        return UrlSource(f"http://127.0.0.1:{self.server_port}/model.onnx")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.server.status:
            self.send_error(self.server.status)
            return
        data, start = self.server.data, 0
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if self.server.length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.cuts:
            body = body[: self.server.cuts.pop(0)]
        self.wfile.write(body)

    def log_message(self, *_):
        """Write nothing to stderr."""


@contextmanager
def serving(**how):
    with Server(**how) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def part(tmp_path):
    return tmp_path / "model.part"


def get(server, part, size=SIZE):
    """Return the lines for the operator, and the progress."""
    said, shown = [], []
    with fetching(lambda *progress: shown.append(progress)) as fetch:
        fetch(server.source, part, size, said.append)
    return said, shown


def test_a_file_is_fetched_with_progress(part):
    with serving() as server:
        said, shown = get(server, part)
    assert sha256(part) == hashlib.sha256(DATA).hexdigest()
    assert server.requests == [None]
    assert said == [f"fetching {server.source.url}"]
    assert shown == [("kB", done, 1000) for done in (262, 524, 786, 1000)]


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_broken_connection_is_resumed_where_it_broke(part, size):
    with serving(cuts=[300_000, 200_000]) as server:
        get(server, part, size)
    assert part.read_bytes() == DATA
    assert server.requests == [None, "bytes=300000-", "bytes=500000-"]


def test_a_server_without_ranges_starts_over(part):
    with serving(ranges=False, cuts=[300_000]) as server:
        get(server, part)
    assert part.read_bytes() == DATA
    assert server.requests == [None, "bytes=300000-"]


def test_too_many_broken_connections_are_an_error_and_the_part_stays(part):
    with serving(cuts=[1000, 1000, 1000]) as server, pytest.raises(FetchError, match="ended after 3000 of 1000000"):
        get(server, part)
    assert part.read_bytes() == DATA[:3000]
    with serving() as server:
        get(server, part)
    assert part.read_bytes() == DATA
    assert server.requests == ["bytes=3000-"]


def test_a_complete_part_is_not_fetched(part):
    part.write_bytes(DATA)
    with serving() as server:
        get(server, part)
    assert part.read_bytes() == DATA


def test_an_answer_without_length_is_read(part):
    with serving(length=False) as server:
        assert get(server, part, size=None)[1][-1] == ("kB", 1000, None)
    assert part.read_bytes() == DATA


def test_an_answer_without_length_that_breaks_is_resumed(part):
    with serving(length=False, cuts=[300_000]) as server:
        get(server, part)
    assert part.read_bytes() == DATA
    assert server.requests == [None, "bytes=300000-"]


@pytest.mark.parametrize("length", [True, False])
def test_more_bytes_than_expected_are_an_error(part, length):
    with serving(length=length) as server, pytest.raises(FetchError, match=r"offers 1000000|more than the expected"):
        get(server, part, size=1000)
    assert not part.exists() or part.stat().st_size <= 1000 + (1 << 18)


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusal_of_the_server_is_an_error(part, status):
    with serving(status=status) as server, pytest.raises(FetchError, match=f"HTTP {status}"):
        get(server, part)
    assert len(server.requests) == 1


def test_a_missing_server_is_an_error(part):
    with serving() as server:
        source = server.source
    with pytest.raises(UnreachableError, match=r"^127.0.0.1 cannot be reached \(.*refused\)$") as caught:
        fetch(source, part, None, print)
    assert caught.value.where == "127.0.0.1"


def tiny_model(*sources):
    """Return a catalogue entry for DATA, which is no graph: these tests end before it is prepared."""
    return Model(
        name="tiny",
        task="embedding",
        file="tiny.onnx",
        sha256=hashlib.sha256(DATA).hexdigest(),
        size=len(DATA),
        sources=sources,
        licence="MIT",
        commercial=True,
    )


def test_wrong_bytes_of_one_source_are_fetched_from_the_next(tmp_path):
    with serving(data=bytes(len(DATA))) as wrong, serving() as right:
        said = []
        path = original(tiny_model(wrong.source, right.source), tmp_path, said.append, fetch)
    assert path.read_bytes() == DATA
    digest = hashlib.sha256(bytes(len(DATA))).hexdigest()
    assert f"{wrong.source}: its sha256 is {digest}, expected {sha256(path)}" in said
    assert right.requests == [None]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_part_with_wrong_bytes_is_discarded(tmp_path):
    model = tiny_model()
    with serving() as server:
        model = replace(model, sources=(server.source,))
        (tmp_path / f"{model.sha256[:16]}-tiny.onnx.part").write_bytes(b"another file's beginning")
        path = original(model, tmp_path, print, fetch)
    assert path.read_bytes() == DATA
    assert server.requests == ["bytes=24-", None]


def test_wrong_bytes_of_all_sources_are_an_error_and_nothing_is_kept(tmp_path):
    with (
        serving(data=bytes(len(DATA))) as server,
        pytest.raises(OperatorError, match=f"expected {hashlib.sha256(DATA).hexdigest()}"),
    ):
        original(tiny_model(server.source), tmp_path, print, fetch)
    assert list(tmp_path.iterdir()) == []
