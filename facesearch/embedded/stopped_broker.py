"""The embedded broker on its files while the service is stopped, for a command that reads or writes control data."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from redis import BusyLoadingError, Redis, RedisError

from facesearch.embedded import servers
from shared.errors import OperatorError
from shared.host.parent import die_with_parent
from shared.redis_clients import connect_blocking

ANSWER_S: Final = 60.0
"""Of one command: some read or write control data as a whole."""

POLL_S: Final = 0.02


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Redis]:
    """A client of a broker on the files of this folder, which nobody else may have open; it ends with the block, and
    what was written is in the files then. options: more of the server's. Raises OperatorError when it cannot load them.
    """
    with tempfile.TemporaryDirectory(prefix="facesearch-") as run:
        socket = Path(run) / "broker.sock"
        process = subprocess.Popen(  # noqa: S603 -- the packaged binary
            [*servers.broker_command(folder, socket), *options],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 -- commands have one thread
        )
        try:
            with connect_blocking(servers.url(socket), ANSWER_S) as redis:
                while not _answers(redis):
                    if process.poll() is not None:
                        raise OperatorError(f"the broker cannot load its files in {folder}: {_last_word(folder)}")
                    time.sleep(POLL_S)
                yield redis
        finally:
            process.terminate()
            process.wait()


def _answers(redis: Redis) -> bool:
    """Whether it has loaded its files, however long that takes."""
    try:
        return bool(redis.ping())
    except (BusyLoadingError, RedisError):
        return False


def _last_word(folder: Path) -> str:
    """Why the server ended, from its log."""
    try:
        lines = (folder / "valkey.log").read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    # <process>:<role> <day and time> <level> <what it says>
    said = [line.partition(" # ")[2] for line in lines if " # " in line]
    return said[-1] if said else "its log says nothing"
