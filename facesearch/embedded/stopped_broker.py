"""Control data for a command, while the service runs or while it is stopped."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from redis import BusyLoadingError, Redis, RedisError

from facesearch.embedded import data_directory, servers
from shared.errors import OperatorError
from shared.host.parent import die_with_parent
from shared.redis_clients import connect_blocking
from shared.settings import Settings

ANSWER_S: Final = 60.0
"""Time limit of one command to the broker: some read or write control data as a whole."""

POLL_S: Final = 0.02

ENDS_AT_ONCE: Final = ("--hz", "100")
"""Options by which a server notices within 10 ms that it is to end, not within the 100 ms of one that runs for long."""


@contextmanager
def connected(settings: Settings, say: Callable[[str], None]) -> Iterator[tuple[Redis, Path | None]]:
    """Yield a client of the service's broker, and the data directory if the service is stopped, locked for the block.
    Raises OperatorError if there is no such service.
    """
    if settings.redis_url is not None:
        with connect_blocking(settings.broker) as redis:
            yield redis, None
        return
    home = settings.data_dir.expanduser().absolute()
    data_directory.require_readable(home)
    if not (home / data_directory.BROKER).is_dir():
        raise OperatorError(f"no service has run on {home}; name its folder with --data-dir, or set REDIS_URL")
    with connect_blocking(servers.url(data_directory.broker_socket(home))) as redis:
        if _answers(redis):
            yield redis, None
            return
    with data_directory.opened(home):
        say(f"the service on {home} is stopped: its files are read without it")
        with serving(home / data_directory.BROKER) as redis:
            yield redis, home


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Redis]:
    """Run the embedded broker on the files of the folder, which no other process may have open, and yield a client.
    When the block ends, the files hold all that was written. options: more options of the server. Raises OperatorError
    when the server cannot load the files.
    """
    with tempfile.TemporaryDirectory(prefix="facesearch-") as run:
        socket = Path(run) / "broker.sock"
        process = subprocess.Popen(  # noqa: S603 -- the packaged binary
            [*servers.broker_command(folder, socket), *ENDS_AT_ONCE, *options],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 -- commands have one thread
        )
        try:
            with connect_blocking(servers.url(socket), ANSWER_S) as redis:
                while not _answers(redis):
                    if process.poll() is not None:
                        raise OperatorError(f"the broker cannot load its files in {folder}: {_last_message(folder)}")
                    time.sleep(POLL_S)
                yield redis
        finally:
            process.terminate()
            process.wait()


def _answers(redis: Redis) -> bool:
    """Return whether a server is there and has loaded its files."""
    try:
        return bool(redis.ping())
    except (BusyLoadingError, RedisError):
        return False


def _last_message(folder: Path) -> str:
    """Return why the server ended, from its log."""
    try:
        lines = (folder / "valkey.log").read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    # <process>:<role> <day and time> <level> <message>
    messages = [line.partition(" # ")[2] for line in lines if " # " in line]
    return messages[-1] if messages else "its log says nothing"
