"""The messages that the gateway makes say what those say that Celery itself puts into Redis."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from pydantic import SecretStr
from redis import Redis

from shared.broker import celery_config
from shared.contract import Faces
from shared.jobs import QUEUE, AddJob, CompareJob, Job, Once, new_gateway_id, new_job_id, new_request_id
from shared.messages import Messages
from shared.settings import Settings

FRESH = ("delivery_tag", "reply_to", "expiration")
"""Fields that differ from message to message."""


def new_add_job(name: str | None = "NAME1", faces: Faces = Faces.ALL, once: Once | None = None) -> AddJob:
    return AddJob(
        job_id=new_job_id(new_gateway_id(), new_request_id()),
        collection="tenant.facedb.00000000",
        deadline=time.time() + 10,
        name=name,
        faces=faces,
        once=once,
    )


def new_compare_job() -> CompareJob:
    return CompareJob(job_id=new_job_id(new_gateway_id(), new_request_id()), deadline=time.time() + 20)


def celerys(redis_url: str, jobs: Sequence[Job], headers: Mapping[str, Any]) -> list[str]:
    """Have Celery send the jobs, and return the messages."""
    app = Celery("facesearch.gateway", backend="disabled://", set_as_current=False)
    app.conf.update(celery_config(Settings(redis_url=SecretStr(redis_url))))
    for job in jobs:
        app.send_task(
            job.task,
            kwargs=job.model_dump(mode="json"),
            task_id=job.job_id,
            queue=QUEUE,
            expires=datetime.fromtimestamp(job.deadline, UTC),
            argsrepr="",
            kwargsrepr="",
            headers=headers,
        )
    app.close()
    with Redis.from_url(redis_url) as redis:
        return [message.decode() for message in reversed(redis.lrange(QUEUE, 0, -1))]


def read(message: str) -> dict[str, Any]:
    """Return a message with its body decoded and without what differs from message to message."""
    read: dict[str, Any] = json.loads(message)
    for name in FRESH:
        assert read["properties"].pop(name)
    return read | {"body": json.loads(base64.b64decode(read["body"], validate=True))}


def test_messages_say_what_celerys_say(valkey_url: str) -> None:
    once = Once(record=f"fs:once:tenant:{64 * '0'}", origin=new_request_id(), keep_s=60)
    jobs: list[Job] = [
        new_add_job(),
        new_add_job(name="Zoë 李", faces=Faces.ONE, once=once),
        new_compare_job(),
        new_add_job(name=None),
        new_compare_job(),
    ]
    headers = {"sent": 1.0, "tenant": "tenant"}
    messages = Messages(Settings(redis_url=SecretStr(valkey_url)))
    made = [messages.make(job, headers) for job in jobs]
    messages.close()
    assert list(map(read, made)) == list(map(read, celerys(valkey_url, jobs, headers)))


def test_each_message_has_a_delivery_tag_of_its_own_and_expires_with_its_job() -> None:
    messages = Messages(Settings(redis_url=SecretStr("unix:///nowhere.sock")))
    made = [json.loads(messages.make(new_add_job(), {}))["properties"] for _ in range(3)]
    messages.close()
    assert len({properties["delivery_tag"] for properties in made}) == 3
    assert all(0 < int(properties["expiration"]) <= 10_000 for properties in made)


def test_no_name_is_in_a_field_that_celery_logs() -> None:
    messages = Messages(Settings(redis_url=SecretStr("unix:///nowhere.sock")))
    for _ in range(2):
        message = json.loads(messages.make(new_add_job(), {}))
        assert "NAME1" not in json.dumps({**message, "body": None})
    messages.close()
