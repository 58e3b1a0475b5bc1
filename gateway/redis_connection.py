"""One connection to a Redis for the commands of all requests: they go out together, and answers come back in order.

redis-py lends a connection of its pool to each command: 0.14 ms of CPU for one, most of them Python. This way it is a
third, and what several requests have to say in one turn of the event loop is one packet. Connecting, packing and
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

Part = str | bytes | int | float
"""Of a command."""


class SharedConnection:
    """Commands to the Redis that a client of redis-py leads to; no blocking ones, which would hold up all others.

    It connects with its first command, and anew with the next one after a connection was lost.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._open: _OpenConnection | None = None
        self._connecting = asyncio.Lock()

    async def call(self, *command: Part) -> Any:
        """Redis's answer. Raises redis.RedisError or OSError; then the command may have been done or not. A connection
        that does not answer within SOCKET_TIMEOUT_S is lost, with all that waits for an answer on it, be it that who
        asked gave up before.
        """
        opened = self._open
        try:
            async with asyncio.timeout(SOCKET_TIMEOUT_S):
                if opened is not None and opened.silent_s() > SOCKET_TIMEOUT_S:
                    opened.end(RedisTimeoutError("no answer"))
                if opened is None or not opened.alive:
                    opened = await self._connected()
                return await opened.ask(command)
        except TimeoutError:
            if opened is not None:
                opened.end(RedisTimeoutError("no answer"))
            raise RedisTimeoutError("no answer") from None

    async def run(self, script: "Script", keys: Sequence[str], arguments: Sequence[Part]) -> Any:
        """What a script answers; otherwise as `call`."""
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
                except BaseException:  # who waits may give up, and the loop would keep the socket
                    await connection.disconnect(nowait=True)
                    raise
                self._open = _OpenConnection(connection)
            return self._open


class Script:
    """A Lua script, which Redis keeps under its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _OpenConnection:
    """A connection in use, until it is lost. connection: open."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._outgoing: list[bytes] = []
        self._something = asyncio.Event()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._lost: Exception | None = None
        self._serving = asyncio.create_task(self._serve())

    @property
    def alive(self) -> bool:
        return self._lost is None

    def silent_s(self) -> float:
        """For how long the oldest command has been without an answer; 0 when there is none."""
        return asyncio.get_running_loop().time() - self._waiting[0][0] if self._waiting else 0.0

    def ask(self, command: Sequence[Part]) -> asyncio.Future[Any]:
        """The answer to come; who gives it up does not disturb the others. Raises what the connection was lost of."""
        if self._lost is not None:
            raise self._lost
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._outgoing += self._connection.pack_command(*command)
        self._waiting.append((loop.time(), future))
        self._something.set()
        return future

    def end(self, error: Exception) -> None:
        """Take it for lost: whatever waits fails with that error."""
        self._lost = self._lost or error
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
        if asyncio.current_task() is not self._serving:
            self._serving.cancel()
            self._something.set()

    async def close(self) -> None:
        self.end(RedisConnectionError("closed"))
        await asyncio.wait({self._serving})

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._write())
                both.create_task(self._read())
        except* (RedisError, OSError) as errors:
            self.end(RedisConnectionError(f"connection lost: {type(errors.exceptions[0]).__name__}"))
        finally:
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        # Not for ever: in Python 3.11, wait_for, which is inside, drops a cancellation that comes as it ends.
        while self._lost is None:
            await self._something.wait()
            self._something.clear()
            packed, self._outgoing = self._outgoing, []
            await self._connection.send_packed_command(packed, check_health=False)

    async def _read(self) -> None:
        while True:
            answer: Any
            try:
                answer = await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except ResponseError as error:  # an answer too: to this command alone
                answer = error
            _, future = self._waiting.popleft()
            if future.done():  # nobody waits for it any more
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
