"""How gateway and workers reach the queue: time-outs and the Celery settings that both sides must agree on."""

from typing import Any, Final
from urllib.parse import quote

from shared.jobs import QUEUE
from shared.redis_url import RedisUrl, parse
from shared.settings import Settings

RESULT_PREFIX: Final = "celery-task-meta-"
"""Celery's Redis backend keeps the result of a task under this prefix and publishes it on the channel of that name."""

SOCKET_TIMEOUT_S: Final = 5.0
"""A broker that does not answer a command within this is taken for gone."""

UNACKED: Final = "unacked"
"""Where kombu keeps the jobs that a worker has taken and not finished: a hash by their messages' delivery tags."""

UNACKED_INDEX: Final = "unacked_index"
"""Where it keeps when each was taken, in Unix time: a sorted set of the same tags."""


def celery_url(url: str) -> str:
    """The URL in Celery's spelling; TLS and the name of a master are options of `celery_config`. Raises OperatorError
    when it is wrong.

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
    """Celery's configuration for producer and worker alike; each adds what only it needs. Raises OperatorError when the
    URL is wrong.
    """
    where = parse(settings.broker)
    masters = {} if where.master is None else _masters(where)
    return {
        "broker_url": celery_url(settings.broker),
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_key": UNACKED,
            "unacked_index_key": UNACKED_INDEX,
            # Defaults look for jobs of dead workers every 100 s; nobody waits that long.
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
