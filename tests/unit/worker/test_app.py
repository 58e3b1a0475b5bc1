"""The Celery application: its tasks and the delivery policy that stands on them."""

import inspect

import pytest
from kombu import Connection

from shared.errors import OperatorError
from shared.jobs import QUEUE, AddJob, CompareJob, DeleteJob, SearchJob
from shared.settings import Settings
from worker.app import create_celery, keep_client

SETTINGS = Settings(redis_url="unix:///nowhere.sock", visibility_timeout_s=7)


def test_every_job_has_its_task_and_none_is_lost_with_its_worker() -> None:
    app = create_celery(SETTINGS)
    for job in (AddJob, SearchJob, DeleteJob, CompareJob):
        task = app.tasks[job.task]
        assert task.acks_late
        assert task.reject_on_worker_lost
    assert app.conf.broker_transport_options["visibility_timeout"] == 7
    assert app.conf.task_default_queue == QUEUE
    assert app.conf.worker_prefetch_multiplier == 1


def test_only_json_is_accepted() -> None:
    assert create_celery(SETTINGS).conf.accept_content == ["json"]


def test_what_celery_loads_is_such_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere.sock")
    from worker.celery import app  # noqa: PLC0415 -- it reads the settings when it is loaded

    assert AddJob.task in app.tasks


def test_a_worker_without_a_broker_says_what_to_do() -> None:
    with pytest.raises(OperatorError, match="REDIS_URL is not set"):
        create_celery(Settings(redis_url=None))


class Client:
    connection_pool = object()


class Channel:
    """What keep_client needs of a channel of kombu's."""

    pool = Client.connection_pool

    def __init__(self) -> None:
        self.made: list[bool] = []

    def _create_client(self, asynchronous: bool = False) -> Client:
        self.made.append(asynchronous)
        return Client()


def test_a_channel_uses_one_client_for_its_commands_and_another_to_wait_for_jobs() -> None:
    channel = Channel()
    keep_client(channel)
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel._create_client(asynchronous=True) is not first
    assert channel.made == [False, True]


def test_a_channel_with_a_new_pool_has_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel()
    keep_client(channel)
    first = channel._create_client()
    pool = object()
    monkeypatch.setattr(channel, "pool", pool)
    monkeypatch.setattr(Client, "connection_pool", pool)
    assert channel._create_client() is first  # it is of that pool
    monkeypatch.setattr(channel, "pool", object())
    assert channel._create_client() is not first


def test_kombus_channel_is_such_a_one() -> None:
    channel = Connection("redis+socket:///nowhere.sock").transport.Channel
    assert list(inspect.signature(channel._create_client).parameters) == ["self", "asynchronous"]
    assert "self._create_client()" in inspect.getsource(channel.conn_or_acquire)
