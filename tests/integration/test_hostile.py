"""Hostile callers against the whole running service, which afterwards answers as before."""

import base64
import json
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from hostile import DECODED, INVALID_REQUEST, INVALID_SIZE, PARSED, Hostile
from hostile_bodies import BODIES
from hostile_images import IMAGES
from portraits import hopper_jpeg
from service import Service

Call = Callable[..., httpx.Response]

RAW = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"\r\n\r\nhello\r\n\r\n",
    "long URL": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "unknown expectation": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: more\r\n\r\n",
}


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.fixture(autouse=True)
def unharmed(service: Service, call: Call) -> Iterator[None]:
    """After each test the same processes run, have logged no traceback, and find a face."""
    before = {process.pid for process in service.processes()}
    yield
    assert call("addface", img=b64(hopper_jpeg())).json()["status"] == "OK"
    assert '"confidence": 100,' in call("searchface", img=b64(hopper_jpeg())).text
    assert {process.pid for process in service.processes()} == before
    assert "Traceback" not in "".join(service.said)


@pytest.mark.slow
def test_hostile_images_are_answered(call: Call) -> None:
    taken = {"OK", "FACE_DETECT_FAILED"}
    for item in IMAGES:
        status = call("addface", img=b64(item.make())).json()["status"]
        assert status in (taken if item.answer == DECODED else {item.answer}), item.name


def in_one_piece(item: Hostile) -> bool:
    """Return whether the body is small enough for httpx, which reads an answer only after it has sent everything."""
    return len(item.make()) < 8_000_000


@pytest.mark.parametrize("item", [item for item in BODIES if in_one_piece(item)], ids=str)
def test_hostile_bodies_are_answered(service: Service, item: Hostile) -> None:
    headers = {"Content-Type": item.content_type} if item.content_type else {}
    answered = service.http.post("/v1/addface", content=item.make(), headers=headers).json()
    if item.answer == PARSED:
        assert answered["status"] in {INVALID_REQUEST, "IMAGE_INVALID_FORMAT", INVALID_SIZE}
    else:
        assert answered["status"] == item.answer
        assert answered["message"]


@pytest.mark.parametrize("name", RAW)
def test_data_that_is_not_http_is_refused(service: Service, name: str) -> None:
    url = httpx.URL(service.address)
    with socket.create_connection((url.host, url.port), timeout=20) as connection:
        connection.sendall(RAW[name])
        answered = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head, answered
    assert json.loads(body)["status"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/v1/addface?img=QUFB", {}, "img belongs in the body"),
        ("/v1/delface?person_id=1&%ff=%00", {}, "person_id belongs in the body"),
        ("/v1/addface?v=%ff%00&&=", {}, "img is missing"),
        ("/v1/addface", {"Content-Encoding": "gzip"}, "Content-Encoding must be identity"),
    ],
)
def test_hostile_headers_and_query_strings_are_refused(
    service: Service, path: str, headers: dict[str, str], said: str
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answered = service.http.post(path, content=b"facedb=x", headers=form | headers).json()
    assert answered["status"] == "INVALID_REQUEST"
    assert said in answered["message"]
