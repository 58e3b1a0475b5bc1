"""With a broker that hangs, every call is answered with FAIL within the deadline and 2 s, however many steps need the
broker.
"""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from portraits import hopper_jpeg
from processes import broker, gateway_on, wait_for
from shared.jobs import QUEUE

pytestmark = pytest.mark.slow

DEADLINE_S = 3
PROMISED_S = DEADLINE_S + 2

SLACK_S = 1.5
"""Additional time for a busy machine. With a time-out for each step it was 9 s and more."""

TRIES = 3
"""One try in time is enough: a machine may be suspended for longer than the slack, but steps that wait always take
longer.
"""

CALLS = {
    "addface": {"files": {"img": hopper_jpeg()}},
    "searchface": {"files": {"img": hopper_jpeg()}},
    "delface": {"data": {"person_id": str(uuid.uuid4())}},
    "facecompare": {"files": {"img1": hopper_jpeg(), "img2": hopper_jpeg()}},
}


class Caller:
    """A connection for one request that is sent in two parts."""

    def __init__(self, client: httpx.Client, call: str, *, keyed: bool) -> None:
        headers = {"Expect": "100-continue", "Connection": "close"}
        if keyed:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        self._request = client.build_request("POST", f"/v1/{call}", headers=headers, **CALLS[call])
        self._request.read()

    async def begins(self) -> None:
        """Send the head and wait until the gateway expects the body."""
        url = self._request.url
        self._reader, self._writer = await asyncio.open_connection(url.host, url.port)
        headers = "".join(
            f"{name}: {value}\r\n" for name, value in self._request.headers.items() if name != "connection"
        )
        self._writer.write(f"POST {url.path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
        assert b" 100 " in await self._reader.readuntil(b"\r\n\r\n")

    async def ends(self) -> float:
        """Send the body and return the seconds until the answer, which must be FAIL."""
        self._writer.write(self._request.content)
        await self._writer.drain()
        sent = time.monotonic()
        answer = await self._reader.read()
        self._writer.close()
        assert b'"FAIL"' in answer, answer
        return time.monotonic() - sent


@contextmanager
def hung(url: str) -> Iterator[None]:
    with Redis.from_url(url) as redis:
        process = redis.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def all_calls(client: httpx.Client) -> list[Caller]:
    return [Caller(client, call, keyed=keyed) for call in CALLS for keyed in (False, True)]


async def from_the_start(client: httpx.Client, url: str) -> list[float]:
    """Stop the broker before any request."""
    async with httpx.AsyncClient(base_url=client.base_url, headers=client.headers, timeout=60) as other:

        async def one(call: str, key: str) -> float:
            sent = time.monotonic()
            answer = await other.post(f"/v1/{call}", headers={"Idempotency-Key": key} if key else {}, **CALLS[call])
            assert answer.json()["status"] == "FAIL"
            return time.monotonic() - sent

        with hung(url):
            return await asyncio.gather(*(one(call, key) for call in CALLS for key in ("", uuid.uuid4().hex)))


async def before_the_body(client: httpx.Client, url: str) -> list[float]:
    """Stop the broker after the requests were admitted, and before their bodies."""
    callers = all_calls(client)
    await asyncio.gather(*(caller.begins() for caller in callers))
    with hung(url):
        return await asyncio.gather(*(caller.ends() for caller in callers))


async def behind_the_dispatch(client: httpx.Client, url: str) -> list[float]:
    """Stop the broker when all jobs are in the queue."""
    callers = all_calls(client)
    await asyncio.gather(*(caller.begins() for caller in callers))
    answers = [asyncio.create_task(caller.ends()) for caller in callers]
    with Redis.from_url(url) as redis:
        await asyncio.to_thread(wait_for, lambda: redis.llen(QUEUE) == len(callers))
        with hung(url):
            taken = await asyncio.gather(*answers)
        redis.delete(QUEUE)
    return taken


@pytest.mark.parametrize("scene", [from_the_start, before_the_body, behind_the_dispatch])
async def test_every_call_is_answered_with_fail_in_time(scene: Callable, tmp_path: Path) -> None:
    with broker(tmp_path) as url, gateway_on(url, deadline_s=DEADLINE_S) as client:
        tries = []
        while len(tries) < TRIES and (not tries or max(tries[-1]) > PROMISED_S + SLACK_S):
            wait_for(lambda: client.get("/readyz?verbose=1").json()["message"]["gateway"] == "ok")
            tries.append(await scene(client, url))
        print([[round(taken, 1) for taken in each] for each in tries])
        assert min(max(each) for each in tries) <= PROMISED_S + SLACK_S
