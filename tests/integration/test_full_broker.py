"""A full broker fails calls and ends no process: workers report it, and recover when there is memory again."""

import os
import signal
import statistics
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from facesearch.embedded import servers
from processes import answers, broker, python, wait_for
from redis_servers import server
from service import UNHURRIED, Service
from shared.broker import RESULT_PREFIX
from shared.heartbeat import HEARTBEAT_TTL_S, WORKERS, heartbeat_key
from spaces import only
from worker.heartbeat import HeartbeatSender
from worker.models.identity import Identity
from worker.store.memory import MemoryStore

pytestmark = [pytest.mark.slow, pytest.mark.embedded("it fills its broker")]

NOBODY = {"person_id": str(uuid.uuid4())}


@dataclass
class Small:
    """A broker with little memory."""

    redis: Redis
    url: str

    def fill(self) -> None:
        """Write until the broker takes no more."""
        for size in (100_000, 1000, 10, 1):
            try:
                while True:
                    self.redis.set(f"filler:{uuid.uuid4()}", b"x" * size)
            except OutOfMemoryError:
                continue

    def empty(self) -> None:
        self.redis.unlink(*self.redis.keys("filler:*"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    path = tmp_path / "small.sock"
    command = servers.broker_command(tmp_path / "small", path, max_bytes=6 * 2**20)
    with server(tmp_path / "other", *command[1:]), Redis.from_url(servers.url(path)) as client:
        wait_for(path.exists)
        wait_for(lambda: answers(client))
        yield Small(client, servers.url(path))


def test_the_embedded_broker_is_bounded_and_so_are_the_records_of_a_tenant(tmp_path: Path) -> None:
    settings = {"FACESEARCH_BROKER_MEMORY_MB": "64", "FACESEARCH_IDEMPOTENCY_RECORDS": "100", **UNHURRIED}
    with Service(tmp_path, settings) as service, Redis.from_url(service.broker) as redis:
        assert redis.config_get("maxmemory*") | {"maxmemory": "67108864", "maxmemory-policy": "noeviction"} == (
            redis.config_get("maxmemory*")
        )
        for _ in range(150):
            answer = service.http.post("/v1/delface", data=NOBODY, headers={"Idempotency-Key": str(uuid.uuid4())})
            assert answer.json()["status"] == "PERSON_ID_NOT_EXIST"
        records = redis.keys("fs:once:*")
        assert len(records) == 100
        # The mean: the allocator rounds the same record up to 304, 320 or, seldom, 336 bytes.
        assert statistics.mean(map(redis.memory_usage, records)) < 320


@pytest.fixture
def service(tmp_path: Path, small: Small) -> Iterator[Service]:
    (tmp_path / "images").mkdir()
    with broker(tmp_path / "images") as images:
        settings = {"REDIS_URL": small.url, "FACESEARCH_IMAGES_URL": images}
        with Service(tmp_path / "service", settings) as running:
            yield running


def parts(service: Service) -> dict[str, str]:
    said: dict[str, str] = service.http.get("/readyz?verbose=1").json()["message"]
    return said


def delete(service: Service) -> str:
    status: str = service.http.post("/v1/delface", data=NOBODY).json()["status"]
    return status


def test_a_worker_survives_a_full_broker_and_recovers(small: Small, service: Service) -> None:
    worker = service.child("-m worker").pid
    assert parts(service)["memory"] == "ok"

    # Longer than the time to live of a heartbeat, which is what is tested.
    first = small.redis.info("server")["uptime_in_seconds"]

    def is_over() -> bool:
        small.fill()  # repeatedly, since other calls free memory
        assert delete(service) in ("FAIL", "PERSON_ID_NOT_EXIST")
        lasted = small.redis.info("server")["uptime_in_seconds"] - first
        return lasted > HEARTBEAT_TTL_S + 2 and "broker_full" in "".join(service.said)

    wait_for(is_over, 60)
    said = parts(service)
    assert (said["worker"], said["broker"]) == ("ok", "ok")
    assert "of the broker's 6.29 MB are in use; when it is full, every call ends in FAIL" in said["memory"]
    assert service.http.get("/readyz?verbose=1").status_code == 503
    assert python("-m", "worker", "--health", REDIS_URL=small.url).returncode == 0
    small.empty()
    wait_for(lambda: delete(service) == "PERSON_ID_NOT_EXIST")
    assert parts(service)["memory"] == "ok"
    assert service.child("-m worker").pid == worker
    assert "Traceback" not in "".join(service.said)


def test_a_job_that_was_taken_is_done_and_its_outcome_published(small: Small, service: Service) -> None:
    worker = service.child("-m worker")
    with small.redis.pubsub() as listening, ThreadPoolExecutor(1) as caller:
        listening.psubscribe(f"{RESULT_PREFIX}*")
        worker.send_signal(signal.SIGSTOP)
        asked = caller.submit(delete, service)
        # The broker gave the job to the worker, which has not received it yet.
        wait_for(lambda: small.redis.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0) > 0)
        small.fill()
        worker.send_signal(signal.SIGCONT)
        messages: list[dict[str, Any]] = []

        def published() -> bool:
            message = listening.get_message(ignore_subscribe_messages=True, timeout=0.1)
            messages.extend([message] if message else [])
            return bool(messages)

        wait_for(published)
        assert b"PERSON_ID_NOT_EXIST" in messages[0]["data"]
        small.empty()
        assert asked.result() in (
            "PERSON_ID_NOT_EXIST",
            "FAIL",
        )  # FAIL: the gateway missed it
    wait_for(lambda: delete(service) == "PERSON_ID_NOT_EXIST")
    assert service.child("-m worker").pid == worker.pid
    assert "outcome_not_stored" not in "".join(service.said)


def test_a_worker_killed_while_the_broker_is_full_comes_back(small: Small, service: Service) -> None:
    worker = service.child("-m worker")
    os.kill(worker.pid, signal.SIGKILL)

    def waits_for_room() -> bool:
        small.fill()  # repeatedly, since the killed worker frees some memory
        return "broker_full" in "".join(service.said)

    wait_for(waits_for_room)
    small.empty()
    wait_for(lambda: delete(service) == "PERSON_ID_NOT_EXIST", 60)


def test_a_heartbeat_needs_no_memory(small: Small) -> None:
    space = Identity("test", "0" * 64, 1, 4)
    heartbeat = HeartbeatSender(small.redis, MemoryStore(space), only(space))
    heartbeat.send()
    (worker,) = small.redis.smembers(WORKERS)
    small.fill()
    small.redis.pexpire(heartbeat_key(worker.decode()), 1000)
    heartbeat.send()
    assert small.redis.pttl(heartbeat_key(worker.decode())) > 1000
