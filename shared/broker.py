"""Time-outs and Celery settings of the broker, on which gateway and workers must agree."""

from typing import Any, Final
from urllib.parse import quote

from shared.jobs import QUEUE
from shared.redis_url import RedisUrl, parse
from shared.settings import Settings

RESULT_PREFIX: Final = "celery-task-meta-"
"""Celery's Redis backend keeps the result of a task under this prefix and publishes it on the channel of that name."""

SOCKET_TIMEOUT_S: Final = 5.0
"""A broker that does not answer a command within this time counts as lost."""

UNACKED: Final = "unacked"
"""Key of kombu's hash of the jobs that workers have taken and not acknowledged, by delivery tag."""

UNACKED_INDEX: Final = "unacked_index"
"""Key of kombu's sorted set of the same delivery tags, by the Unix time at which each job was taken."""


def celery_url(url: str) -> str:
    """Return the URL as Celery writes it; TLS and the name of a master are options in `celery_config`. Raises
    OperatorError when the URL is wrong.

    >>> celery_url("unix:///run/valkey.sock?db=1")
    'redis+socket:///run/valkey.sock?virtual_host=1'
    >>> celery_url("redis+sentinel://:secret@a,b:5/main/1")
    'sentinel://:secret@a:26379/1;sentinel://:secret@b:5/1'
    """
    where = parse(url)
    login = _login(where)
    if where.socket is not None:
        return f"redis+socket://{login}{quote(where.socket)}?virtual_host={where.database}"
    scheme = "redis" if where.master is None else "sentinel"
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in where.hosts)
    return ";".join(f"{scheme}://{login}{host}/{where.database}" for host in hosts)


def celery_config(settings: Settings) -> dict[str, Any]:
    """Return the Celery configuration that gateway and worker share. Raises OperatorError when the URL is wrong."""
    where = parse(settings.broker)
    masters = {} if where.master is None else _masters(where)
    return {
        "broker_url": celery_url(settings.broker),
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_key": UNACKED,
            "unacked_index_key": UNACKED_INDEX,
            # By default kombu searches for jobs of dead workers every 100 s, longer than any deadline.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
            **masters,
        },
        "broker_use_ssl": where.tls,
        "redis_backend_use_ssl": where.tls,
        "result_backend_transport_options": masters,
        "redis_socket_timeout": SOCKET_TIMEOUT_S,
        "redis_socket_connect_timeout": SOCKET_TIMEOUT_S,
        "task_default_queue": QUEUE,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_expires": settings.image_ttl_s,
        "event_serializer": "json",
    }


def _login(where: RedisUrl) -> str:
    if not where.login:
        return ""
    name, password = (quote(where.login.get(part, ""), safe="") for part in ("username", "password"))
    return f"{name}:{password}@"


def _masters(where: RedisUrl) -> dict[str, Any]:
    return {"master_name": where.master, "sentinel_kwargs": where.sentinel_options()}
