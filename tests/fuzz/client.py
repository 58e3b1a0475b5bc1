"""An HTTP client that sends any bytes, valid or not, and does not trust the answer."""

import asyncio
import contextlib

from oracle import Answer

ANSWER_S = 150
"""Seconds to wait for an answer, longer than any deadline of the service."""


class NoAnswer(Exception):
    """The connection ended or timed out before a whole answer came."""


async def ask(host: str, port: int, raw: bytes, *, head: bool = False) -> Answer:
    """Send these bytes on a new connection and return the first final answer. head: the answer has no body.

    Raises NoAnswer.
    """
    async with _connection(host, port) as (reader, writer):
        sending = asyncio.create_task(_send(writer, raw))  # a refusal may come before all is sent
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await _read(reader, head)
                while answer.code < 200:
                    answer = await _read(reader, head)
                return answer
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        finally:
            sending.cancel()


async def leave(host: str, port: int, raw: bytes) -> None:
    """Send these bytes and close the connection at once."""
    async with _connection(host, port) as (_, writer):
        await _send(writer, raw)


@contextlib.asynccontextmanager
async def _connection(host: str, port: int):
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _send(writer: asyncio.StreamWriter, raw: bytes) -> None:
    with contextlib.suppress(OSError):
        writer.write(raw)
        await writer.drain()


async def _read(reader: asyncio.StreamReader, head: bool) -> Answer:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, code, _ = lines[0].split(" ", 2)
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise ValueError(f"no HTTP: {lines[0]}")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    length = 0 if head or int(code) < 200 else int(headers["content-length"])
    return Answer(int(code), headers, await reader.readexactly(length))
