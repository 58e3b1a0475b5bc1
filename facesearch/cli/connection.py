"""The way to the control data of a service: by REDIS_URL, or through the socket in its data directory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from redis import AuthenticationError, RedisError
from redis.asyncio import Redis

from facesearch.cli.console import settings_from
from facesearch.embedded import data_directory, servers
from shared.control import FIRST_KEY_FILE, Control
from shared.errors import OperatorError
from shared.redis_clients import connect
from shared.redis_url import parse
from shared.settings import Settings

T = TypeVar("T")


def ask(data_dir: Path | None, question: Callable[[Control], Awaitable[T]]) -> T:
    """What the control data answers. Raises OperatorError when it cannot be reached, or refuses."""
    settings = settings_from(data_dir=data_dir)

    async def answer() -> T:
        async with _connected(settings) as redis:
            return await question(Control(redis, first_key_file=settings.data_dir.expanduser() / FIRST_KEY_FILE))

    try:
        return asyncio.run(answer())
    except (RedisError, OSError) as error:
        why = _not_running(settings) if settings.redis_url is None else silent(settings, error)
        raise OperatorError(why) from None


def silent(settings: Settings, error: BaseException) -> str:
    """What to say of the broker that gave an error, or no answer, instead of doing what it was asked."""
    kind = type(error).__name__
    if settings.redis_url is None:
        return f"the broker of {settings.data_dir} does not answer ({kind})"
    return unanswered(settings.broker, "REDIS_URL", error)


def unanswered(url: str, variable: str, error: BaseException) -> str:
    """The same of a Redis whose URL is in that variable."""
    where, kind = f"the Redis of {variable} at {parse(url)}", type(error).__name__
    if isinstance(error, AuthenticationError):
        return f"{where} refuses the login ({kind}); correct the user and password in {variable}"
    return f"{where} does not answer ({kind}); start it, or correct {variable}"


def _connected(settings: Settings) -> Redis:
    if settings.redis_url is None:
        socket = data_directory.broker_socket(settings.data_dir)
        if not socket.exists():
            raise OperatorError(_not_running(settings))
        url = servers.url(socket)
    else:
        url = settings.broker
    return connect(url)


def _not_running(settings: Settings) -> str:
    return f"no service runs on {settings.data_dir}; start it with `facesearch up`, or set REDIS_URL"
