"""Extends the visibility timeout of running jobs by the time for which they waited on a busy machine.

kombu gives a job to another worker when it was taken longer ago than the visibility timeout. A job may take four fifths
of that, not counting its waiting for a processor (worker/delivery/time_limit.py). With nine jobs beside it on one core
it takes ten times as long though nothing is wrong; doing it a second time would make the machine busier still. So the
time that a job has waited is added to the time at which it was taken. Nothing is added for a killed worker: others get
its jobs after the visibility timeout.
"""

from redis import Redis

from shared.broker import UNACKED_INDEX
from worker.delivery.time_limit import CHECK_S, TimeLimit
from worker.periodic import Periodic


class Redelivery:
    """Extends, from start to stop, the visibility timeout of the jobs that this process runs."""

    def __init__(self, redis: Redis, limit: TimeLimit) -> None:
        self._redis = redis
        self._limit = limit
        self._extending = Periodic("redelivery", self.extend, CHECK_S)

    def start(self) -> None:
        self._extending.start()

    def stop(self) -> None:
        self._extending.stop()

    def extend(self) -> None:
        """Extend once, by what each job has waited since the last time. Raises redis.RedisError."""
        for tag, seconds in self._limit.new_waits().items():
            # XX: a finished job must not come back as one without a worker.
            self._redis.zadd(UNACKED_INDEX, {tag: seconds}, xx=True, incr=True)
