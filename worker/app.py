"""The worker's Celery application."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
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
from worker.delivery.full_broker import FullBroker
from worker.delivery.lanes import consume_beside
from worker.delivery.lifeline import Lifeline
from worker.delivery.malformed import JobConsumer, guard
from worker.delivery.redelivery import Redelivery
from worker.delivery.time_limit import LOOK_S, TimeLimit, limit_s
from worker.delivery.turns import Turns
from worker.delivery.waiting import await_broker
from worker.presence import Beacon, require_same_embedder
from worker.runtime import Runtime, open_runtime
from worker.upkeep.backups import Backups
from worker.upkeep.erasure import Erasures
from worker.upkeep.foreign_facedbs import ForeignFacedbs
from worker.upkeep.sweeper import Sweeper
from worker.vision.memory_budget import MemoryBudget

log = structlog.stdlib.get_logger(__name__)

WORKER_CONFIG: Final[dict[str, Any]] = {
    # A job waits in the queue, where any worker can take it, and not with a worker that is busy.
    "worker_prefetch_multiplier": 1,
    # Presence tells who is alive (worker/presence.py); the queue needs none of Celery's own chatter.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    # A job that is delivered again though its outcome was stored is done: what it added may have been deleted since.
    "worker_deduplicate_successful_tasks": True,
    # A worker that loses the broker ends and is started anew: see worker/delivery/lifeline.py.
    "broker_connection_retry": False,
    # What is no job never reaches Celery: see worker/delivery/malformed.py.
    "worker_consumer": JobConsumer,
    # Jobs that a lost connection left behind are delivered again by their visibility timeout; what runs may finish.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}


class Process:
    """What one worker process holds: opened before it takes jobs, closed after its last one."""

    def __init__(self, settings: Settings, memory: MemoryBudget, calls: Sequence[Call]) -> None:
        self._settings = settings
        self._memory = memory
        self._calls = calls
        self._stack = ExitStack()
        self._runtime: Runtime | None = None
        self._foreign_facedbs: ForeignFacedbs | None = None
        self._turns: Turns | None = None

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("the worker process has not been opened")
        return self._runtime

    @property
    def foreign_facedbs(self) -> ForeignFacedbs:
        if self._foreign_facedbs is None:
            raise RuntimeError("the worker process has not been opened")
        return self._foreign_facedbs

    @property
    def turns(self) -> Turns:
        if self._turns is None:
            raise RuntimeError("the worker process has not been opened")
        return self._turns

    def open(self) -> None:
        """Raises OperatorError when a model is missing or the data directory is in use."""
        opening = open_runtime(self._settings, self._memory, self._calls)
        runtime = self._runtime = self._stack.enter_context(opening)
        self._foreign_facedbs = ForeignFacedbs(runtime.ledger.redis, runtime.store, runtime.metrics)
        self._turns = Turns(runtime.ledger.redis, self._settings.threads)

    def close(self) -> None:
        self._runtime = self._foreign_facedbs = self._turns = None
        self._stack.close()


def create_celery(
    settings: Settings,
    refuse: Callable[[str], None] | None = None,
    calls: Sequence[Call] = CALLS,
    actions: Mapping[type[Job], Action] = ACTIONS,
) -> Celery:
    """Return a Celery application with the tasks of the calls, for a pool of threads in one process. refuse: is called
    with the reason why it cannot start; by default the reason is logged.
    """
    app = Celery("facesearch.worker", backend=celery_url(settings.broker), set_as_current=False)
    app.conf.update(celery_config(settings), **WORKER_CONFIG)
    memory = MemoryBudget(settings.decoded_mb * 1_000_000)
    process = Process(settings, memory, calls)
    full = FullBroker()
    full.keep_publishing(app)
    where = str(parse(settings.broker))
    limit = TimeLimit(limit_s(settings.visibility_timeout_s), memory.waited_s)
    tasks.register(app, lambda: process.runtime, lambda: process.turns, limit, calls, actions)

    @signals.setup_logging.connect(weak=False)
    def configure_logs(**_: Any) -> None:
        logs.configure(settings.log_level, settings.log_format, "worker")
        unknown_variables.warn(log)

    class OpenStep(bootsteps.StartStopStep):
        """Opens before the consumer takes its first job. Celery would go on if a signal's handler failed."""

        requires = ("celery.worker.components:Timer",)

        def start(self, _worker: Any) -> None:
            try:
                process.open()
                runtime = process.runtime
                await_broker(runtime.ledger.redis, where, state.maybe_shutdown)
                require_same_embedder(runtime.ledger.redis, runtime.identity)
                process.foreign_facedbs.require_something_served()
            except OperatorError as error:
                if refuse is None:
                    log.error("worker_cannot_start", reason=str(error))  # noqa: TRY400 -- the line says what to do
                else:
                    refuse(str(error))
                raise SystemExit(1) from None
            limit.start()

    @signals.worker_shutdown.connect(weak=False)
    def closed(**_: Any) -> None:
        limit.stop()  # not before: a worker that is to end waits for its jobs
        process.close()

    class BesideStep(bootsteps.StartStopStep):
        """What goes on beside the jobs while the consumer runs: it stops when the broker is lost and starts again when
        it is back.
        """

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            extra = extra_threads(settings.threads)
            # The pool has a thread for each job of both queues.
            consumer.qos.decrement_eventually(extra)
            self.extra = consume_beside(consumer, EXTRA, extra)
            prepare(full, consumer.task_consumer.channel, self.extra.channel)
            runtime = process.runtime
            self.foreign_facedbs = process.foreign_facedbs
            self.beacon = Beacon(runtime.ledger.redis, runtime.store, runtime.identity, self.foreign_facedbs.summary)
            self.sweeper = Sweeper(runtime.ledger, runtime.store)
            self.backups = Backups(runtime.ledger.redis, runtime.store, settings.handover)
            self.erasures = Erasures(runtime.ledger.redis, runtime.store)
            self.redelivery = Redelivery(runtime.ledger.redis, limit)
            self.lifeline = Lifeline(runtime.ledger.redis, end)
            self.lifeline.start()
            process.turns.start()
            self.redelivery.start()
            self.foreign_facedbs.start()
            self.beacon.start()
            self.sweeper.start()
            self.backups.start()
            self.erasures.start()
            self.beating = consumer.timer.call_repeatedly(LOOK_S, limit.beat)

        def stop(self, _consumer: Any) -> None:
            self.beating.cancel()
            limit.beat_no_more()
            process.turns.stop()
            self.extra.cancel()  # type: ignore[no-untyped-call]
            # First the beacon: nobody must wait for this worker while it still removes something.
            self.beacon.stop()
            self.foreign_facedbs.stop()
            self.sweeper.stop()
            self.backups.stop()
            self.erasures.stop()
            self.redelivery.stop()
            self.lifeline.stop()

    @signals.task_internal_error.connect(weak=False)
    def not_stored(exception: Any = None, **_: Any) -> None:
        """Celery cannot store the outcome of a job, and keeps its place."""
        log.error("outcome_not_stored", error=type(exception).__name__)
        end()

    def end() -> None:
        """Finish the jobs that run, take no other one, and end with status 1."""
        state.should_stop = 1

    app.steps["worker"].add(OpenStep)
    app.steps["consumer"].add(BesideStep)
    return app


def prepare(full: FullBroker, *channels: Any) -> None:
    """Have the channels of a consumer take jobs as a worker does."""
    for channel in channels:
        keep_client(channel)
        guard(channel)
    full.keep_taking(*channels)


def keep_client(channel: Any) -> None:
    """Let a channel of kombu's Redis transport use one client for all its commands, as threads may share it.

    kombu (5.7) makes a new one to note who has a job and another to forget it: 0.1 ms each, most of it a table of 169
    entries. Connections come from the channel's pool either way.
    """
    kept: Any = None
    create = channel._create_client  # noqa: SLF001 -- kombu has no public way, and a test to tell when it changes

    def created(asynchronous: bool = False) -> Any:
        nonlocal kept
        if asynchronous:
            return create(asynchronous=True)
        if kept is None or kept.connection_pool is not channel.pool:
            kept = create()
        return kept

    channel._create_client = created  # noqa: SLF001 -- see above
