"""The way to the control data of a service: by REDIS_URL, or through the socket in its data directory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from redis import RedisError
from redis.asyncio import Redis

from facesearch import data, valkey
from facesearch.console import settings_from
from shared.control import Control
from shared.errors import OperatorError
from shared.redis_clients import connect
from shared.settings import Settings

T = TypeVar("T")


def ask(data_dir: Path | None, question: Callable[[Control], Awaitable[T]]) -> T:
    """What the control data answers. Raises OperatorError when it cannot be reached, or refuses."""
    settings = settings_from(data_dir=data_dir)

    async def answer() -> T:
        async with _connected(settings) as redis:
            return await question(Control(redis))

    try:
        return asyncio.run(answer())
    except (RedisError, OSError) as error:
        why = f"Redis does not answer ({type(error).__name__}); check REDIS_URL"
        if settings.redis_url is None:
            why = _not_running(settings)
        raise OperatorError(why) from None


def _connected(settings: Settings) -> Redis:
    if settings.redis_url is None:
        socket = data.broker_socket(settings.data_dir)
        if not socket.exists():
            raise OperatorError(_not_running(settings))
        url = valkey.url(socket)
    else:
        url = settings.broker
    return connect(url)


def _not_running(settings: Settings) -> str:
    return f"no service runs on {settings.data_dir}; start it with `facesearch up`, or set REDIS_URL"
