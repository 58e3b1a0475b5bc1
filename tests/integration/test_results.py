"""Results on their way from worker to gateway, over a real broker: published, missed, malformed, late."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from gateway.dispatch.results import Results
from gateway.monitoring.health import gateway_state, service_state
from shared.broker import RESULT_PREFIX
from shared.contract import Status
from shared.heartbeat import WORKERS, Heartbeat, heartbeat_key
from shared.jobs import new_gateway_id, new_job_id, new_request_id
from shared.redis_clients import connect

GATEWAY = new_gateway_id()


@pytest.fixture
async def results(redis: Redis) -> AsyncIterator[Results]:
    listening = Results(redis, GATEWAY)
    task = asyncio.create_task(listening.listen())
    await until(lambda: listening.subscribed)
    yield listening
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def store(
    redis: Redis, job_id: str, state: str = "SUCCESS", result: object = None, *, publish: bool = True
) -> None:
    """Store and publish a result as Celery's Redis backend does."""
    result = {"status": "OK", "message": job_id} if result is None else result
    data = json.dumps({"status": state, "result": result, "task_id": job_id})
    await redis.set(RESULT_PREFIX + job_id, data)
    if publish:
        await redis.publish(RESULT_PREFIX + job_id, data)


async def test_each_waiter_gets_its_own_outcome(redis: Redis, results: Results) -> None:
    ids = [new_job_id(GATEWAY, new_request_id()) for _ in range(50)]

    async def wait(job_id: str) -> str:
        with results.expect(job_id) as outcome:
            await store(redis, job_id)
            return str((await outcome).message)

    assert await asyncio.gather(*map(wait, ids)) == ids


async def test_results_of_other_gateways_do_not_arrive(redis: Redis, results: Results) -> None:
    foreign, own = new_job_id(new_gateway_id(), new_request_id()), new_job_id(GATEWAY, new_request_id())
    with results.expect(foreign) as not_here, results.expect(own) as here:
        await store(redis, foreign)
        await store(redis, own)
        await here
        assert not not_here.done()


async def test_a_missed_result_is_read_after_a_reconnection(redis: Redis, results: Results) -> None:
    job_id = new_job_id(GATEWAY, new_request_id())
    with results.expect(job_id) as outcome:
        await store(redis, job_id, publish=False)
        await redis.client_kill_filter(_type="pubsub")
        assert (await asyncio.wait_for(outcome, 10)).status is Status.OK


async def test_repeated_and_unexpected_results_are_ignored(redis: Redis, results: Results) -> None:
    job_id = new_job_id(GATEWAY, new_request_id())
    await store(redis, job_id)
    with results.expect(job_id) as outcome:
        await store(redis, job_id)
        await store(redis, job_id)
        await outcome
    await store(redis, job_id)
    other = new_job_id(GATEWAY, new_request_id())
    with results.expect(other) as outcome:
        await store(redis, other)
        await outcome


@pytest.mark.parametrize(
    ("state", "result"),
    [("FAILURE", {"exc_type": "X"}), ("REVOKED", "expired"), ("SUCCESS", {"status": "WHAT"}), ("SUCCESS", [])],
)
async def test_an_invalid_result_is_a_fail(redis: Redis, results: Results, state: str, result: object) -> None:
    job_id = new_job_id(GATEWAY, new_request_id())
    with results.expect(job_id) as outcome:
        await store(redis, job_id, state, result)
        assert (await outcome).status is Status.FAIL


async def test_a_started_task_is_waited_for(redis: Redis, results: Results) -> None:
    job_id = new_job_id(GATEWAY, new_request_id())
    with results.expect(job_id) as outcome:
        await store(redis, job_id, "STARTED")
        await store(redis, job_id, "RETRY")
        await store(redis, job_id)
        assert (await outcome).status is Status.OK


class TestReadiness:
    async def test_a_worker_without_a_heartbeat_is_not_alive(self, redis: Redis, results: Results) -> None:
        well = dict.fromkeys(("broker", "memory", "results", "worker", "store", "disk", "facedbs"), "ok")
        nobody = {"worker": "none is alive", "store": "unknown", "disk": "unknown", "facedbs": "unknown"}
        assert await service_state(redis, results) == well | nobody
        await redis.sadd(WORKERS, "a", "b")
        await redis.set(heartbeat_key("a"), Heartbeat(store="ok", embedder="e").model_dump_json())
        assert await service_state(redis, results) == well
        assert await redis.smembers(WORKERS) == {b"a"}

    async def test_one_worker_whose_store_answers_is_enough(self, redis: Redis, results: Results) -> None:
        await redis.sadd(WORKERS, "a")
        await redis.set(heartbeat_key("a"), Heartbeat(store="disk full", embedder="e").model_dump_json())
        assert (await service_state(redis, results))["store"] == "disk full"
        await redis.sadd(WORKERS, "b")
        await redis.set(heartbeat_key("b"), Heartbeat(store="ok", embedder="e").model_dump_json())
        assert (await service_state(redis, results))["store"] == "ok"

    async def test_refused_facedbs_are_counted_and_not_named(self, redis: Redis, results: Results) -> None:
        for name, count in (("a", 0), ("b", 2)):
            said = Heartbeat(store="ok", embedder="e", refused_count=count, refused="the faces of shop.default.0 …")
            await redis.sadd(WORKERS, name)
            await redis.set(heartbeat_key(name), said.model_dump_json())
        state = (await service_state(redis, results))["facedbs"]
        assert state == "2 hold faces of another model and are refused; `facesearch doctor` names them"

    async def test_a_missing_broker_is_not_ready(self, results: Results) -> None:
        async with connect("unix:///nowhere.sock") as nowhere:
            state = await service_state(nowhere, results)
            assert state.pop("broker") == "does not answer"
            assert set(state.values()) == {"unknown"}

    async def test_a_gateway_that_has_reached_its_broker_stays_ready(self, redis: Redis, results: Results) -> None:
        assert gateway_state(results) == "ok"
        assert gateway_state(Results(redis, "new")) == "is starting: the broker has not answered yet"
        await redis.client_kill_filter(_type="pubsub")
        await until(lambda: not results.subscribed)
        assert gateway_state(results) == "ok"
