"""Another tenant asks for all that there is, within its limits. It is no fault: nobody else may notice more than that
each has its share.
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
"""More than a deadline, so that what waits in vain is seen."""

ROOM_BYTES: Final = 1_500_000
"""Of the broker, above what it holds: for 4,000 records."""


def key_of_greedy(stage: Stage) -> str:
    """A new key of that tenant, which is made the first time."""

    async def make() -> str:
        async with connect(stage.broker_url) as redis:
            control = Control(redis)
            if GREEDY not in [tenant.name for tenant in await control.tenants()]:
                await control.create_tenant(GREEDY)
                await control.create_facedb(GREEDY, GREEDY)
                await control.set_default_facedb(GREEDY, GREEDY)
            return (await control.create_key(GREEDY, GREEDY))[1]

    return asyncio.run(make())


def ask(stage: Stage, call: str, body: dict[str, str], callers: int, *, once: bool = False) -> float:
    """So many callers of the other tenant, each of whom asks again when it is answered. once: each request has an
    Idempotency-Key of its own.
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
    return ask(stage, "searchface", image(hopper_jpeg()), 128)


def crowds(stage: Stage, _load: Load) -> float:
    return ask(stage, "addface", image(crowd(80)), 12)


def records(stage: Stage, _load: Load) -> float:
    """Deletes nothing, under new Idempotency-Keys, of which each leaves a record: more than the broker has room for."""
    with Redis.from_url(stage.broker_url) as redis:
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] + ROOM_BYTES)
        try:
            return ask(stage, "delface", {"person_id": str(uuid.uuid4())}, 16, once=True)
        finally:
            redis.config_set("maxmemory", 0)


def image(encoded: bytes) -> dict[str, str]:
    return {"img": base64.b64encode(encoded).decode()}


ROWS: Final = (
    Row("another tenant searches with 128 callers", searches, fails=False, adds=2000),
    Row("another tenant adds 80 faces with 12 callers", crowds, fails=False, adds=2000),
    Row("another tenant leaves a record with each call", records, fails=False, adds=2000),
)
