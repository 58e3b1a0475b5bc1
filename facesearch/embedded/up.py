"""The whole service on one machine: two Valkey servers, a worker and the processes of a gateway as child processes."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
from pydantic import SecretStr
from redis import BusyLoadingError, RedisError
from redis.asyncio import Redis

from facesearch.embedded import banner, data_directory, servers
from facesearch.embedded.broker import broker_url, describe_redis_failure
from facesearch.embedded.sockets import Endpoint, admin_port, listen
from shared.broker_memory import MEMORY
from shared.control import Control
from shared.errors import OperatorError
from shared.gateway_process import GRACE_S, GatewayProcesses, chosen
from shared.heartbeat import DISK, FACEDBS, OK
from shared.host.descriptors import raise_limit
from shared.redis_clients import connect
from shared.settings import Settings
from shared.supervisor import Children, Command, stop_on_signals

READY_S: Final = {"cpu": 60.0, "cuda": 300.0}
"""Time within which the service must be ready, by the device of its models: on a GPU each is run in every usual shape
first, which was not measured."""

ANSWER_S: Final = 5.0
"""Time within which a Redis of the settings must answer first."""

POLL_S: Final = 0.05


async def up(settings: Settings, say: Callable[[str], None], *, at_terminal: bool) -> None:
    """Start everything, print the banner, run until SIGINT or SIGTERM and stop everything in order.

    A second signal kills the children. at_terminal: whether `say` writes to a terminal only, so that a new API key may
    be shown. Raises OperatorError if something cannot start.
    """
    raise_limit()
    gateways = chosen(settings)
    async with AsyncExitStack() as stack:
        await _require_reachable(settings)
        folder = stack.enter_context(data_directory.opened(settings.data_dir))
        listening = stack.enter_context(listen(settings.host, settings.port))
        admin_listening = stack.enter_context(listen(settings.admin_host, admin_port(settings), "--admin-port"))
        run = stack.enter_context(data_directory.run_folder(folder))
        children = await stack.enter_async_context(Children())
        stop = stop_on_signals(children)
        key_file = None if settings.api_key else folder / data_directory.API_KEY
        is_new = key_file is not None and not key_file.exists()
        api = Endpoint(listening, _key(settings.api_key, folder / data_directory.API_KEY))
        admin = Endpoint(admin_listening, _key(settings.admin_key, folder / data_directory.ADMIN_KEY))
        if await _finishes_before(stop, _start(children, settings, folder, run, api, admin, gateways)):
            children.mark_up()
            shown = api.key if is_new and at_terminal else None
            valid = await _is_valid(settings, api.key)
            admin_key = "FACESEARCH_ADMIN_KEY" if settings.admin_key else str(folder / data_directory.ADMIN_KEY)
            say(
                banner.render(
                    api.address,
                    key_file,
                    admin.address,
                    admin_key,
                    folder,
                    shown,
                    valid=valid,
                    console=settings.pages,
                )
            )
            await _warn_of_unusable_parts(api.address, say)
            await stop.wait()
        say("facesearch is stopping")
    say("facesearch has stopped")


async def _require_reachable(settings: Settings) -> None:
    """Raise OperatorError, which names the setting, unless every Redis of the settings answers."""
    if settings.redis_url is None:
        return  # both servers are embedded
    urls = {"REDIS_URL": settings.broker}
    if settings.images_url is not None:
        urls["FACESEARCH_IMAGES_URL"] = settings.images
    for variable, url in urls.items():
        async with connect(url) as redis:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await redis.ping()
            except BusyLoadingError:
                continue  # it loads its append-only file; the children wait for that
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                raise OperatorError(describe_redis_failure(url, variable, error)) from None


def _key(given: SecretStr | None, path: Path) -> str:
    return given.get_secret_value() if given else data_directory.load_or_create_key(path)


async def _start(
    children: Children, settings: Settings, folder: Path, run: Path, api: Endpoint, admin: Endpoint, gateways: int
) -> None:
    """Start the children in order of their dependencies, and return when the service is ready. gateways: number of the
    gateway's processes.
    """
    environment = {
        "FACESEARCH_DATA_DIR": str(folder),
        "FACESEARCH_MODELS_DIR": str(settings.models_dir),
        "FACESEARCH_LOG_LEVEL": settings.log_level,
        "FACESEARCH_LOG_FORMAT": settings.log_format,
    }
    async with asyncio.timeout(READY_S[settings.device]):
        if settings.redis_url is None:
            environment |= await _start_valkeys(children, folder, run, settings)
        # The gateway has metrics_port, the worker the next one.
        port = settings.metrics_port
        metrics = {} if port is None else {"FACESEARCH_METRICS_PORT": str(port + 1)}
        grace_s = settings.deadline_s + GRACE_S
        worker = [sys.executable, "-m", "worker"]
        await children.start(Command("worker", worker, environment | metrics, grace_s=grace_s, gives_reason=True))
        keys = {"FACESEARCH_API_KEY": api.key, "FACESEARCH_ADMIN_KEY": admin.key}
        gateway = GatewayProcesses(settings, gateways, run, environment | keys)
        await children.start(*gateway.commands([api.listening.fileno()], admin.listening.fileno()))
        async with aiohttp.ClientSession() as session:
            while not (_is_working(await _readiness(session, api.address)) and await _all_ready(gateway.sockets)):
                children.require_alive()
                await asyncio.sleep(POLL_S)


async def _is_valid(settings: Settings, key: str) -> bool:
    """Return whether the API key exists: an operator may have revoked it."""
    try:
        async with connect(broker_url(settings)) as redis:
            return await Control(redis).key(key) is not None
    except (RedisError, OSError):
        return True  # unknown: the broker answered a moment ago


async def _start_valkeys(children: Children, folder: Path, run: Path, settings: Settings) -> dict[str, str]:
    """Start both Valkey servers and return the settings with their URLs."""
    broker, images = run / "broker.sock", run / data_directory.IMAGES_SOCKET
    sync, max_bytes = settings.sync == "always", servers.broker_bytes(settings)
    command = servers.broker_command(folder / "valkey", broker, sync=sync, max_bytes=max_bytes)
    await children.start(Command("broker", command))
    await children.start(Command("image store", servers.images_command(folder / "images", images)))
    for path in (broker, images):
        async with Redis.from_url(servers.url(path)) as redis:
            while not await _answers(redis):
                children.require_alive()
                await asyncio.sleep(POLL_S)
    return {"REDIS_URL": servers.url(broker), "FACESEARCH_IMAGES_URL": servers.url(images)}


async def _answers(redis: Redis) -> bool:
    """Return whether the server answers: not before its socket exists, nor while it loads its append-only file."""
    try:
        await redis.ping()
    except (RedisError, OSError):
        return False
    return True


async def _readiness(session: aiohttp.ClientSession, address: str) -> dict[str, str]:
    """Return the state of each part of the service; empty while the gateway does not answer."""
    try:
        async with session.get(f"{address}/readyz", params={"verbose": "1"}) as response:
            parts: dict[str, str] = (await response.json())["message"]
            return parts
    except aiohttp.ClientError:
        return {}


async def _all_ready(sockets: Iterable[Path]) -> bool:
    """Return whether every process of the gateway with such a socket is ready: the address is answered by any."""
    for path in sockets:
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
                session.get("http://process/readyz") as response,
            ):
                if not response.ok:
                    return False
        except aiohttp.ClientError:
            return False
    return True


def _is_working(parts: dict[str, str]) -> bool:
    """Return whether calls are answered, although perhaps not all of them or not for long."""
    return bool(parts) and all(state == OK for part, state in parts.items() if part not in (FACEDBS, MEMORY, DISK))


async def _warn_of_unusable_parts(address: str, say: Callable[[str], None]) -> None:
    """Report the parts of a working service that cannot be used."""
    async with aiohttp.ClientSession() as session:
        parts = await _readiness(session, address)
    for part in (FACEDBS, MEMORY, DISK):
        if (state := parts.get(part, OK)) != OK:
            say(f"Not all of it can be used: {state}.\n")


async def _finishes_before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Return whether the work finished before the stop, which cancels it."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        try:
            await working
        except TimeoutError:
            raise OperatorError("not ready in time; `facesearch doctor` tells what is missing") from None
        return True
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return False
