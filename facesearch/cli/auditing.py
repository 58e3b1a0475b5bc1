"""What the commands tell of their changes: the audit trail (shared/audit.py), and a last line of JSON on stderr, unless
that is a terminal, where the person who gave the command sees what it did.
"""

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

from facesearch.cli.connection import ask
from facesearch.cli.console import remark
from shared.audit import Event, keep, keep_blocking
from shared.control import Control

T = TypeVar("T")


def change(
    data_dir: Path | None, action: str, do: Callable[[Control], Awaitable[T]], subject: Callable[[T], dict[str, str]]
) -> T:
    """Change control data, and tell. subject: makes of what was done the fields of an Event. Raises OperatorError when
    the control data cannot be reached, or refuses.
    """

    async def done(control: Control) -> T:
        made = await do(control)
        event = _event(action, subject(made))
        try:
            await keep(control.redis, event)
        except RedisError as error:
            _not_kept(error)
        _say(event)
        return made

    return ask(data_dir, done)


def tell(redis: Redis, action: str) -> None:
    """That something was done to the service as a whole."""
    event = _event(action, {})
    try:
        keep_blocking(redis, event)
    except RedisError as error:
        _not_kept(error)
    _say(event)


def _event(action: str, subject: dict[str, str]) -> Event:
    return Event.model_validate({"action": action, "by": f"command, {_user()} on {socket.gethostname()}", **subject})


def _user() -> str:
    """Who runs the command, as the system knows it, and who became that with sudo."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # in a container
        name = f"uid {number}"
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before else name


def _not_kept(error: RedisError) -> None:
    remark(f"warning: it is done, and the audit trail does not have it ({type(error).__name__})")


def _say(event: Event) -> None:
    if not sys.stderr.isatty():
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = json.dumps({"event": "audit", **event.fields(), "level": "warning", "timestamp": at})
        click.get_current_context().call_on_close(lambda: remark(line))
