"""A TCP proxy that passes everything on to one server, or disturbs connections as networks do."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any, Final, Self

CHUNK: Final = 65_536

WAIT_S: Final = 10.0
"""Limit of an operation in the proxy's thread, which takes no time."""


class Mode(Enum):
    """WIRE: everything passes, both ways. DROP: connections are accepted, and all data is dropped. HALF_CLOSE: requests
    pass, and callers get an end of file instead of answers. HOLD: requests are held, to be passed on late.
    """

    WIRE = "wire"
    DROP = "drop"
    HALF_CLOSE = "half-close"
    HOLD = "hold"


class Proxy:
    """A proxy that runs inside a with block, on `port` of 127.0.0.1. It begins as a wire. target: host and port, or the
    path of a Unix socket.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self.mode = Mode.WIRE
        self.delay_s = 0.0
        self._late_s = 0.0
        self._connections: set[_Connection] = set()
        self._released = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def passes(self, late_s: float = 0.0) -> None:
        """Pass everything on from now on.

        Held data is passed on after `late_s` more seconds, as by a network that retransmits. A connection on which data
        was dropped is cut, since no network delivers a stream with a hole.
        """
        self._late_s = late_s
        self._do(self._change(Mode.WIRE))

    def drops(self) -> None:
        self._do(self._change(Mode.DROP))

    def half_closes(self) -> None:
        self._do(self._change(Mode.HALF_CLOSE))

    def holds(self) -> None:
        self._do(self._change(Mode.HOLD))

    def delays(self, seconds: float) -> None:
        """Delay all data by that many seconds, each way; 0 for no delay."""
        self.delay_s = seconds

    def refuses(self) -> None:
        """Refuse new connections. Existing ones go on."""
        self._do(self._stop_listening())

    def accepts(self) -> None:
        """Accept connections again, after `refuses`."""
        self._do(self._listen())

    def cuts(self) -> None:
        """Reset all connections, as a restarted machine does."""
        self._do(self._cut())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(WAIT_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        await self._cut()

    async def _cut(self) -> None:
        cut = set(self._connections)
        for connection in cut:
            connection.cut()
        while cut & self._connections:  # some callers connect again before all of these are gone
            await asyncio.sleep(0)

    async def _change(self, mode: Mode) -> None:
        self.mode = mode
        released, self._released = self._released, asyncio.Event()
        released.set()
        for connection in tuple(self._connections):
            if mode is Mode.HALF_CLOSE:
                connection.half_close()
            if mode is Mode.WIRE and connection.lossy:
                connection.cut()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run(self._target)
        finally:
            self._connections.remove(connection)

    async def lets_through(self, *, from_caller: bool) -> bool:
        """Return whether data that was read is to be passed on; returns when it is due."""
        while from_caller and self.mode is Mode.HOLD:
            await self._released.wait()
            await asyncio.sleep(self._late_s)
        return self.mode is not Mode.DROP


class _Connection:
    """A caller's connection, and the connection to the server for it. lossy: data on it was dropped."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._task = asyncio.current_task()
        self.lossy = False
        self._closed_half = False

    def cut(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()
        if self._task is not None:
            self._task.cancel()

    def half_close(self) -> None:
        """Send the caller an end of file; what it sends still passes."""
        self._closed_half = True
        with suppress(OSError):
            self._writer.write_eof()

    async def run(self, target: tuple[str, int] | str) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._proxy.mode is Mode.HALF_CLOSE:
                self.half_close()
            if isinstance(target, str):
                answers, upstream = await asyncio.open_unix_connection(target)
            else:
                answers, upstream = await asyncio.open_connection(*target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(self._reader, upstream, from_caller=True))
                group.create_task(self._pump(answers, self._writer, from_caller=False))
        except* (OSError, asyncio.CancelledError):
            pass  # either end is gone, or this connection is cut
        finally:
            for each in (self._writer, upstream):
                if each is not None:
                    each.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, from_caller: bool) -> None:
        """Copy from one end to the other in order, each chunk when it is due, and the end of file last."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def read() -> None:
            chunk = None
            while chunk != b"":
                chunk = await source.read(CHUNK)
                await due.put((loop.time() + self._proxy.delay_s, chunk))

        async def write() -> None:
            chunk = None
            while chunk != b"":
                when, chunk = await due.get()
                await asyncio.sleep(when - loop.time())
                if not await self._proxy.lets_through(from_caller=from_caller):
                    self.lossy = True
                elif from_caller or not self._closed_half:
                    sink.write(chunk)
                    await sink.drain()
            if not self.lossy and (from_caller or not self._closed_half):
                sink.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            group.create_task(write())
