"""Fair queueing by tenant on a real Valkey: the scripts, with jobs that no worker does."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis import Redis

from shared.broker import UNACKED
from shared.fair_queue import (
    ANNOUNCE,
    DONE,
    ENTER,
    EXTRA,
    HELD,
    IS_LOST,
    LINE_PREFIX,
    WAITING,
    WITHDRAW,
    extra_threads,
    item,
)
from shared.jobs import QUEUE

DEADLINE = time.time() + 3600


class Pool:
    """A broker, and workers that announce threads and do no work."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._numbers = itertools.count()
        names = (ENTER, DONE, WITHDRAW, IS_LOST, ANNOUNCE)
        self._enter, self._done, self._withdraw, self._is_lost, self._announce = map(redis.register_script, names)

    def announce(self, threads: int, extra: int, worker: str = "w", ttl: int = 60) -> None:
        self._announce(args=[worker, threads, extra, ttl])

    def enter(self, tenant: str, deadline: float = DEADLINE) -> str:
        """Enter a job of the tenant. Return its id, which is also its message."""
        job = f"{tenant}{next(self._numbers)}"
        self._enter(args=[tenant, job, item(job, deadline, job)])
        return job

    def done(self, job: str, seconds: float) -> None:
        self._done(args=[tenant_of(job), job, seconds])

    def withdraw(self, job: str) -> None:
        self._withdraw(args=[tenant_of(job), job, item(job, DEADLINE, job), job])

    def is_lost(self, job: str) -> bool:
        return bool(self._is_lost(args=[tenant_of(job), job]))

    def taken(self, queue: str = QUEUE) -> list[str]:
        """Take all jobs from a queue, in the order in which workers would."""
        jobs = [job.decode() for job in reversed(self.redis.lrange(queue, 0, -1))]
        self.redis.delete(queue)
        return jobs

    def held(self) -> int:
        assert self.redis.llen(HELD) == sum(self.redis.llen(key) for key in self.redis.keys(LINE_PREFIX + "*"))
        return self.redis.llen(HELD)


def tenant_of(job: str) -> str:
    return job.rstrip("0123456789")


@pytest.fixture
def pool(valkey_url: str) -> Iterator[Pool]:
    with Redis.from_url(valkey_url) as redis:
        yield Pool(redis)


def test_jobs_are_released_at_once_without_announced_threads(pool: Pool) -> None:
    jobs = [pool.enter("a"), pool.enter("b"), pool.enter("a")]
    assert pool.taken() == jobs
    assert pool.held() == 0


def test_no_more_jobs_of_a_tenant_are_released_than_there_are_threads(pool: Pool) -> None:
    pool.announce(2, 1)
    jobs = [pool.enter("a") for _ in range(5)]
    assert pool.taken() == jobs[:2]
    assert (pool.taken(EXTRA), pool.held()) == ([], 3)
    pool.done(jobs[0], 0.1)
    assert (pool.taken(), pool.held()) == ([jobs[2]], 2)


def test_a_tenant_without_a_running_job_gets_an_extra_thread(pool: Pool) -> None:
    pool.announce(2, 1)
    for _ in range(5):
        pool.enter("a")
    pool.taken()
    first, second, other = pool.enter("b"), pool.enter("b"), pool.enter("c")
    assert (pool.taken(), pool.taken(EXTRA)) == ([], [first])
    pool.done(first, 0.1)
    assert (pool.taken(), pool.taken(EXTRA)) == ([], [other]), "b has had a turn, c none"
    pool.done(other, 0.1)
    assert (pool.taken(), pool.taken(EXTRA)) == ([], [second])


def test_extra_threads_do_not_serve_tenants_with_running_jobs(pool: Pool) -> None:
    pool.announce(2, 1)
    first, _, third = [pool.enter("a") for _ in range(3)]
    pool.taken()
    other = pool.enter("b")
    assert pool.taken(EXTRA) == [other]
    pool.done(first, 0.1)
    assert pool.taken() == []
    new = pool.enter("c")
    assert (pool.taken(), pool.taken(EXTRA)) == ([new], []), "an ordinary thread is free"
    pool.done(other, 0.1)
    pool.done(new, 0.1)
    assert pool.taken() == [third]


def test_the_tenant_with_the_least_virtual_time_is_next(pool: Pool) -> None:
    """Each job of a takes a second, each of b a tenth: b gets ten jobs for one of a."""
    pool.announce(1, 0)
    for _ in range(200):
        pool.enter("a")
        pool.enter("b")
    done: Counter[str] = Counter()
    for _ in range(110):
        (job,) = pool.taken()
        done[tenant_of(job)] += 1
        pool.done(job, 1.0 if tenant_of(job) == "a" else 0.1)
    assert 9 <= done["a"] <= 11


