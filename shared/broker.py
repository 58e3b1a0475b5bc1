"""How gateway and workers reach Redis: URLs, time-outs and the Celery settings that both sides must agree on."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from shared.jobs import QUEUE
from shared.settings import Settings

RESULT_PREFIX: Final = "celery-task-meta-"
"""Celery's Redis backend keeps the result of a task under this prefix and publishes it on the channel of that name."""

SOCKET_TIMEOUT_S: Final = 5.0
"""A broker that does not answer a command within this is taken for gone."""


UNACKED: Final = "unacked"
"""Where kombu keeps the jobs that a worker has taken and not finished."""


def celery_url(url: str) -> str:
    """A redis-py URL in Celery's spelling, which differs for Unix sockets.

    >>> celery_url("unix:///run/valkey.sock?db=1")
    'redis+socket:///run/valkey.sock?virtual_host=1'
    """
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"


def celery_config(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for producer and worker alike; each adds what only it needs."""
    return {
        "broker_url": celery_url(settings.broker),
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_key": UNACKED,
            # Defaults look for jobs of dead workers every 100 s; nobody waits that long.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
        },
        "redis_socket_timeout": SOCKET_TIMEOUT_S,
        "redis_socket_connect_timeout": SOCKET_TIMEOUT_S,
        "task_default_queue": QUEUE,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_expires": settings.image_ttl_s,
        "event_serializer": "json",
    }
