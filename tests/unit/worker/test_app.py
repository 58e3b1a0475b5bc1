"""The Celery application: its tasks and the settings on which redelivery depends."""

import inspect
import json

import pytest
from celery.app.task import Context
from celery.worker.request import Request
from kombu import Connection
from kombu.transport.virtual import Message

from shared.broker import UNACKED_INDEX
from shared.calls import CALLS
from shared.errors import OperatorError
from shared.jobs import (
    QUEUE,
    SearchJob,
    new_gateway_id,
    new_job_id,
    new_request_id,
)
from shared.messages import Messages, delivery_tag
from shared.settings import Settings
from worker.app import create_celery
from worker.delivery.channel import share_client

SETTINGS = Settings(redis_url="unix:///nowhere.sock", visibility_timeout_s=7)


def test_every_job_has_a_task_that_is_delivered_again_if_its_worker_dies() -> None:
    app = create_celery(SETTINGS)
    for call in CALLS:
        task = app.tasks[call.job.task]
        assert task.acks_late
        assert task.reject_on_worker_lost
    assert app.conf.broker_transport_options["visibility_timeout"] == 7
    assert app.conf.task_default_queue == QUEUE
    assert app.conf.worker_prefetch_multiplier == 1


def test_only_json_is_accepted() -> None:
    assert create_celery(SETTINGS).conf.accept_content == ["json"]


def test_a_worker_without_a_broker_names_the_setting() -> None:
    with pytest.raises(OperatorError, match="REDIS_URL is not set"):
        create_celery(Settings(redis_url=None))


class Client:
    connection_pool = object()


class Channel:
    """The part of a channel of kombu that share_client uses."""

    pool = Client.connection_pool

    def __init__(self) -> None:
        self.made: list[bool] = []

    def _create_client(self, asynchronous: bool = False) -> Client:
        self.made.append(asynchronous)
        return Client()


def test_a_channel_uses_one_client_for_its_commands_and_another_to_wait_for_jobs() -> None:
    channel = Channel()
    share_client(channel)
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel._create_client(asynchronous=True) is not first
    assert channel.made == [False, True]


def test_a_channel_with_a_new_pool_has_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel()
    share_client(channel)
    first = channel._create_client()
    pool = object()
    monkeypatch.setattr(channel, "pool", pool)
    monkeypatch.setattr(Client, "connection_pool", pool)
    assert channel._create_client() is first  # it belongs to that pool
    monkeypatch.setattr(channel, "pool", object())
    assert channel._create_client() is not first


def test_kombus_channel_has_the_methods_that_share_client_replaces() -> None:
    channel = Connection("redis+socket:///nowhere.sock").transport.Channel
    assert list(inspect.signature(channel._create_client).parameters) == ["self", "asynchronous"]
    assert "self._create_client()" in inspect.getsource(channel.conn_or_acquire)


def test_the_delivery_tag_of_a_task_is_that_of_its_message() -> None:
    job = SearchJob(job_id=new_job_id(new_gateway_id(), new_request_id()), collection="a.b.00000000", deadline=2e9)
    messages = Messages(SETTINGS)
    sent = messages.make(job, {})
    messages.close()
    message = Message(json.loads(sent), channel=Connection("memory://").channel())
    app = create_celery(SETTINGS)
    request = Context(Request(message, app=app, task=app.tasks[job.task]).request_dict)
    assert request.properties["delivery_tag"] == message.delivery_tag == delivery_tag(sent)


def test_kombu_uses_the_configured_index_of_unacknowledged_jobs() -> None:
    assert create_celery(SETTINGS).conf.broker_transport_options["unacked_index_key"] == UNACKED_INDEX
    channel = Connection("redis+socket:///nowhere.sock").transport.Channel
    assert {"unacked_key", "unacked_index_key", "visibility_timeout"} <= {*channel.from_transport_options}
