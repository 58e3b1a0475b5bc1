"""Which way a message goes: to a thread, to Celery, or away; with stand-ins for Celery's parts."""

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import signals
from kombu import Connection
from kombu.transport.virtual import Message

from shared.contract import Status
from shared.jobs import Job, Outcome, SearchJob, new_gateway_id, new_job_id, new_request_id
from shared.messages import Messages
from shared.settings import Settings
from worker.delivery.consumer import JobConsumer
from worker.delivery.ending import Ending

OUTCOME = Outcome(status=Status.NO_SIMILAR_FACE, message="none")


class Pool:
    """A pool that does its work at once, in the caller's thread."""

    def apply_async(self, target: Callable[[], bool], callback: Callable[[bool], None]) -> None:
        callback(target())


class Task:
    """The task of a search. complete: whether its ending is. fails: whether it raises."""

    job_type = SearchJob

    def __init__(self) -> None:
        self.done: list[Job] = []
        self.complete = True
        self.fails = False

    def do(self, job: Job, headers: dict[str, Any], tag: str) -> Ending:
        assert headers["sent"] == 1.0
        assert tag
        self.done.append(job)
        if self.fails:
            raise ZeroDivisionError
        ending = Ending()
        ending.outcome, ending.complete = OUTCOME, self.complete
        return ending


class Backend:
    """A backend that records what is stored. full: whether it stores nothing."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, Any]] = []
        self.full = False

    def mark_as_done(self, job_id: str, result: Any) -> None:
        if self.full:
            raise OSError
        self.stored.append((job_id, result))


class Scene:
    """A consumer, and what became of messages. acknowledged: their number. celery: those that went Celery's own way."""

    def __init__(self) -> None:
        self.task, self.backend = Task(), Backend()
        self.acknowledged, self.celery = 0, []
        self.consumer: Any = object.__new__(JobConsumer)
        self.consumer.app = SimpleNamespace(tasks={SearchJob.task: self.task}, backend=self.backend)
        self.consumer.pool = Pool()
        self.consumer.strategies = {SearchJob.task: lambda message, *_: self.celery.append(message)}
        self.consumer.on_task_message = set()
        self.consumer.hub = SimpleNamespace(call_soon=self.acknowledge)
        self.consumer.connection_errors = ()
        self.consumer.restart_count = 0
        self.consumer._maximum_prefetch_restored = True

    def acknowledge(self, _promise: object) -> None:
        self.acknowledged += 1

    def receive(self, seconds: float = 60, **delivery_info: Any) -> SearchJob:
        """Receive the message of a job with that many seconds left."""
        job = SearchJob(
            job_id=new_job_id(new_gateway_id(), new_request_id()),
            collection="a.b.00000000",
            deadline=time.time() + seconds,
        )
        messages = Messages(Settings(redis_url="unix:///nowhere.sock"))
        sent = json.loads(messages.make(job, {"sent": 1.0}))
        messages.close()
        sent["properties"]["delivery_info"].update(delivery_info)
        self.consumer.create_task_handler()(Message(sent, channel=Connection("memory://").channel()))
        return job


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_job_is_done_by_a_thread_and_then_acknowledged(scene: Scene) -> None:
    job = scene.receive()
    assert scene.task.done == [job]
    assert (scene.acknowledged, scene.celery, scene.backend.stored) == (1, [], [])


def test_celery_stores_an_outcome_that_is_not_stored_yet(scene: Scene) -> None:
    scene.task.complete = False
    job = scene.receive()
    assert scene.backend.stored == [(job.job_id, OUTCOME.model_dump(mode="json"))]
    assert scene.acknowledged == 1


@pytest.mark.parametrize("part", ["task", "backend"])
def test_a_job_without_a_stored_outcome_is_reported_and_not_acknowledged(scene: Scene, part: str) -> None:
    scene.task.complete, scene.task.fails, scene.backend.full = False, part == "task", part == "backend"
    errors: list[Exception] = []

    def note(exception: Exception, **_: Any) -> None:
        errors.append(exception)

    signals.task_internal_error.connect(note)
    scene.receive()
    assert [type(error) for error in errors] == [ZeroDivisionError if part == "task" else OSError]
    assert scene.acknowledged == 0


@pytest.mark.parametrize(("seconds", "info"), [(60, {"redelivered": True}), (-1, {})], ids=["again", "late"])
def test_a_job_that_is_delivered_again_or_late_goes_celerys_way(
    scene: Scene, seconds: float, info: dict[str, bool]
) -> None:
    scene.receive(seconds, **info)
    assert len(scene.celery) == 1
    assert (scene.task.done, scene.acknowledged) == ([], 0)
