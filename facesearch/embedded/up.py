"""`facesearch up`: the whole service on one machine, in one command."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
from pydantic import SecretStr
from redis import BusyLoadingError, RedisError
from redis.asyncio import Redis

from facesearch.embedded import data_directory, servers
from facesearch.embedded.banner import welcome
from facesearch.embedded.broker import describe_redis_failure
from facesearch.embedded.sockets import Door, admin_port, listen
from facesearch.embedded.supervisor import Children, Command
from shared.broker_memory import MEMORY
from shared.control import Control
from shared.errors import OperatorError
from shared.host.descriptors import raise_limit
from shared.presence import DISK, FACEDBS, OK
from shared.redis_clients import connect
from shared.settings import Settings

READY_S: Final = 60.0
"""How long everything may take to start."""

ANSWER_S: Final = 5.0
"""How long a Redis that is given may take for its first answer: it is there, or somebody has to be told."""

POLL_S: Final = 0.05

GRACE_S: Final = 10.0
"""How much longer than a deadline a child may take to end: above the gateway's own margin."""


async def up(settings: Settings, say: Callable[[str], None], *, at_terminal: bool) -> None:
    """Start everything, report, and run until SIGINT or SIGTERM; then stop everything in order. at_terminal: what is
    said is read at once and not kept, so that an API key that was just made may be shown.

    A second signal ends the children at once. Raises OperatorError when something cannot start.
    """
    raise_limit()
    async with AsyncExitStack() as stack:
        await _require_given(settings)
        folder = stack.enter_context(data_directory.opened(settings.data_dir))
        listening = stack.enter_context(listen(settings.host, settings.port))
        admin_listening = stack.enter_context(listen(settings.admin_host, admin_port(settings), "--admin-port"))
        run = stack.enter_context(data_directory.run_folder(folder))
        children = await stack.enter_async_context(Children())
        stop = _stop_on_signals(children)
        key_file = None if settings.api_key else folder / data_directory.API_KEY
        is_new = key_file is not None and not key_file.exists()
        api = Door(listening, _key(settings.api_key, folder / data_directory.API_KEY))
        admin = Door(admin_listening, _key(settings.admin_key, folder / data_directory.ADMIN_KEY))
        if await _unless(stop, _start(children, settings, folder, run, api, admin)):
            children.are_up()
            shown = api.key if is_new and at_terminal else None
            valid = await _opens(settings, folder, api.key)
            where = "FACESEARCH_ADMIN_KEY" if settings.admin_key else str(folder / data_directory.ADMIN_KEY)
            say(welcome(api.address, key_file, admin.address, where, folder, shown, valid=valid))
            await _warn(api.address, say)
            await stop.wait()
        say("facesearch is stopping")
    say("facesearch has stopped")


async def _require_given(settings: Settings) -> None:
    """Raises OperatorError, which names the setting, unless every Redis that is given answers."""
    if settings.redis_url is None:
        return  # both are embedded
    urls = {"REDIS_URL": settings.broker}
    if settings.images_url is not None:
        urls["FACESEARCH_IMAGES_URL"] = settings.images
    for variable, url in urls.items():
        async with connect(url) as redis:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await redis.ping()
            except BusyLoadingError:
                continue  # it reads its append-only file, for which the children wait
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                raise OperatorError(describe_redis_failure(url, variable, error)) from None


def _key(given: SecretStr | None, path: Path) -> str:
    return given.get_secret_value() if given else data_directory.kept_key(path)


async def _start(children: Children, settings: Settings, folder: Path, run: Path, api: Door, admin: Door) -> None:
    """Start the children, those that others need first, and return when the service is ready."""
    environment = {
        "FACESEARCH_DATA_DIR": str(folder),
        "FACESEARCH_MODELS_DIR": str(settings.models_dir),
        "FACESEARCH_LOG_LEVEL": settings.log_level,
        "FACESEARCH_LOG_FORMAT": settings.log_format,
    }
    async with asyncio.timeout(READY_S):
        if settings.redis_url is None:
            environment |= await _start_valkeys(children, folder, run, settings)
        # Two processes, two ports; what else the environment says holds for both.
        port = settings.metrics_port
        metrics = {} if port is None else {"FACESEARCH_METRICS_PORT": str(port + 1)}
        grace_s = settings.deadline_s + GRACE_S
        worker = [sys.executable, "-m", "worker"]
        await children.start(Command("worker", worker, environment | metrics, grace_s=grace_s, gives_reason=True))
        keys = {"FACESEARCH_API_KEY": api.key, "FACESEARCH_ADMIN_KEY": admin.key}
        inherited = [door.listening.fileno() for door in (api, admin)]
        argv = [sys.executable, "-m", "gateway", "--fd", str(inherited[0]), "--admin-fd", str(inherited[1])]
        await children.start(
            Command("gateway", argv, environment | keys, inherited, grace_s=grace_s + settings.drain_s)
        )
        async with aiohttp.ClientSession() as session:
            while not _works(await _parts(session, api.address)):
                children.require_alive()
                await asyncio.sleep(POLL_S)


async def _opens(settings: Settings, folder: Path, key: str) -> bool:
    """Whether the key still opens anything: an operator may have revoked it."""
    url = settings.broker if settings.redis_url else servers.url(data_directory.broker_socket(folder))
    try:
        async with connect(url) as redis:
            return await Control(redis).key(key) is not None
    except (RedisError, OSError):
        return True  # it was ready a moment ago; nothing is said that is not known


async def _start_valkeys(children: Children, folder: Path, run: Path, settings: Settings) -> dict[str, str]:
    """The settings that lead to them."""
    broker, images = run / "broker.sock", run / "images.sock"
    sync, most_bytes = settings.sync == "always", servers.broker_bytes(settings)
    command = servers.broker_command(folder / "valkey", broker, sync=sync, most_bytes=most_bytes)
    await children.start(Command("broker", command))
    await children.start(Command("image store", servers.images_command(folder / "images", images)))
    for path in (broker, images):
        async with Redis.from_url(servers.url(path)) as redis:
            while not await _answers(redis):
                children.require_alive()
                await asyncio.sleep(POLL_S)
    return {"REDIS_URL": servers.url(broker), "FACESEARCH_IMAGES_URL": servers.url(images)}


async def _answers(redis: Redis) -> bool:
    """Whether it serves: not while there is no socket, nor while it reads its append-only file."""
    try:
        await redis.ping()
    except (RedisError, OSError):
        return False
    return True


async def _parts(session: aiohttp.ClientSession, address: str) -> dict[str, str]:
    """How each part of the service is; nothing as long as the gateway does not answer."""
    try:
        async with session.get(f"{address}/readyz", params={"verbose": "1"}) as response:
            parts: dict[str, str] = (await response.json())["message"]
            return parts
    except aiohttp.ClientError:
        return {}


def _works(parts: dict[str, str]) -> bool:
    """Whether calls are answered, though perhaps not all of them or not for long."""
    return bool(parts) and all(state == OK for part, state in parts.items() if part not in (FACEDBS, MEMORY, DISK))


async def _warn(address: str, say: Callable[[str], None]) -> None:
    """Say what cannot be used of a service that works."""
    async with aiohttp.ClientSession() as session:
        parts = await _parts(session, address)
    for part in (FACEDBS, MEMORY, DISK):
        if (state := parts.get(part, OK)) != OK:
            say(f"Not all of it can be used: {state}.\n")


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
