"""The time of a backup of an embedded service, and its effect on searches meanwhile.

    PYTHONPATH=tests .venv/bin/python bench/backup.py [--quick]

`facesearch up` with 100,000 made-up faces (bench/made_up_faces.py) in one facedb is searched at a rate that it can
sustain, in alternating rounds alone and while `facesearch backup` runs again and again. Then a backup with the service
stopped, `facesearch verify` of the backup and of the data directory, and `facesearch restore` into an empty one. Prints
JSON, then a table. --quick: 10,000 faces, one round.
"""

import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import photos
import results
from made_up_faces import LikeSface
from servers import LOAD, UNLIMITED
from store import points
from summaries import medians

from facesearch.embedded import data_directory, servers
from processes import two_free_ports, wait_for, works
from shared.control import DEFAULT, Control
from shared.redis_clients import connect
from shared.settings import Settings
from worker.models import custom
from worker.models.spaces import spaces_of
from worker.store.edge.store import EdgeStore

RATE: Final = 20.0
"""Searches a second: half of what two cores do beside the client."""


@dataclass(frozen=True)
class Service:
    """A running `facesearch up`."""

    home: Path
    address: str
    key: str

    def collection(self) -> str:
        """Return the collection of the only facedb."""

        async def read() -> str:
            async with connect(servers.url(data_directory.broker_socket(self.home))) as redis:
                (facedb,) = await Control(redis).facedbs(DEFAULT)
                return facedb.collection

        return asyncio.run(read())


@contextmanager
def up(home: Path) -> Iterator[Service]:
    port, key = two_free_ports(), secrets.token_urlsafe(12)
    settings = {"FACESEARCH_API_KEY": key, **{name: str(value) for name, value in UNLIMITED.items()}}
    command = [sys.executable, "-m", "facesearch", "up", "--port", str(port), "--data-dir", str(home)]
    # Standard output is for figures.
    with subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL) as process:  # noqa: S603 -- our own
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: works(address), 90)
            yield Service(home, address, key)
        finally:
            process.terminate()


def fill(home: Path, collection: str, faces: int) -> None:
    settings = Settings()
    space = spaces_of(custom.find(settings.embedder, "embedding", settings.models_dir)).preferred
    with closing(EdgeStore(home / "faces", space, settings.edge_open_collections)) as store:
        batches = LikeSface().batches(1_000)
        while store.count(collection) < faces:
            store.add(collection, points(next(batches), store.count(collection)))


def searched(service: Service, seconds: float, files: Sequence[Path]) -> dict[str, Any]:
    command = [sys.executable, str(LOAD), service.address, service.key, "searchface", "open", str(RATE), str(seconds)]
    done = subprocess.run([*command, *map(str, files)], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 -- our own
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def timed(*arguments: object) -> float:
    """Return the seconds that a command took, its start included."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "facesearch", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- our own
    return time.monotonic() - begun


class BackingUp:
    """Makes backups again and again, from entering to leaving. seconds: the time of each."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.seconds: list[float] = []
        self._home, self._folder = home, folder
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                self.seconds.append(timed("backup", Path(folder) / "backup", "--data-dir", self._home))


def measure(folder: Path, faces: int, rounds: int, seconds: float) -> dict[str, Any]:
    home, backup, empty = folder / "home", folder / "backup", folder / "empty"
    files = photos.written(photos.small()[:16], folder / "photos")
    with up(home) as service:
        collection = service.collection()
    fill(home, collection, faces)
    alone, meanwhile, took = [], [], []
    with up(home) as service:
        searched(service, 2, files)
        for _ in range(rounds):
            alone.append(searched(service, seconds, files))
            with BackingUp(home, folder) as backing_up:
                meanwhile.append(searched(service, seconds, files))
            took += backing_up.seconds
        idle_s = timed("backup", folder / "idle", "--data-dir", home)
    stopped_s = timed("backup", backup, "--data-dir", home)
    return {
        "faces": faces,
        "alone": medians(alone),
        "during_backups": medians(meanwhile),
        "backup_under_load_s": round(statistics.median_high(took), 1),
        "backup_idle_s": round(idle_s, 1),
        "backup_stopped_s": round(stopped_s, 1),
        "backup_mb": round(sum(path.stat().st_size for path in backup.rglob("*") if path.is_file()) / 1e6, 1),
        "restore_s": round(timed("restore", backup, "--data-dir", empty), 1),
        "verify_backup_s": round(timed("verify", backup), 1),
        "verify_data_s": round(timed("verify", "--data-dir", empty), 1),
    }


def main() -> None:
    quick = results.is_quick()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), *((10_000, 1, 3.0) if quick else (100_000, 3, 15.0)))
    found = {"photos": photos.source(), **found}
    print(json.dumps(found))
    for name in ("alone", "during_backups"):
        run = found[name]
        print(f"{name:>15}: {run['per_second']:.1f}/s  p50 {run['p50_ms']:.0f}  p99 {run['p99_ms']:.0f} ms")
    print(", ".join(f"{name} {value}" for name, value in found.items() if name.endswith(("_s", "_mb"))))


if __name__ == "__main__":
    main()
