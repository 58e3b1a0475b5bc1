"""Messages in a worker's queue that are no jobs: each is dropped with one line of log, and the worker goes on."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from redis import Redis

from portraits import hopper_jpeg
from processes import wait_for
from service import UNHURRIED, Service
from shared.broker import RESULT_PREFIX, UNACKED, UNACKED_INDEX
from shared.fair_queue import EXTRA
from shared.jobs import QUEUE, AddJob, SearchJob, new_gateway_id, new_job_id, new_request_id
from shared.messages import Messages
from shared.settings import Settings

NAME = "Rumpelstilzchen"
"""Stands for personal data, which must not be in a log. Bodies in the queue are base64."""

Message = dict[str, Any]


def job() -> AddJob:
    return AddJob(
        job_id=new_job_id(new_gateway_id(), new_request_id()),
        collection="tenant.facedb.00000000",
        deadline=time.time() + 60,
        name=NAME,
    )


def message() -> Message:
    messages = Messages(Settings(redis_url="unix:///nowhere.sock"))
    made: Message = json.loads(messages.make(job(), {"sent": time.time()}))
    messages.close()
    return made


def with_body(body: object) -> Message:
    return {**message(), "body": base64.b64encode(json.dumps(body).encode()).decode()}


def changed(part: str, **values: object) -> Message:
    made = message()
    return {**made, part: {**made[part], **values}}


def without(part: str, name: str) -> Message:
    made = message()
    return {**made, part: {key: value for key, value in made[part].items() if key != name}}


def fields() -> Message:
    return job().model_dump(mode="json")


NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

FOLLOWED = {"task": SearchJob.task, "args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}

GARBAGE: dict[str, Callable[[], object]] = {
    "no JSON": NAME.encode,
    "JSON that is cut off": lambda: json.dumps(message()).encode()[:-40],
    "no UTF-8": lambda: b"\xff\xfe" + NAME.encode(),
    "nothing": lambda: b"",
    "a number": lambda: 5,
    "null": lambda: None,
    "a text": lambda: NAME,
    "a list": lambda: [NAME],
    "an empty object": dict,
    "100,000 brackets": lambda: b"[" * 100_000,
    "8 MB of it": lambda: NAME.encode() * 500_000,
    "a type that kombu makes objects of": lambda: {"__type__": "uuid", "__value__": NAME},
    "properties are a text": lambda: {**message(), "properties": NAME},
    "no properties": lambda: {name: part for name, part in message().items() if name != "properties"},
    "no headers": lambda: {name: part for name, part in message().items() if name != "headers"},
    "headers are a list": lambda: {**message(), "headers": [NAME]},
    "headers are null": lambda: {**message(), "headers": None},
    "no delivery tag": lambda: without("properties", "delivery_tag"),
    "a delivery tag that is an object": lambda: changed("properties", delivery_tag={"a": NAME}),
    "no delivery info": lambda: without("properties", "delivery_info"),
    "no task": lambda: without("headers", "task"),
    "no id": lambda: without("headers", "id"),
    "an id that is a list": lambda: changed("headers", id=[NAME]),
    "an unknown task": lambda: changed("headers", task=NAME),
    "a task that is a list": lambda: changed("headers", task=[NAME]),
    "a task of Celery's own": lambda: changed("headers", task="celery.backend_cleanup"),
    "an expiry that is no time": lambda: changed("headers", expires=NAME),
    "an expiry that is an object": lambda: changed("headers", expires={}),
    "for later": lambda: changed("headers", eta="2100-01-01T00:00:00"),
    "limits that are a number": lambda: changed("headers", timelimit=5),
    "retries that are a text": lambda: changed("headers", retries=NAME),
    "stamps that are a number": lambda: changed("headers", stamps=5),
    "compressed": lambda: changed("headers", compression="zlib"),
    "another content type": lambda: {**message(), "content-type": "application/x-python-serialize"},
    "another encoding": lambda: {**message(), "content-encoding": NAME},
    "an unknown body encoding": lambda: changed("properties", body_encoding=NAME),
    "a body that is no base64": lambda: {**message(), "body": "a"},
    "a body that is a number": lambda: {**message(), "body": 5},
    "no body": lambda: {**message(), "body": None},
    "a body that is no JSON": lambda: {**message(), "body": base64.b64encode(NAME.encode()).decode()},
    "a body of another shape": lambda: with_body(5),
    "a body of the first protocol": lambda: with_body({"task": AddJob.task, "args": [NAME], "kwargs": {}}),
    "arguments": lambda: with_body([[NAME], fields(), NOTHING]),
    "keywords that are a list": lambda: with_body([[], [NAME], NOTHING]),
    "no job": lambda: with_body([[], {NAME: NAME}, NOTHING]),
    "a job with one more field": lambda: with_body([[], {**fields(), NAME: NAME}, NOTHING]),
    "something that is to follow": lambda: with_body([[], fields(), {**NOTHING, "chain": [FOLLOWED]}]),
    "something that is to follow, in a header": lambda: changed("headers", chain=[FOLLOWED]),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {**UNHURRIED, "FACESEARCH_WORKER_THREADS": "2", "FACESEARCH_LOG_LEVEL": "debug"}
    with Service(tmp_path_factory.mktemp("malformed"), settings) as running:
        yield running


@pytest.fixture
def redis(service: Service) -> Iterator[Redis]:
    with Redis.from_url(service.broker) as client:
        yield client


def dropped(said: list[str]) -> list[str]:
    return [line for line in said if "message_dropped" in line]


def works(service: Service) -> bool:
    image = {"img": base64.b64encode(hopper_jpeg()).decode()}
    return all(service.http.post("/v1/addface", data=image).json()["status"] == "OK" for _ in range(3))


def pushed(garbage: object) -> bytes:
    return garbage if isinstance(garbage, bytes) else json.dumps(garbage).encode()


@pytest.mark.parametrize("name", GARBAGE)
def test_a_malformed_message_is_dropped_with_one_line(service: Service, redis: Redis, name: str) -> None:
    worker, before = service.child("-m worker").pid, len(service.said)
    redis.lpush(QUEUE, pushed(GARBAGE[name]()))
    wait_for(lambda: bool(dropped(service.said[before:])))
    assert works(service)
    said = service.said[before:]
    assert len(dropped(said)) == 1
    assert not [line for line in said if NAME in line or "Traceback" in line or "Rumpel" in line]
    assert psutil.Process(worker).is_running()
    assert service.child("-m worker").pid == worker
    assert not redis.llen(QUEUE), "it is not put back"
    wait_for(lambda: not redis.hlen(UNACKED) and not redis.zcard(UNACKED_INDEX))  # acknowledged after its answer


def test_a_gateway_of_another_release_gets_a_failure(redis: Redis) -> None:
    for garbage in ("an unknown task", "a job with one more field"):
        sent = GARBAGE[garbage]()
        assert isinstance(sent, dict)
        key = RESULT_PREFIX + sent["headers"]["id"]
        redis.lpush(QUEUE, pushed(sent))
        wait_for(lambda key=key: bool(redis.exists(key)))
        kept = redis.get(key)
        assert json.loads(kept)["status"] == "FAILURE"
        assert NAME.encode() not in kept


@pytest.mark.parametrize("kept", [NAME, "5", "[1, 2]", json.dumps([5, "", QUEUE]), json.dumps([{}, "", QUEUE])])
def test_unreadable_messages_of_a_dead_worker_do_not_block_redelivery(
    service: Service, redis: Redis, kept: str
) -> None:
    before = len(service.said)
    sent = message()
    tag = sent["properties"]["delivery_tag"]
    redis.hset(UNACKED, mapping={"broken": kept, tag: json.dumps([sent, "", QUEUE])})
    redis.zadd(UNACKED_INDEX, {"broken": time.time() - 50, tag: time.time() - 100})
    key = RESULT_PREFIX + sent["headers"]["id"]
    wait_for(lambda: bool(redis.exists(key)))
    wait_for(lambda: bool(dropped(service.said[before:])))
    assert not [line for line in service.said[before:] if NAME in line or "Traceback" in line]
    assert not redis.hexists(UNACKED, "broken")


def test_malformed_messages_of_the_extra_queue_are_dropped(service: Service, redis: Redis) -> None:
    worker, before = service.child("-m worker").pid, len(service.said)
    redis.lpush(EXTRA, *(pushed(make()) for make in GARBAGE.values()))
    wait_for(lambda: len(dropped(service.said[before:])) == len(GARBAGE))
    assert works(service)
    assert service.child("-m worker").pid == worker
    assert not redis.llen(EXTRA)


@pytest.mark.slow
def test_a_flood_of_malformed_messages_blocks_no_thread(service: Service, redis: Redis) -> None:
    before = len(service.said)
    for _ in range(3):
        redis.lpush(QUEUE, *(pushed(make()) for make in GARBAGE.values()))
    wait_for(lambda: len(dropped(service.said[before:])) == 3 * len(GARBAGE))
    assert works(service)
