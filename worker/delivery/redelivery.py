"""A job that runs is not given to another worker because its machine is busy.

kombu gives a job away when it was taken longer ago than the visibility timeout. A job may take four fifths of that, not
counting the time for which it waits for a processor (worker/delivery/time_limit.py): with nine others beside it on one
core it takes ten times as long, nothing is wrong with it, and it would be done a second time, which makes the machine
busier still. So what a job has waited is added to the time at which it was taken. For a worker that was killed nothing
is added: others get its jobs as soon as ever.
"""

from redis import Redis

from shared.broker import UNACKED_INDEX
from worker.delivery.time_limit import LOOK_S, TimeLimit
from worker.periodic import Periodic


class Redelivery:
    """Puts off, from start to stop, when jobs that this process does are given to another."""

    def __init__(self, redis: Redis, limit: TimeLimit) -> None:
        self._redis = redis
        self._limit = limit
        self._putting_off = Periodic("redelivery", self.put_off, LOOK_S)

    def start(self) -> None:
        self._putting_off.start()

    def stop(self) -> None:
        self._putting_off.stop()

    def put_off(self) -> None:
        """Once, by what each job has waited since the last time. Raises redis.RedisError."""
        for tag, seconds in self._limit.waited().items():
            # Only where it still is: a job that is done must not come back as one that nobody has.
            self._redis.zadd(UNACKED_INDEX, {tag: seconds}, xx=True, incr=True)