def test_an_idle_tenant_saves_no_time(pool: Pool) -> None:
    pool.announce(1, 0)
    for _ in range(100):
        pool.enter("a")
    for _ in range(50):
        pool.done(pool.taken()[0], 1.0)
    for _ in range(100):
        pool.enter("b")
    done: Counter[str] = Counter()
    for _ in range(20):
        (job,) = pool.taken()
        done[tenant_of(job)] += 1
        pool.done(job, 1.0)
    assert 9 <= done["b"] <= 11


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1, 4),
    st.lists(st.floats(0.001, 5), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_busy_tenants_get_equal_time(pool: Pool, threads: int, costs: list[float], random: Random) -> None:
    """The virtual times of two busy tenants never differ by more than their running jobs take."""
    pool.redis.flushall()
    pool.announce(threads, extra_threads(threads))
    tenants = [chr(ord("a") + number) for number in range(len(costs))]
    for tenant in tenants:
        for _ in range(threads + 2):
            pool.enter(tenant)
    running: list[tuple[float, str, float]] = []
    had: Counter[str] = Counter()
    now = 0.0
    for _ in range(100):
        for job in pool.taken() + pool.taken(EXTRA):
            seconds = costs[tenants.index(tenant_of(job))] * random.uniform(0.5, 1)
            had[tenant_of(job)] += seconds
            running.append((now + seconds, job, seconds))
        assert threads <= len(running) <= threads + extra_threads(threads)
        now, job, seconds = min(running)
        running.remove((now, job, seconds))
        pool.enter(tenant_of(job))
        pool.done(job, seconds)
    assert max(had.values()) - min(had.values()) <= (2 * threads + 2) * max(costs)


def test_an_unreported_job_counts_until_its_deadline(pool: Pool) -> None:
    pool.announce(1, 0)
    pool.enter("a", deadline=time.time() - 10)  # past its deadline when it entered: not released at all
    assert (pool.taken(), pool.held()) == ([], 0)
    pool.redis.zadd("fs:fair:out", {"a dead": time.time() - 10})
    pool.redis.hset("fs:fair:running", "a", 1)
    job = pool.enter("b")
    assert pool.taken() == [job]
    assert pool.redis.hgetall("fs:fair:running") == {b"b": b"1"}


def test_a_withdrawn_job_is_gone(pool: Pool) -> None:
    pool.announce(1, 0)
    released, waits, last = [pool.enter("a") for _ in range(3)]
    pool.withdraw(waits)
    pool.withdraw(released)
    assert pool.taken() == [last]
    pool.withdraw(last)  # a worker has it
    assert pool.redis.hgetall("fs:fair:running") == {b"a": b"1"}
    pool.done(last, 0.1)
    assert pool.held() == 0
    assert not pool.redis.exists(WAITING, "fs:fair:running", "fs:fair:out")


def test_a_job_is_lost_if_it_does_not_wait_and_no_worker_has_it(pool: Pool) -> None:
    pool.announce(1, 0)
    first, second = pool.enter("a"), pool.enter("a")
    assert not pool.is_lost(second), "it waits in the queue of its tenant"
    pool.taken()
    assert not pool.is_lost(first), "it may be the one that waits"
    pool.done(first, 0.1)
    assert not pool.is_lost(second), "it is in the queue"
    pool.taken()
    assert pool.is_lost(second)
    pool.redis.hset(UNACKED, second, "its message")
    assert not pool.is_lost(second), "a worker has it"


def test_a_job_entered_twice_counts_once(pool: Pool) -> None:
    pool.announce(2, 0)
    job = pool.enter("a")
    pool.taken()
    pool._enter(args=["a", job, item(job, DEADLINE, job)])
    assert pool.taken() == [job]
    assert pool.redis.hgetall("fs:fair:running") == {b"a": b"1"}


def test_a_job_for_a_free_thread_waits_in_no_line(pool: Pool) -> None:
    pool.announce(threads=2, extra=0)
    jobs = [pool.enter("a"), pool.enter("b")]
    assert pool.taken() == jobs
    assert pool.held() == 0
    assert not pool.redis.exists(WAITING)
    pool.enter("a")
    assert pool.taken() == []
    assert pool.held() == 1


def test_a_job_that_is_entered_after_its_deadline_is_not_released(pool: Pool) -> None:
    pool.announce(threads=1, extra=0)
    pool.enter("a", time.time() - 1)
    job = pool.enter("a")
    assert pool.taken() == [job]


def test_a_line_goes_on_with_its_tenants_next_job_if_all_but_the_lines_is_lost(pool: Pool) -> None:
    pool.announce(threads=1, extra=0)
    running, waiting = pool.enter("a"), pool.enter("a")
    assert pool.taken() == [running]
    pool.redis.delete(WAITING, "fs:fair:out", "fs:fair:running", "fs:fair:used", "fs:fair:now")
    last = pool.enter("a")
    assert pool.taken() == [waiting]
    pool.done(waiting, 1)
    assert pool.taken() == [last]


def test_threads_of_all_workers_count_while_announced(pool: Pool) -> None:
    pool.announce(2, 1, "first")
    pool.announce(3, 1, "second")
    pool.announce(4, 2, "killed", ttl=0)
    pool.announce(2, 1, "first")
    assert pool.redis.hgetall("fs:fair:slots") == {b"threads": b"5", b"extra": b"2"}
    pool.announce(0, 0, "second")
    assert pool.redis.hgetall("fs:fair:slots") == {b"threads": b"2", b"extra": b"1"}
    pool.announce(0, 0, "first")
    assert not pool.redis.exists("fs:fair:slots", "fs:fair:workers")


def test_a_new_worker_takes_waiting_jobs(pool: Pool) -> None:
    pool.announce(1, 0, "first")
    jobs = [pool.enter("a") for _ in range(3)]
    pool.taken()
    pool.announce(1, 0, "second")
    assert pool.taken() == [jobs[1]]
