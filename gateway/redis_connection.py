"""One pipelined connection to a Redis for the commands of all requests.

redis-py borrows a connection of its pool for each command, which takes 0.14 ms of CPU, most of it in Python. A shared
connection takes a third, and sends the commands of one turn of the event loop in one packet. Connecting, packing and
parsing are redis-py's.
"""

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

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
        try:
            async with asyncio.timeout(SOCKET_TIMEOUT_S):
                if opened is not None and opened.silent_s() > SOCKET_TIMEOUT_S:
                    opened.fail(RedisTimeoutError("no answer"))
                if opened is None or not opened.alive:
                    opened = await self._connected()
                return await opened.send(command)
        except TimeoutError:
            if opened is not None:
                opened.fail(RedisTimeoutError("no answer"))
            raise RedisTimeoutError("no answer") from None

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
        async with self._connecting:
            if self._open is None or not self._open.alive:
                connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                try:
                    await connection.connect()
                except BaseException:  # cancelled, too: else the loop would keep the socket
                    await connection.disconnect(nowait=True)
                    raise
                self._open = _OpenConnection(connection)
            return self._open


class Script:
    """A Lua script, which Redis caches under its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _OpenConnection:
    """A connection in use until it is lost. connection: an open one."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._outgoing: list[bytes] = []
        self._has_outgoing = asyncio.Event()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._lost: Exception | None = None
        self._serving = asyncio.create_task(self._serve())

    @property
    def alive(self) -> bool:
        return self._lost is None

    def silent_s(self) -> float:
        """Return the seconds that the oldest command has waited for its answer; 0 if none waits."""
        return asyncio.get_running_loop().time() - self._waiting[0][0] if self._waiting else 0.0

    def send(self, command: Sequence[Argument]) -> asyncio.Future[Any]:
        """Queue a command and return a future of its answer, which may be cancelled. Raises why the connection was
        lost.
        """
        if self._lost is not None:
            raise self._lost
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._outgoing += self._connection.pack_command(*command)
        self._waiting.append((loop.time(), future))
        self._has_outgoing.set()
        return future

    def fail(self, error: Exception) -> None:
        """Treat the connection as lost: all waiting commands fail with that error."""
        self._lost = self._lost or error
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
        if asyncio.current_task() is not self._serving:
            self._serving.cancel()
            self._has_outgoing.set()

    async def close(self) -> None:
        self.fail(RedisConnectionError("closed"))
        await asyncio.wait({self._serving})

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._write())
                both.create_task(self._read())
        except* (RedisError, OSError) as errors:
            self.fail(RedisConnectionError(f"connection lost: {type(errors.exceptions[0]).__name__}"))
        finally:
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        # A condition, not True: in Python 3.11 the wait_for inside loses a cancellation that arrives as it ends.
        while self._lost is None:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            packed, self._outgoing = self._outgoing, []
            await self._connection.send_packed_command(packed, check_health=False)

    async def _read(self) -> None:
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
