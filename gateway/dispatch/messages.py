"""Celery messages for jobs, made but not sent.

Celery sends through a blocking Redis client, which would need a thread: 0.45 ms of CPU a job and two thread switches,
where making the message takes 0.15 and pushing it over the shared connection 0.05. So Celery and kombu make the
message, with a kombu transport that keeps it instead of sending, and gateway/dispatch/jobs.py pushes it.
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
    """A channel that passes each message to a callback instead of sending it."""

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        self.connection.client.transport_options[_PUT](queue, message)


class _Transport(virtual.Transport):
    Channel = _Channel


class Messages:
    """Makes messages for the workers' Celery. Not safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._made: list[str] = []
        # Without a result backend: with one, Celery would subscribe to every task on a connection that is never read.
        self._app = Celery("facesearch.gateway", backend="disabled://", set_as_current=False)
        self._app.conf.update(
            celery_config(settings),
            broker_url="kept://localhost",
            broker_transport=_Transport,
            broker_transport_options={_PUT: self._keep},
        )

    def make(self, job: Job, headers: Mapping[str, Any]) -> str:
        """Make the message of a job, to be pushed to QUEUE. headers: of the message, plain values."""
        self._app.send_task(
            job.task,
            kwargs=job.model_dump(mode="json"),
            task_id=job.job_id,
            queue=QUEUE,
            expires=datetime.fromtimestamp(job.deadline, UTC),
            # Else Celery writes the arguments, names of people included, to headers and logs.
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
    """Return the id by which kombu knows a message, the same in every delivery."""
    return str(json.loads(message)["properties"]["delivery_tag"])
