"""The message of a job as Celery writes it, made but not sent.

Celery's own way to Redis is a blocking client, a new one for each message, in a thread that the event loop hands over
to and back: 0.45 ms of CPU a job and two thread switches, where the message takes 0.15 and a push over a shared
connection 0.05. So all of Celery's and kombu's work on a message is theirs, up to kombu's transport, whose one method
for sending keeps the message here; gateway/dispatch/jobs.py pushes it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery
from kombu.transport import virtual
from kombu.utils.json import dumps

from shared.broker import celery_config
from shared.jobs import QUEUE, Job
from shared.settings import Settings

_PUT: Final = "put"


class _Channel(virtual.Channel):
    """A channel that hands each message over instead of sending it."""

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        self.connection.client.transport_options[_PUT](queue, message)


class _Transport(virtual.Transport):
    Channel = _Channel


class Messages:
    """Makes messages that a worker's Celery takes from the queue. To be used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._made: list[str] = []
        # Without a result backend: with one Celery would subscribe to every single task on a connection that nobody
        # reads.
        self._app = Celery("facesearch.gateway", backend="disabled://", set_as_current=False)
        self._app.conf.update(
            celery_config(settings),
            broker_url="kept://localhost",
            broker_transport=_Transport,
            broker_transport_options={_PUT: self._keep},
        )

    def of(self, job: Job, headers: Mapping[str, Any]) -> str:
        """The message of a job, to be pushed to QUEUE. headers: to go with it, plain values."""
        self._app.send_task(
            job.task,
            kwargs=job.model_dump(mode="json"),
            task_id=job.job_id,
            queue=QUEUE,
            expires=datetime.fromtimestamp(job.deadline, UTC),
            # Celery would put a readable copy of the arguments, names included, into headers and logs.
            argsrepr="",
            kwargsrepr="",
            retry=False,
            headers=headers,
        )
        return self._made.pop()

    def close(self) -> None:
        self._app.close()

    def _keep(self, queue: str, message: Mapping[str, Any]) -> None:
        if queue != QUEUE:
            raise ValueError(f"a message for {queue}")
        self._made.append(str(dumps(message)))  # type: ignore[no-untyped-call]


def delivery_tag(message: str) -> str:
    """What kombu knows a message by, however often it is delivered."""
    return str(json.loads(message)["properties"]["delivery_tag"])
