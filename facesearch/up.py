"""`facesearch up`: the whole service on one machine, in one command."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
from redis import RedisError
from redis.asyncio import Redis

from facesearch import data, valkey
from facesearch.children import Children, Command
from shared.errors import OperatorError
from shared.settings import Settings

READY_S: Final = 60.0
"""How long everything may take to start."""

POLL_S: Final = 0.05

GATEWAY_GRACE_S: Final = 20.0
"""Requests in flight may finish: above the gateway's own limit."""


async def up(settings: Settings, say: Callable[[str], None]) -> None:
    """Start everything, report, and run until SIGINT or SIGTERM; then stop everything in order.

    A second signal ends the children at once. Raises OperatorError when something cannot start.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(data.opened(settings.data_dir))
        listening = stack.enter_context(listen(settings.host, settings.port))
        run = stack.enter_context(data.run_folder(folder))
        children = await stack.enter_async_context(Children())
        stop = _stop_on_signals(children)
        key = settings.api_key.get_secret_value() if settings.api_key else data.first_key(folder)
        if await _unless(stop, _start(children, settings, folder, run, listening, key)):
            say(_welcome(_address(listening), key, folder))
            await stop.wait()
        say("facesearch is stopping")
    say("facesearch has stopped")


async def _start(
    children: Children, settings: Settings, folder: Path, run: Path, listening: socket.socket, key: str
) -> None:
    """Start the children, those that others need first, and return when the service is ready."""
    environment = {
        "FACESEARCH_DATA_DIR": str(folder),
        "FACESEARCH_MODELS_DIR": str(settings.models_dir),
        "FACESEARCH_API_KEY": key,
        "FACESEARCH_LOG_LEVEL": settings.log_level,
        "FACESEARCH_LOG_FORMAT": settings.log_format,
    }
    async with asyncio.timeout(READY_S):
        if settings.redis_url is None:
            environment |= await _start_valkeys(children, folder, run)
        await children.start(Command("worker", [sys.executable, "-m", "worker"], environment))
        inherited = [listening.fileno()]
        argv = [sys.executable, "-m", "gateway", "--fd", str(listening.fileno())]
        await children.start(Command("gateway", argv, environment, inherited, grace_s=GATEWAY_GRACE_S))
        async with aiohttp.ClientSession() as session:
            while not await _is_ready(session, _address(listening)):
                children.require_alive()
                await asyncio.sleep(POLL_S)


async def _start_valkeys(children: Children, folder: Path, run: Path) -> dict[str, str]:
    """The settings that lead to them."""
    broker, images = run / "broker.sock", run / "images.sock"
    await children.start(Command("broker", valkey.broker_command(folder / "valkey", broker)))
    await children.start(Command("image store", valkey.images_command(folder / "images", images)))
    for path in (broker, images):
        async with Redis.from_url(valkey.url(path)) as redis:
            while not await _answers(redis):
                children.require_alive()
                await asyncio.sleep(POLL_S)
    return {"REDIS_URL": valkey.url(broker), "FACESEARCH_IMAGES_URL": valkey.url(images)}


async def _answers(redis: Redis) -> bool:
    """Whether it serves: not while there is no socket, nor while it reads its append-only file."""
    try:
        await redis.ping()
    except (RedisError, OSError):
        return False
    return True


async def _is_ready(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"{address}/readyz") as response:
            return response.ok
    except aiohttp.ClientError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """The listening socket of the gateway, held here so that callers queue while a gateway restarts.

    Raises OperatorError when the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise OperatorError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --host or --port"
        ) from None


def _address(listening: socket.socket) -> str:
    """URL for this machine: a wildcard address is reached through loopback."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_on_signals(children: Children) -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the next one kills."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            children.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether the work ended before the stop, which cancels it."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        try:
            await working
        except TimeoutError:
            raise OperatorError(f"not ready after {READY_S:.0f} s; `facesearch doctor` tells what is missing") from None
        return True
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return False


def _welcome(address: str, key: str, folder: Path) -> str:
    return f"""
facesearch is ready.

  address   {address}
  API key   {key}
  data      {folder}

Does it answer? This deletes a face that is not there, through the whole service:

  curl -s {address}/v1/delface -H 'X-API-Key: {key}' -d person_id=00000000-0000-0000-0000-000000000000

Add a face, then search for it:

  curl -s {address}/v1/addface -H 'X-API-Key: {key}' -F name=me -F img=@photo.jpg
  curl -s {address}/v1/searchface -H 'X-API-Key: {key}' -F img=@photo.jpg

Ctrl-C stops it.
"""
