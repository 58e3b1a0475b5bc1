"""Fair queueing by tenant: which job the workers get next, however many jobs other tenants send.

Jobs wait in a queue for each tenant and are released into the Celery queues when a worker's thread is free for them. A
tenant that asks for less than its share waits only for jobs that already run; what exceeds its share waits behind its
own. The algorithm is start-time fair queueing: each tenant has a virtual time, the seconds of worker threads that its
jobs have taken; the tenant with the lowest is next; one that comes back starts at the current lowest, so that no tenant
saves up time. P. Goyal, H. Vin, H. Cheng, "Start-Time Fair Queueing", SIGCOMM 1996. The time of a job is counted when
the job is done.

A running job cannot be interrupted, and may take seconds. So a worker has a few threads more than it works with, for
tenants that have no running job: they take from the extra queue, and the operating system shares the processors.

A tenant is named by its id (fs:tenant-ids) here.

    fs:fair:line:<tenant>   list of the waiting jobs: "<job id> <deadline> <message>", the first at the right
    fs:fair:waiting         sorted set of the tenants with waiting jobs, by virtual time
    fs:fair:used            sorted set: virtual time of each tenant that is ahead of fs:fair:now
    fs:fair:now             virtual time: the lowest of the waiting tenants when a job was released last
    fs:fair:out             sorted set of the jobs released into QUEUE and not done: "<tenant> <job id>", by deadline
    fs:fair:out:extra       the same of EXTRA
    fs:fair:running         hash: number of a tenant's jobs in both
    fs:fair:workers         hash: what each worker announced, "<threads> <extra> <until>"
    fs:fair:slots           hash of threads and extra: their sums, which expire with the last worker

Only the scripts here write these keys, each of them atomically. Everything but the lists may be lost: gateways send
jobs again that no worker has. While no worker announces threads, as workers of earlier releases do not, jobs are
released at once.
"""

from typing import Final

from shared import lua
from shared.broker import UNACKED
from shared.jobs import QUEUE

EXTRA: Final = f"{QUEUE}.extra"
"""The Celery queue for tenants that have no running job, while every thread is taken."""

HELD: Final = f"{QUEUE}.held"
"""A list as long as all lines together: with the length of QUEUE, the number to scale workers by."""

TENANT: Final = "tenant"
"""Header of a job's message: the tenant in whose queue it waited."""

WAITING: Final = "fs:fair:waiting"

LINE_PREFIX: Final = "fs:fair:line:"

NOMINAL_S: Final = 0.0001
"""Virtual time that a job counts until it is done, so that several free threads do not all go to one tenant. It is less
than any job takes: a surplus, corrected later, would be lost to the tenant once the others' time has passed it."""

MARGIN_S: Final = 2.0
"""Seconds after its deadline when a job counts as done without a report: its worker died, or never began it."""

_CANDIDATES: Final = 100
"""Number of tenants, in their order, that are searched for one without a running job."""


def _script(*names: str) -> str:
    return lua.load(
        __name__,
        "common",
        *names,
        QUEUE=QUEUE,
        EXTRA=EXTRA,
        HELD=HELD,
        WAITING=WAITING,
        LINE_PREFIX=LINE_PREFIX,
        NOMINAL_S=NOMINAL_S,
        MARGIN_S=MARGIN_S,
        CANDIDATES=_CANDIDATES,
    )


COMMON: Final = _script()
"""What stands before a script that uses the functions of the fair queue."""

ENTER: Final = _script("enter")
DONE: Final = _script("done")
WITHDRAW: Final = _script("withdraw")
ANNOUNCE: Final = _script("announce")
IS_LOST: Final = lua.load(__name__, "is_lost", QUEUE=QUEUE, EXTRA=EXTRA, LINE_PREFIX=LINE_PREFIX, UNACKED=UNACKED)


def item(job_id: str, deadline: float, message: str) -> str:
    """Return the entry of a line for a job. deadline: Unix time in seconds."""
    return f"{job_id} {deadline:.3f} {message}"


def message_of(item: bytes) -> bytes:
    """Return the message in an entry of a line."""
    return item.split(b" ", 2)[2]


def extra_threads(threads: int) -> int:
    """Return the number of additional threads of a worker, for tenants that have no running job: half of `threads`, at
    least one. More would only take memory: as many tenants would have to begin while one job runs.
    """
    return max(1, threads // 2)
