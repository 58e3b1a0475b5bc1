"""Measures from outside the resources of a service's processes and of both its Redis."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import psutil
from redis import Redis

from service import Service
from shared.broker import RESULT_PREFIX
from shared.fair_queue import EXTRA, HELD
from shared.jobs import QUEUE

MIB: Final = float(2**20)

CHILDREN: Final = {"worker": "-m worker", "gateway": "-m gateway", "broker": "broker.sock", "images": "images.sock"}
"""Children of `facesearch up`, by texts that only their command lines contain."""

UP: Final = "up"

SERVERS: Final = ("broker", "images")

SAMPLED: Final = 200
"""Keys of a kind whose size or time to live is sampled."""


@dataclass(frozen=True)
class Process:
    """The resources of one process. memory_mb: private anonymous memory, in MiB. resident_mb: all its memory, with
    mapped files and its part of shared memory (PSS). mapped: how many parts of files it maps.
    """

    memory_mb: float
    resident_mb: float
    mapped: int
    files: int
    threads: int


@dataclass(frozen=True)
class Store:
    """The content of one Redis. kinds: the number of keys of each kind. used_mb: its memory in MiB, as it reports.
    kept_mb: the part of it that keys of KEPT take. queued: waiting jobs.
    """

    kinds: Counter[str]
    used_mb: float
    kept_mb: float
    queued: int


@dataclass(frozen=True)
class Reading:
    """All measurements at one time. at: seconds since the load began. requests: sent by then."""

    at: float
    requests: int
    processes: dict[str, Process]
    stores: dict[str, Store]


KEPT: Final = ("fs:once", "fs:drawn", "fs:deletion", "fs:async:job")
"""Kinds of which each request may leave one key, for as long as docs/state.md says (an hour or a day): in a
shorter run there are as many as such requests.
"""


class Reader:
    """Measures one service. It must be closed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        run = Path(service.folder).resolve() / "run"
        self._clients = {name: Redis.from_url(f"unix://{run}/{name}.sock") for name in SERVERS}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def read(self, at: float, requests: int) -> Reading:
        """Take a reading. Raises LookupError if a process is missing."""
        return Reading(at, requests, self._processes(), {name: self._store(name) for name in SERVERS})

    def has(self, key: str) -> bool:
        """Return whether the broker has that key."""
        return bool(self._clients["broker"].exists(key))

    def to_live(self) -> dict[str, int]:
        """Return the longest time to live of each kind of key, in seconds; -1 for never. Keys are sampled."""
        longest: dict[str, int] = {}
        for client in self._clients.values():
            for kind, keys in self._keys(client).items():
                left = [int(client.ttl(key)) for key in keys[:SAMPLED]]
                living = [seconds for seconds in left if seconds != -2]  # -2: expired meanwhile
                for_ever = -1 in living
                longest[kind] = -1 if for_ever else max(living, default=0)
        return longest

    def bytes_each(self) -> dict[str, int]:
        """Return the mean bytes of one key of each kind of KEPT, with its value."""
        client = self._clients["broker"]
        return {kind: round(size) for kind, size in self._sizes(client, self._keys(client)).items()}

    def _processes(self) -> dict[str, Process]:
        found = {UP: psutil.Process(self._service.process.pid)}
        found |= {name: self._service.child(text) for name, text in CHILDREN.items()}
        return {name: _process(process) for name, process in found.items()}

    def _store(self, name: str) -> Store:
        client = self._clients[name]
        keys = self._keys(client)
        kinds = Counter({kind: len(found) for kind, found in keys.items()})
        kept = sum(kinds[kind] * size for kind, size in self._sizes(client, keys).items())
        return Store(
            kinds,
            client.info("memory")["used_memory"] / MIB,
            kept / MIB,
            sum(int(client.llen(queue)) for queue in (QUEUE, EXTRA, HELD)),
        )

    @staticmethod
    def _keys(client: Redis) -> dict[str, list[bytes]]:
        found = defaultdict(list)
        for key in client.scan_iter(count=1000):
            found[kind(key.decode())].append(key)
        return found

    @staticmethod
    def _sizes(client: Redis, keys: dict[str, list[bytes]]) -> dict[str, float]:
        sizes = {}
        for each in KEPT:
            sampled = keys.get(each, [])[:: max(1, len(keys.get(each, [])) // SAMPLED)]
            with client.pipeline(transaction=False) as pipeline:
                for key in sampled:
                    pipeline.memory_usage(key)
                known = [size for size in pipeline.execute() if size is not None]
            if known:
                sizes[each] = fmean(known)
        return sizes


def kind(key: str) -> str:
    """Return the kind of a key: its text up to the second colon. The fair queue, asynchronous jobs and webhooks have
    keys of several things, and most of them only while jobs wait: there it is up to the third.

    >>> kind("fs:once:default:0a1b"), kind("celery-task-meta-0a1b.2c"), kind("unacked"), kind("fs:tenants")
    ('fs:once', 'celery-task-meta-', 'unacked', 'fs:tenants')
    >>> kind("fs:fair:line:default"), kind("fs:fair:waiting")
    ('fs:fair:line', 'fs:fair:waiting')
    """
    if key.startswith(RESULT_PREFIX):
        return RESULT_PREFIX
    return ":".join(key.split(":")[: 3 if key.startswith(("fs:fair:", "fs:async:", "fs:webhook:")) else 2])


def _process(process: psutil.Process) -> Process:
    of = Path(f"/proc/{process.pid}")
    try:
        sizes = dict(re.findall(r"^(\w+): +(\d+) kB$", (of / "smaps_rollup").read_text(), re.MULTILINE))
        mapped = sum("/" in line for line in (of / "maps").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        raise LookupError(process.pid) from None
    with process.oneshot():
        return Process(
            memory_mb=int(sizes["Anonymous"]) / 1024,
            resident_mb=int(sizes["Pss"]) / 1024,
            mapped=mapped,
            files=process.num_fds(),
            threads=process.num_threads(),
        )
