"""`python -m worker --health`: whether a worker of this host renews its sign of life. For health checks of containers,
where one host is one worker. Imports little: it runs every few seconds.
"""

import socket
import sys

from redis import RedisError

from shared.errors import OperatorError
from shared.presence import Presence, said
from shared.redis_clients import connect_blocking
from shared.settings import Settings


def check(settings: Settings) -> int:
    """Exit status: 0 if one is alive, else 1, with one line that says what is wrong."""
    try:
        with connect_blocking(settings.broker) as redis:
            records = said(redis).values()
    except OperatorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except (RedisError, OSError, ValueError) as error:
        print(f"the broker does not answer: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    host = socket.gethostname()
    if any(Presence.model_validate_json(record).host == host for record in records if record is not None):
        return 0
    print(f"no worker of {host} is alive", file=sys.stderr)  # noqa: T201
    return 1
