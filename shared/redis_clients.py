"""Asynchronous and blocking clients of a Redis, made from its URL.

They do not retry: the caller decides. With Sentinels, each new connection asks them for the master first, so the next
command after a failover finds the new one.
"""

from typing import Any, Final

from redis import Redis, asyncio, connection, sentinel
from redis.asyncio import connection as asyncio_connection
from redis.asyncio import sentinel as asyncio_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from shared.broker import SOCKET_TIMEOUT_S
from shared.redis_url import RedisUrl, parse

CONNECTIONS: Final = 32
"""The most connections of an asynchronous client; a further command waits for one, for at most SOCKET_TIMEOUT_S. Redis
executes commands one by one anyway, and opening a connection costs as much as ten commands."""


class _AsyncMasterPool(asyncio_sentinel.SentinelConnectionPool, asyncio_connection.BlockingConnectionPool):
    """A bounded pool of connections to the master. Closing it closes the connections to the Sentinels, too."""

    def __init__(self, where: RedisUrl, options: dict[str, Any]) -> None:
        kwargs = where.sentinel_options() | {"retry": options["retry"]}
        sentinels = asyncio_sentinel.Sentinel(where.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
        super().__init__(where.master, sentinels, **where.tls_options(), **options)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _MasterPool(sentinel.SentinelConnectionPool):
    """An unbounded pool of connections to the master, for threads. Closing it closes those to the Sentinels, too."""

    def __init__(self, where: RedisUrl, options: dict[str, Any]) -> None:
        kwargs = where.sentinel_options() | {"retry": options["retry"]}
        sentinels = sentinel.Sentinel(where.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
        super().__init__(where.master, sentinels, **where.tls_options(), **options)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()


def connect(url: str) -> asyncio.Redis:
    """Return an asynchronous client, which connects with its first command. Raises OperatorError for a wrong URL."""
    where = parse(url)
    retry = AsyncRetry(NoBackoff(), 0)
    options = _options(where, SOCKET_TIMEOUT_S) | {
        "retry": retry,
        "max_connections": CONNECTIONS,
        "timeout": SOCKET_TIMEOUT_S,
        # For maintenance notices of Redis Enterprise. A pool with them does not check whether a connection is still
        # open (redis-py 8.1), and after a restart of the broker each old connection would fail a command.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if where.master is not None:
        return asyncio.Redis.from_pool(_AsyncMasterPool(where, options))
    options |= _server(where, asyncio_connection)
    return asyncio.Redis.from_pool(asyncio_connection.BlockingConnectionPool(**options))


def connect_blocking(url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """Return a client for threads, which connects with its first command. timeout_s: for connecting and for each
    answer. Raises OperatorError for a wrong URL.
    """
    where = parse(url)
    retry = Retry(NoBackoff(), 0)
    options = _options(where, timeout_s) | {"retry": retry}
    if where.master is not None:
        return Redis.from_pool(_MasterPool(where, options))
    return Redis.from_pool(connection.ConnectionPool(**options, **_server(where, connection)))


def _options(where: RedisUrl, timeout_s: float) -> dict[str, Any]:
    timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), timeout_s)
    return {"db": where.database, **where.login, **timeouts}


def _server(where: RedisUrl, kinds: Any) -> dict[str, Any]:
    """Return the options for a single server, with its connection class. kinds: a connection module of redis-py."""
    if where.socket is not None:
        return {"connection_class": kinds.UnixDomainSocketConnection, "path": where.socket}
    ((host, port),) = where.hosts
    if where.tls is None:
        return {"connection_class": kinds.Connection, "host": host, "port": port}
    return {"connection_class": kinds.SSLConnection, "host": host, "port": port, **where.tls}
