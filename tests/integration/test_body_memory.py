"""Slow bodies do not exhaust a gateway's memory, nor the part of it for other callers."""

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.body.uploads import max_body_bytes
from processes import API_KEY, empty_redis, gateway_on
from shared.contract import MAX_IMG_CHARACTERS
from shared.control import Control
from shared.redis_clients import connect

pytestmark = pytest.mark.slow

MIB = 1 << 20
BODY_MEMORY_MIB = 64
MORE_MEMORY = 200 * MIB
"""Memory that the gateway may take after its start: less than the bodies are."""

BODIES = 14
FORM = "application/x-www-form-urlencoded"
LONGEST = MAX_IMG_CHARACTERS - 4
"""Base64 of the largest image that has whole groups of three bytes."""

ESCAPED = b"img1=" + b"%41" * LONGEST + b"&img2=" + b"%41" * LONGEST
DOCUMENT = b'{"img1": "' + b"\\u0041" * 1_390_000 + b'", "img2": "' + b"\\u0041" * 1_390_000 + b'"}'
PLAIN = b"img1=" + b"A" * LONGEST + b"&img2=" + b"A" * LONGEST


async def make_keys(url: str) -> tuple[str, str]:
    """Return another key of the tenant of API_KEY, and one of another tenant."""
    async with connect(url) as redis:
        control = Control(redis)
        (tenant,) = await control.tenants()
        await control.create_tenant("other")
        _, second_key = await control.create_key(tenant.name, "second")
        _, foreign_key = await control.create_key("other", "foreign")
    return second_key, foreign_key


@contextmanager
def all_but_the_end(client: httpx.Client, body: bytes, content_type: str) -> Iterator[socket.socket]:
    """Send all but the last byte of a comparison, even if it is refused before."""
    head = (
        f"POST /v1/facecompare HTTP/1.1\r\nHost: h\r\nX-API-Key: {API_KEY}\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=60) as connection:
        connection.sendall(head.encode())
        connection.sendall(body[:-1])
        yield connection


def answer(connection: socket.socket) -> tuple[bytes, dict[str, str]]:
    """Return head and body of the only answer, however much of the request was read."""
    answered = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answered.partition(b"\r\n\r\n")
    return head, json.loads(body)


def process_of(client: httpx.Client) -> psutil.Process:
    """Return the gateway's process."""
    port = client.base_url.port
    for child in psutil.Process().children(recursive=True):
        if any(found.laddr.port == port and found.status == "LISTEN" for found in child.net_connections("tcp")):
            return child
    raise LookupError(port)


@pytest.mark.parametrize(
    ("body", "content_type", "each"),
    [
        (ESCAPED, FORM, len(PLAIN)),  # escapes do not count
        (DOCUMENT, "application/json", len(DOCUMENT)),
        (PLAIN, FORM, len(PLAIN)),
    ],
    ids=["escaped form", "document of escapes", "plain form"],
)
def test_slow_bodies_are_bounded_and_other_keys_are_served(
    tmp_path: Path, body: bytes, content_type: str, each: int
) -> None:
    assert max_body_bytes(2) >= len(body)
    with (
        empty_redis(tmp_path) as url,
        gateway_on(url, body_memory_mib=BODY_MEMORY_MIB) as client,
        ExitStack() as slow,
    ):
        second_key, foreign_key = asyncio.run(make_keys(url))
        process = process_of(client)
        process.rlimit(resource.RLIMIT_AS, (process.memory_info().vms + MORE_MEMORY, resource.RLIM_INFINITY))
        before = process.memory_info().rss
        connections = [slow.enter_context(all_but_the_end(client, body, content_type)) for _ in range(BODIES)]
        held = process.memory_info().rss - before
        for key in (second_key, foreign_key):
            compared = client.post("/v1/facecompare", data={"img1": "QUFB", "img2": "QUFB"}, headers={"X-API-Key": key})
            assert compared.json()["status"] == "IMAGE_INVALID_FORMAT"
        heads, statuses = [], []
        for connection in connections:
            with connection:
                connection.send(body[-1:])
                head, document = answer(connection)
            heads.append(head)
            statuses.append(document["status"])
        assert client.get("/healthz").status_code == 200
    # One key may hold half of the memory; a growing buffer takes an eighth more than its content.
    fit = BODY_MEMORY_MIB * MIB // 2 // each
    assert fit * 8 // 9 - 1 <= statuses.count("IMAGE_INVALID_FORMAT") <= fit
    assert set(statuses) == {"IMAGE_INVALID_FORMAT", "FAIL"}
    refused = [head for head in heads if head.startswith(b"HTTP/1.1 503 ")]
    assert len(refused) == statuses.count("FAIL")
    assert all(b"Retry-After: 1\r\n" in head for head in refused)
    assert held < 2 * BODY_MEMORY_MIB * MIB
