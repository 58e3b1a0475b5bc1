"""Idempotency records are bounded for each tenant: the oldest go first, and small ones take little memory."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from facesearch.embedded import servers
from gateway.dispatch.idempotency import IdempotencyRecords
from gateway.dispatch.jobs import JobRequest
from gateway.dispatch.record_quota import RECORDS_WHEN_SHORT, RecordQuota
from gateway.redis_connection import SharedConnection
from processes import wait_for
from redis_servers import server
from shared.contract import Status
from shared.errors import InvalidRequest
from shared.idempotency import order, record
from shared.jobs import DeleteJob, Once, Outcome, new_gateway_id, new_job_id, new_request_id
from shared.redis_clients import connect, connect_blocking
from worker.ledger import Ledger

MOST = 100

NOT_THERE = Outcome(status=Status.PERSON_ID_NOT_EXIST, message="check input person id")
FIFTY = Outcome(
    status=Status.OK,
    message=[{"confidence": 94.123, "name": f"ID{n}", "person_id": str(uuid.uuid4())} for n in range(50)],
)


def job_request(person_id: str = "x") -> JobRequest:
    return JobRequest(DeleteJob, "t.f.00000000", {"person_id": person_id})


@dataclass
class Scene:
    """A gateway's idempotency records and a worker's ledger on one broker."""

    redis: Redis
    records: IdempotencyRecords
    quota: RecordQuota
    ledger: Ledger

    async def request(self, key: str, outcome: Outcome | None = NOT_THERE, tenant: str = "t") -> Once | Outcome:
        """Make a request under that key, which ends with the outcome."""
        once = await self.records.begin(tenant, key, job_request(), new_request_id())
        if isinstance(once, Once) and outcome is not None:
            job = DeleteJob(
                job_id=new_job_id(new_gateway_id(), new_request_id()),
                deadline=time.time() + 60,
                once=once,
                collection="t.f.00000000",
                person_id=uuid.uuid4(),
            )
            self.ledger.keep(job, outcome)
        return once

    async def is_remembered(self, key: str, tenant: str = "t") -> bool:
        return bool(self.redis.exists(record(tenant, key)))

    def kept(self, tenant: str = "t") -> int:
        return len(self.redis.keys(f"fs:once:{tenant}:*"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The URL of a broker with 8 MB, started as by `facesearch up`."""
    path = tmp_path / "v.sock"
    command = servers.broker_command(tmp_path / "valkey", path, max_bytes=8 * 2**20)
    with server(tmp_path / "other", *command[1:]):
        with Redis.from_url(servers.url(path)) as client:
            wait_for(path.exists)
            wait_for(client.ping)
        yield servers.url(path)


@pytest.fixture
async def scene(broker: str) -> AsyncIterator[Scene]:
    async with connect(broker) as redis, aclosing(SharedConnection(redis)) as connection:
        with connect_blocking(broker) as client:
            quota = RecordQuota(redis, MOST)
            yield Scene(client, IdempotencyRecords(connection, 86_400, quota), quota, Ledger(client, client))


async def test_the_oldest_records_are_dropped_first(scene: Scene) -> None:
    for number in range(MOST + 50):
        await scene.request(f"k{number}")
    assert scene.kept() == MOST
    assert not await scene.is_remembered("k49")
    assert await scene.request("k50") == NOT_THERE, "answered as before"
    assert isinstance(await scene.request("k49"), Once), "it is done again"


async def test_many_records_of_one_tenant_drop_none_of_another(scene: Scene) -> None:
    await scene.request("of-another", tenant="other")
    for number in range(3 * MOST):
        await scene.request(f"k{number}")
    assert await scene.request("of-another", tenant="other") == NOT_THERE


async def test_a_large_outcome_counts_as_several_records(scene: Scene) -> None:
    for number in range(MOST):
        await scene.request(f"k{number}", FIFTY)
    assert 8 <= scene.kept() <= 12


async def test_expired_records_leave_the_order(scene: Scene) -> None:
    for number in range(MOST):
        await scene.request(f"k{number}")
    scene.redis.delete(*scene.redis.keys("fs:once:t:*"))  # as if they had expired
    for number in range(4):
        await scene.request(f"later{number}")
    assert scene.redis.llen(order(record("t", ""))) == 4


async def test_another_request_under_a_key_is_still_refused_after_its_outcome(scene: Scene) -> None:
    await scene.request("k")
    with pytest.raises(InvalidRequest, match="other parameters"):
        await scene.records.begin("t", "k", job_request("y"), new_request_id())


async def test_a_tenant_takes_no_more_of_a_nearly_full_broker(scene: Scene) -> None:
    scene.quota._records = 5 * RECORDS_WHEN_SHORT
    for number in range(2 * RECORDS_WHEN_SHORT):
        await scene.request(f"k{number}")
    await scene.quota.refresh()
    assert scene.quota.records == 5 * RECORDS_WHEN_SHORT, "there is memory"
    fill(scene.redis, 0.92)
    await scene.quota.refresh()
    before = scene.redis.info("memory")["used_memory_dataset"]  # without tables that grow and buffers of a rewrite
    for number in range(RECORDS_WHEN_SHORT):
        await scene.request(f"l{number}")
    assert scene.kept() == RECORDS_WHEN_SHORT
    assert await scene.is_remembered(f"l{RECORDS_WHEN_SHORT - 1}")
    assert scene.redis.info("memory")["used_memory_dataset"] < before
    scene.redis.delete("filler")
    await scene.quota.refresh()
    assert scene.quota.records == 5 * RECORDS_WHEN_SHORT


async def test_a_small_outcome_takes_little_memory(scene: Scene) -> None:
    await scene.request("k")
    key = record("t", "k")
    assert scene.redis.object("encoding", key) == b"listpack"
    assert scene.redis.memory_usage(key) < 330, "560 as a hash table with all that it had"
    await scene.request("fifty", FIFTY)
    assert scene.redis.memory_usage(record("t", "fifty")) < 6000


def fill(redis: Redis, part: float) -> None:
    """Take that part of the available memory."""
    while (memory := redis.info("memory"))["used_memory"] < part * memory["maxmemory"]:
        redis.rpush("filler", b"x" * 10_000)
