"""`python -m worker --health`: whether a worker of this host is alive, by its heartbeat.

For health checks of containers, where one host is one worker. It runs every few seconds, so it imports little.
"""

import socket
import sys

from redis import RedisError

from shared.errors import OperatorError
from shared.heartbeat import Heartbeat, read_heartbeats
from shared.redis_clients import connect_blocking
from shared.settings import Settings


def check(settings: Settings) -> int:
    """Return the exit status: 0 if one is alive, else 1, with the reason on stderr."""
    try:
        with connect_blocking(settings.broker) as redis:
            records = read_heartbeats(redis).values()
    except OperatorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except (RedisError, OSError, ValueError) as error:
        print(f"the broker does not answer: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    host = socket.gethostname()
    if any(Heartbeat.model_validate_json(record).host == host for record in records if record is not None):
        return 0
    print(f"no worker of {host} is alive", file=sys.stderr)  # noqa: T201
    return 1
