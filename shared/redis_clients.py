"""Clients of a Redis by its URL, asynchronous and blocking.

They fail visibly, and whoever uses one decides whether to try again. Where Sentinels know the master, each new
connection asks them first: after a failover the next command finds the new one.
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
"""Of one asynchronous client; beyond these a command waits its turn, SOCKET_TIMEOUT_S at most. Redis answers one by one
anyway, and opening a connection costs as much as ten commands."""


class _AsyncMasterPool(asyncio_sentinel.SentinelConnectionPool, asyncio_connection.BlockingConnectionPool):
    """Connections to the master, so many at most. Those to the Sentinels are closed with it."""

    def __init__(self, where: RedisUrl, options: dict[str, Any]) -> None:
        kwargs = where.sentinel_options() | {"retry": options["retry"]}
        sentinels = asyncio_sentinel.Sentinel(where.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
        super().__init__(where.master, sentinels, **where.tls_options(), **options)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _MasterPool(sentinel.SentinelConnectionPool):
    """The same for threads, and any number."""

    def __init__(self, where: RedisUrl, options: dict[str, Any]) -> None:
        kwargs = where.sentinel_options() | {"retry": options["retry"]}
        sentinels = sentinel.Sentinel(where.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
        super().__init__(where.master, sentinels, **where.tls_options(), **options)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()


def connect(url: str) -> asyncio.Redis:
    """An asynchronous client, which connects with its first command. Raises OperatorError when the URL is wrong."""
    where = parse(url)
    retry = AsyncRetry(NoBackoff(), 0)
    options = _options(where, SOCKET_TIMEOUT_S) | {
        "retry": retry,
        "max_connections": CONNECTIONS,
        "timeout": SOCKET_TIMEOUT_S,
        # Redis Enterprise announces maintenance. A pool that listens for it does not look whether a connection is still
        # open (redis-py 8.1), and after a broker's restart each old connection would fail a command.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if where.master is not None:
        return asyncio.Redis.from_pool(_AsyncMasterPool(where, options))
    options |= _server(where, asyncio_connection)
    return asyncio.Redis.from_pool(asyncio_connection.BlockingConnectionPool(**options))


def connect_blocking(url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """A client for threads, which connects with its first command. timeout_s: seconds within which each command must
    have its answer. Raises OperatorError when the URL is wrong.
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
    """Where the one server is, and which of a module's kinds of connection leads there."""
    if where.socket is not None:
        return {"connection_class": kinds.UnixDomainSocketConnection, "path": where.socket}
    ((host, port),) = where.hosts
    if where.tls is None:
        return {"connection_class": kinds.Connection, "host": host, "port": port}
    return {"connection_class": kinds.SSLConnection, "host": host, "port": port, **where.tls}
