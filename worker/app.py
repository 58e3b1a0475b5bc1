"""The worker's Celery application."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, signals
from celery.worker import state

from shared import unknown_variables
from shared.broker import celery_config, celery_url
from shared.calls import CALLS, Call
from shared.errors import OperatorError
from shared.fair_queue import EXTRA, extra_threads
from shared.jobs import Job
from shared.observability import logs
from shared.redis_url import parse
from shared.settings import Settings
from worker import tasks
from worker.actions import ACTIONS, Action
from worker.delivery.broker_startup import await_broker
from worker.delivery.broker_watch import BrokerWatch
from worker.delivery.channel import prepare_channel
from worker.delivery.consumer import JobConsumer
from worker.delivery.ending import Endings
from worker.delivery.extra_queue import consume_extra_queue
from worker.delivery.fair_queue import FairQueueClient
from worker.delivery.full_broker import FullBrokerLog, publish_outcomes
from worker.delivery.redelivery import Redelivery
from worker.delivery.time_limit import CHECK_S, TimeLimit, limit_s
from worker.heartbeat import HeartbeatSender, require_same_embedder
from worker.models.selection import in_use
from worker.runtime import Runtime, open_runtime
from worker.thread_connections import ThreadConnections
from worker.upkeep.backups import Backups
from worker.upkeep.erasure import Erasures
from worker.upkeep.estimates import Estimates
from worker.upkeep.foreign_facedbs import ForeignFacedbs
from worker.upkeep.imports import Imports
from worker.upkeep.leftovers import Leftovers
from worker.upkeep.retention import RetentionSweeper
from worker.upkeep.sweeper import Sweeper
from worker.waits import Waits

log = structlog.stdlib.get_logger(__name__)

WORKER_CONFIG: Final[dict[str, Any]] = {
    # A job waits in the queue, where any worker can take it, not with a busy worker.
    "worker_prefetch_multiplier": 1,
    # The heartbeat (worker/heartbeat.py) replaces Celery's own events.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    # A job that is delivered again though its outcome was stored is done: what it added may have been deleted since.
    "worker_deduplicate_successful_tasks": True,
    # A worker that loses the broker ends and is restarted: see worker/delivery/broker_watch.py.
    "broker_connection_retry": False,
    # Celery gets valid jobs only, and few of them: see worker/delivery/consumer.py.
    "worker_consumer": JobConsumer,
    # Jobs that a lost connection left behind are delivered again after the visibility timeout; running ones may finish.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}


@dataclass(frozen=True)
class Opened:
    """The parts of an open worker process."""

    runtime: Runtime
    foreign_facedbs: ForeignFacedbs
    fair_queue: FairQueueClient
    broker: ThreadConnections
    endings: Endings


class Process:
    """One worker process: opened before it takes jobs, closed after its last one."""

    def __init__(self, settings: Settings, waits: Waits, calls: Sequence[Call], acknowledged: set[str]) -> None:
        self._settings = settings
        self._waits = waits
        self._calls = calls
        self._acknowledged = acknowledged
        self._stack = ExitStack()
        self._opened: Opened | None = None

    @property
    def opened(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("the worker process has not been opened")
        return self._opened

    def open(self) -> Opened:
        """Raises OperatorError when a model is missing or the data directory is in use."""
        runtime = self._stack.enter_context(open_runtime(self._settings, self._waits, self._calls))
        redis = runtime.ledger.redis
        foreign_facedbs = ForeignFacedbs(redis, runtime.store, runtime.spaces, runtime.metrics.refused)
        fair_queue = FairQueueClient(redis, self._settings.threads)
        broker = ThreadConnections(redis)
        endings = Endings(broker, self._settings.image_ttl_s, self._acknowledged)
        self._opened = Opened(runtime, foreign_facedbs, fair_queue, broker, endings)
        return self._opened

    def close(self) -> None:
        self._opened = None
        self._stack.close()


def create_celery(  # noqa: C901 -- the steps share what it composes
    settings: Settings,
    refuse: Callable[[str], None] | None = None,
    calls: Sequence[Call] = CALLS,
    actions: Mapping[type[Job], Action] = ACTIONS,
) -> Celery:
    """Return a Celery application with the tasks of the calls, for a pool of threads in one process.

    refuse: called with the reason when the worker cannot start; without it the reason is logged.
    """
    app = Celery("facesearch.worker", backend=celery_url(settings.broker), set_as_current=False)
    app.conf.update(celery_config(settings), **WORKER_CONFIG)
    waits = Waits()
    acknowledged: set[str] = set()
    process = Process(settings, waits, calls, acknowledged)
    full = FullBrokerLog()
    publish_outcomes(app, full)
    where = str(parse(settings.broker))
    limit = TimeLimit(limit_s(settings.visibility_timeout_s), waits.seconds)
    tasks.register(app, lambda: process.opened.runtime, lambda: process.opened.endings, limit, calls, actions)

    @signals.setup_logging.connect(weak=False)
    def configure_logs(**_: Any) -> None:
        logs.configure(settings.log_level, settings.log_format, "worker")
        unknown_variables.warn(log)

    class OpenStep(bootsteps.StartStopStep):
        """Opens the process before the first job. Celery would go on if a signal's handler failed."""

        requires = ("celery.worker.components:Timer",)

        def start(self, _worker: Any) -> None:
            try:
                opened = process.open()
                redis = opened.runtime.ledger.redis
                await_broker(redis, where, state.maybe_shutdown)
                require_same_embedder(redis, opened.runtime.spaces)
                opened.foreign_facedbs.require_something_served()
            except OperatorError as error:
                if refuse is None:
                    log.error("worker_cannot_start", reason=str(error))  # noqa: TRY400 -- the reason is enough
                else:
                    refuse(str(error))
                raise SystemExit(1) from None
            limit.start()

    @signals.worker_shutdown.connect(weak=False)
    def closed(**_: Any) -> None:
        limit.stop()  # not before: a worker that is to end waits for its jobs
        process.close()

    class BesideStep(bootsteps.StartStopStep):
        """Runs beside the jobs while the consumer runs: stops when the broker is lost, starts when it is back."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            extra = extra_threads(settings.threads)
            # The pool has a thread for each job of both queues.
            consumer.qos.decrement_eventually(extra)
            self.extra = consume_extra_queue(consumer, EXTRA, extra)
            opened = process.opened
            for channel in (consumer.task_consumer.channel, self.extra.channel):
                prepare_channel(channel, opened.broker, full, acknowledged)
            runtime = opened.runtime
            redis, store = runtime.ledger.redis, runtime.store
            # Stopped in this order, started in the reverse one. The heartbeat stops first: no gateway must count on
            # this worker while it still removes something.
            self.services = (
                HeartbeatSender(
                    redis, store, runtime.spaces, opened.foreign_facedbs.summary, in_use(settings)[1].licence
                ),
                opened.foreign_facedbs,
                Sweeper(runtime.ledger, store),
                RetentionSweeper(runtime),
                Leftovers(redis, runtime.stored),
                Backups(redis, runtime.stored, runtime.spaces, settings.handover),
                Erasures(redis, store),
                Imports(redis, runtime.ledger, store, runtime.spaces, settings.handover),
                Estimates(redis, store, runtime.spaces, runtime.calibrations),
                Redelivery(redis, limit),
                BrokerWatch(redis, end),
            )
            for service in reversed(self.services):
                service.start()
            self.fair_queue = opened.fair_queue
            self.fair_queue.start()
            self.ticks = consumer.timer.call_repeatedly(CHECK_S, limit.consumer_ticks)

        def stop(self, _consumer: Any) -> None:
            self.ticks.cancel()
            limit.consumer_ends()
            self.fair_queue.stop()
            self.extra.cancel()  # type: ignore[no-untyped-call]
            for service in self.services:
                service.stop()

    @signals.task_internal_error.connect(weak=False)
    def not_stored(exception: Any = None, **_: Any) -> None:
        """Celery cannot store the outcome of a job, and keeps the job's thread."""
        log.error("outcome_not_stored", error=type(exception).__name__)
        end()

    def end() -> None:
        """Finish the running jobs, take no other one, and end with status 1."""
        state.should_stop = 1

    app.steps["worker"].add(OpenStep)
    app.steps["consumer"].add(BesideStep)
    return app


def run(app: Celery, settings: Settings) -> int:
    """Run the worker of the application until it ends, and return its exit status, which Celery's own command line
    hides from a supervisor.
    """
    worker = app.Worker(
        pool_cls="threads",
        concurrency=settings.threads + extra_threads(settings.threads),
        loglevel=settings.log_level.upper(),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
