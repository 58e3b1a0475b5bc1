"""The messages that the gateway makes are equal to those that Celery itself puts into Redis."""

import json
import time
from datetime import UTC, datetime

import pytest
from celery import Celery
from redis import Redis

from gateway.dispatch.messages import Messages
from shared.broker import celery_config
from shared.jobs import QUEUE, AddJob, new_gateway_id, new_job_id, new_request_id
from shared.settings import Settings

FRESH = ("delivery_tag", "reply_to", "expiration")
"""Fields that differ from message to message."""


@pytest.fixture
def job() -> AddJob:
    return AddJob(
        job_id=new_job_id(new_gateway_id(), new_request_id()),
        collection="tenant.facedb.00000000",
        deadline=time.time() + 10,
        name="NAME1",
    )


def test_a_message_is_equal_to_celerys(valkey_url: str, job: AddJob) -> None:
    settings = Settings(redis_url=valkey_url)
    theirs = Celery("facesearch.gateway", backend="disabled://", set_as_current=False)
    theirs.conf.update(celery_config(settings))
    theirs.send_task(
        job.task,
        kwargs=job.model_dump(mode="json"),
        task_id=job.job_id,
        queue=QUEUE,
        expires=datetime.fromtimestamp(job.deadline, UTC),
        argsrepr="",
        kwargsrepr="",
        headers={"sent": 1.0},
    )
    theirs.close()
    with Redis.from_url(valkey_url) as redis:
        (stored,) = redis.lrange(QUEUE, 0, -1)
    messages = Messages(settings)
    sent, made = json.loads(stored), json.loads(messages.make(job, {"sent": 1.0}))
    messages.close()
    for message in (sent, made):
        for name in FRESH:
            assert message["properties"].pop(name)
    assert made == sent


def test_no_name_is_in_a_field_that_celery_logs(valkey_url: str, job: AddJob) -> None:
    messages = Messages(Settings(redis_url=valkey_url))
    message = json.loads(messages.make(job, {}))
    messages.close()
    assert "NAME1" not in json.dumps({**message, "body": None})
