"""Another tenant asks for as much as its limits allow. This is no fault: nobody else may notice more than that each
tenant has its share.
"""

import asyncio
import base64
import threading
import time
import uuid
from typing import Final

import httpx
from redis import Redis

from faults.load import PAUSE_S, Load
from faults.rows import Row
from faults.stages import Stage
from portraits import crowd, hopper_jpeg
from shared.control import Control
from shared.redis_clients import connect

GREEDY: Final = "greedy"
LASTS_S: Final = 20.0
"""Longer than a deadline, so that requests that are not served in time are seen."""

ROOM_BYTES: Final = 1_500_000
"""Memory of the broker above what it holds: for 4,000 records."""


def key_of_greedy(stage: Stage) -> str:
    """Return a new key of that tenant, which is created the first time."""

    async def make() -> str:
        async with connect(stage.broker_url) as redis:
            control = Control(redis)
            if GREEDY not in [tenant.name for tenant in await control.tenants()]:
                await control.create_tenant(GREEDY)
                await control.create_facedb(GREEDY, GREEDY)
                await control.set_default_facedb(GREEDY, GREEDY)
            return (await control.create_key(GREEDY, GREEDY))[1]

    return asyncio.run(make())


def load_by_greedy(stage: Stage, call: str, body: dict[str, str], callers: int, *, once: bool = False) -> float:
    """Load the service with callers of the other tenant, each in a closed loop. Returns the time of the end.

    once: each request has an Idempotency-Key of its own.
    """
    headers = {"X-API-Key": key_of_greedy(stage)}
    end = time.monotonic() + LASTS_S

    def caller() -> None:
        with httpx.Client(base_url=stage.urls[0], headers=headers, timeout=60) as client:
            while time.monotonic() < end:
                key = {"Idempotency-Key": uuid.uuid4().hex} if once else {}
                if client.post(f"/v1/{call}", data=body, headers=key).json()["status"] == "FAIL":
                    time.sleep(PAUSE_S)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic()


def searches(stage: Stage, _load: Load) -> float:
    return load_by_greedy(stage, "searchface", image(hopper_jpeg()), 128)


def crowds(stage: Stage, _load: Load) -> float:
    return load_by_greedy(stage, "addface", image(crowd(80)), 12)


def records(stage: Stage, _load: Load) -> float:
    """Request deletions under new Idempotency-Keys, each of which leaves a record: more than fit into the broker."""
    with Redis.from_url(stage.broker_url) as redis:
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] + ROOM_BYTES)
        try:
            return load_by_greedy(stage, "delface", {"person_id": str(uuid.uuid4())}, 16, once=True)
        finally:
            redis.config_set("maxmemory", 0)


def image(encoded: bytes) -> dict[str, str]:
    return {"img": base64.b64encode(encoded).decode()}


ROWS: Final = (
    Row("another tenant searches with 128 callers", searches, fails=False, adds=2000),
    Row("another tenant adds 80 faces with 12 callers", crowds, fails=False, adds=2000),
    Row("another tenant leaves a record with each call", records, fails=False, adds=2000),
)
