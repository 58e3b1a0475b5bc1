"""One pipelined connection to a Redis for the commands of all requests.

redis-py borrows a connection of its pool for each command, which takes 0.14 ms of CPU, most of it in Python. A shared
connection takes a fifth, and sends the commands of one turn of the event loop in one packet. Connecting and parsing are
redis-py's, packing is hiredis's.
"""

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.broker import SOCKET_TIMEOUT_S

Argument = str | bytes | int | float
"""A part of a command."""


class SharedConnection:
    """Sends commands to the Redis of a redis-py client. Blocking commands must not be sent: they would hold up all
    others.

    Connects with the first command, and again with the next one after a connection was lost.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._open: _OpenConnection | None = None
        self._connecting = asyncio.Lock()

    async def call(self, *command: Argument) -> Any:
        """Return Redis's answer. Raises redis.RedisError or OSError, after which the command may have been done or not.
        A connection that does not answer within SOCKET_TIMEOUT_S is lost with all commands that wait on it, even if the
        caller of the unanswered one has left.
        """
        opened = self._open
        if opened is None or not opened.alive:
            opened = await self._connected()
        return await opened.send(command)

    async def run(self, script: "Script", keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run a script and return its answer, loading it if Redis does not have it. Raises as `call`."""
        try:
            return await self.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.close()

    async def _connected(self) -> "_OpenConnection":
        try:
            async with asyncio.timeout(SOCKET_TIMEOUT_S), self._connecting:
                if self._open is None or not self._open.alive:
                    connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                    try:
                        await connection.connect()
                    except BaseException:  # cancelled, too: else the loop would keep the socket
                        await connection.disconnect(nowait=True)
                        raise
                    self._open = _OpenConnection(connection)
                return self._open
        except TimeoutError:
            raise RedisTimeoutError("no answer") from None


class Script:
    """A Lua script, which Redis caches under its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _OpenConnection:
    """A connection in use until it is lost. connection: an open one."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        if connection._writer is None:  # noqa: SLF001 -- see below
            raise RedisConnectionError("not connected")
        # redis-py's own way to send takes a coroutine and a timer for each packet. Answers have a time limit anyway.
        self._writer = connection._writer  # noqa: SLF001 -- it has no public way, and each test fails when it changes
        self._loop = asyncio.get_running_loop()
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Exception | None = None
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return self._lost is None

    def send(self, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        """Queue a command and return a future of its answer, which may be cancelled. Raises why the connection was
        lost.
        """
        if self._lost is not None:
            raise self._lost
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # typed as of one part
        self._waiting.append((self._loop.time(), future))
        if self._timer is None:
            self._timer = self._loop.call_later(SOCKET_TIMEOUT_S, self._check_silence)
        return future

    def fail(self, error: Exception) -> None:
        """Treat the connection as lost: all waiting commands fail with that error."""
        if self._lost is None:
            self._lost = error
            if asyncio.current_task() is not self._reading:
                self._reading.cancel()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        self.fail(RedisConnectionError("closed"))
        await asyncio.wait({self._reading})

    def _write(self) -> None:
        packed, self._outgoing = self._outgoing, []
        if not self._writer.is_closing():
            self._writer.writelines(packed)

    def _check_silence(self) -> None:
        """Fail if the oldest command has waited for SOCKET_TIMEOUT_S, else check again when it would have."""
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] + SOCKET_TIMEOUT_S - self._loop.time()
        if left_s <= 0:
            self.fail(RedisTimeoutError("no answer"))
        else:
            self._timer = self._loop.call_later(left_s, self._check_silence)

    async def _read(self) -> None:
        try:
            while True:
                answer: Any
                try:
                    answer = await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
                except ResponseError as error:  # the answer to this command alone
                    answer = error
                _, future = self._waiting.popleft()
                if future.done():  # its caller has left
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except (RedisError, OSError) as error:
            self.fail(RedisConnectionError(f"connection lost: {type(error).__name__}"))
        finally:
            await self._connection.disconnect(nowait=True)
