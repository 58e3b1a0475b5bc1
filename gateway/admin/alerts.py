"""The alerts of deploy/prometheus/alerts.yml that can be told from what all gateways share, as it is now.

Prometheus alone has the others, which are about rates or about one process. It also waits for the time in `for` before
one fires, and keeps since when each has fired: gateways have no history, and the heartbeat of a worker is gone with it.
Only of what waits is known for how long. A test keeps names, severities, summaries and bounds equal to those of the
rules.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from gateway.monitoring.broker import Aside
from shared.broker_memory import BrokerMemory
from shared.heartbeat import OK, Heartbeat


class Alert(TypedDict):
    """An alert whose condition holds now. name: also of the section of the run book that says what to do. since: a
    moment from which on it has held, perhaps from before; None if that cannot be told.
    """

    name: str
    severity: Literal["critical", "warning"]
    summary: str
    since: datetime | None


OLDEST_JOB_S: Final = 5
MEMORY_WARNING: Final = 0.8
MEMORY_CRITICAL: Final = 0.95
IMAGE_MEMORY: Final = 0.8
OLDEST_ASYNCHRONOUS_JOB_S: Final = 600
OLDEST_WEBHOOK_S: Final = 3600
WEBHOOKS: Final = 1600
"""Above each of these an alert fires: seconds, parts of the memory that a server may use, and a number of webhooks."""


@dataclass(frozen=True)
class Shared:
    """What all gateways share. oldest_job_s: seconds for which the first that is waited for has waited, 0 if none does,
    NaN if that cannot be told. broker, images: memory of the two servers; None: it does not answer.
    """

    workers: Sequence[Heartbeat]
    oldest_job_s: float
    aside: Aside
    broker: BrokerMemory | None
    images: BrokerMemory | None


def firing(now: Shared, at: datetime) -> list[Alert]:
    """Return the alerts whose condition holds, critical ones first. at: the time of `now`."""
    found = _broker_down() if now.broker is None else [*_of_workers(now.workers), *_of_servers(now, now.broker, at)]
    return sorted(found, key=lambda alert: alert["severity"])


def _broker_down() -> list[Alert]:
    return [_alert("FacesearchBrokerDown", "critical", "The broker does not answer")]


def _of_workers(workers: Sequence[Heartbeat]) -> Iterator[Alert]:
    if not workers:
        yield _alert("FacesearchNoWorker", "critical", "No worker is alive")
    if len({worker.embedder for worker in workers}) > 1:
        yield _alert("FacesearchModelsDiffer", "critical", "Workers use different models: embedding")
    if any(worker.disk != OK for worker in workers):
        yield _alert("FacesearchStoreCannotWrite", "critical", "The store cannot write")
    if any(worker.refused_count for worker in workers):
        yield _alert("FacesearchFacedbsRefused", "critical", "Face databases are refused")


def _of_servers(now: Shared, broker: BrokerMemory, at: datetime) -> Iterator[Alert]:
    def since(waited_s: float, bound_s: float) -> datetime:
        return at - timedelta(seconds=waited_s - bound_s)

    job_s, aside = now.oldest_job_s, now.aside
    if job_s > OLDEST_JOB_S:
        begun = since(job_s, OLDEST_JOB_S)
        yield _alert("FacesearchJobsWait", "critical", "Jobs wait too long for a worker", begun)
    if aside.oldest_job_s > OLDEST_ASYNCHRONOUS_JOB_S:
        begun = since(aside.oldest_job_s, OLDEST_ASYNCHRONOUS_JOB_S)
        yield _alert("FacesearchAsynchronousJobsWait", "warning", "Asynchronous jobs near their deadline", begun)
    if aside.oldest_webhook_s > OLDEST_WEBHOOK_S:
        begun = since(aside.oldest_webhook_s, OLDEST_WEBHOOK_S)
        yield _alert("FacesearchWebhooksWait", "warning", "Webhooks are not delivered", begun)
    if now.aside.webhooks > WEBHOOKS:
        yield _alert("FacesearchWebhooksPileUp", "warning", "Many webhooks wait to be delivered")
    if broker.fraction > MEMORY_CRITICAL:
        yield _alert("FacesearchBrokerMemory", "critical", "The broker's memory is full")
    elif broker.fraction > MEMORY_WARNING:
        yield _alert("FacesearchBrokerMemory", "warning", "The broker's memory is running out")
    if now.images is None:
        yield _alert("FacesearchImageStoreDown", "critical", "The image store does not answer")
    elif now.images.fraction > IMAGE_MEMORY:
        yield _alert("FacesearchImageStoreMemory", "warning", "The image store is filling up")


def _alert(name: str, severity: Literal["critical", "warning"], summary: str, since: datetime | None = None) -> Alert:
    return {"name": name, "severity": severity, "summary": summary, "since": since}
