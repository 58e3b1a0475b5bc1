"""Access of the commands to control data. Changes go into the audit trail (shared/audit.py) and, unless stderr is a
terminal, into a last line of JSON on stderr, for logs.
"""

import asyncio
import json
import os
import pwd
import socket
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from redis import Redis, RedisError

from facesearch.cli.console import remark, settings_from
from facesearch.embedded.broker import broker_url, describe_failure, not_running
from shared.audit import Event, keep, keep_blocking
from shared.control import FIRST_KEY_FILE, Control, Facedb, Tenant, Unknown
from shared.control.layout import facedb_key, readable, tenant_key
from shared.errors import OperatorError
from shared.redis_clients import connect

T = TypeVar("T")


def query(data_dir: Path | None, operation: Callable[[Control], Awaitable[T]]) -> T:
    """Return the operation's result. Raises OperatorError if the control data cannot be reached or the operation
    raises it.
    """
    settings = settings_from(data_dir=data_dir)

    async def run() -> T:
        async with connect(broker_url(settings)) as redis:
            return await operation(Control(redis, first_key_file=settings.data_dir.expanduser() / FIRST_KEY_FILE))

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        why = not_running(settings) if settings.redis_url is None else describe_failure(settings, error)
        raise OperatorError(why) from None


def change(
    data_dir: Path | None,
    action: str,
    operation: Callable[[Control], Awaitable[T]],
    subject: Callable[[T], dict[str, str]],
) -> T:
    """Run an operation that changes control data, record it as an audit event and return its result. subject makes the
    fields of the Event from the result. Raises OperatorError as `query` does.
    """

    async def run(control: Control) -> T:
        result = await operation(control)
        event = _event(action, subject(result))
        try:
            await keep(control.redis, event)
        except RedisError as error:
            _warn_not_kept(error)
        _log(event)
        return result

    return query(data_dir, run)


def facedb_of(redis: Redis, tenant: str, facedb: str | None) -> Facedb:
    """Return a facedb, or the tenant's default one. Raises RedisError, and Unknown if there is none."""
    for owner in readable(Tenant, [redis.get(tenant_key(tenant))]):  # type: ignore[list-item]
        name = facedb or owner.facedb
        for found in readable(Facedb, [redis.get(facedb_key(tenant, name))]):  # type: ignore[list-item]
            return found
        raise Unknown.facedb(tenant, name)
    raise Unknown.tenant(tenant)


def record_event(redis: Redis, action: str, **subject: str) -> None:
    """Record an audit event. subject: fields of the Event; without any it is about the service as a whole."""
    event = _event(action, subject)
    try:
        keep_blocking(redis, event)
    except RedisError as error:
        _warn_not_kept(error)
    _log(event)


def author() -> str:
    """Return who changes something by a command, for the audit trail."""
    return f"command, {_user()} on {socket.gethostname()}"


def _event(action: str, subject: dict[str, str]) -> Event:
    return Event.model_validate({"action": action, "by": author(), **subject})


def _user() -> str:
    """Return the name of the user who runs the command, and of the one who called sudo."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # in a container
        name = f"uid {number}"
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before else name


def _warn_not_kept(error: RedisError) -> None:
    remark(f"warning: it is done, and the audit trail does not have it ({type(error).__name__})")


def _log(event: Event) -> None:
    if not sys.stderr.isatty():
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = json.dumps({"event": "audit", **event.fields(), "level": "warning", "timestamp": at})
        click.get_current_context().call_on_close(lambda: remark(line))
