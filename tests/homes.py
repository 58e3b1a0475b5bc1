"""A data directory as a stopped service leaves it, made without a service, and commands on it."""

import asyncio
import uuid
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from redis import Redis

from facesearch.cli.main import main
from facesearch.embedded import data_directory, stopped_broker
from shared.control import DEFAULT, Control
from shared.redis_clients import connect
from shared.settings import Settings
from worker.models import catalog
from worker.models.identity import Identity
from worker.models.spaces import spaces_of
from worker.store.base import Person, Point, Store, Vector
from worker.store.edge.store import EdgeStore

NOTHING = {"REDIS_URL": "", "QDRANT_URL": "", "QDRANT_API_KEY": ""}


@cache  # since to read the settings takes milliseconds, and each face asks
def ours() -> Identity:
    """Return the identity of new facedbs of a worker with default settings."""
    return spaces_of(catalog.find(Settings().embedder, "embedding")).preferred


def with_preprocessing(version: int) -> Identity:
    """Return the identity of facedbs with that preprocessing, which workers with default settings serve."""
    (found,) = (
        identity
        for identity, preprocessing in spaces_of(catalog.find(Settings().embedder, "embedding")).preprocessings.items()
        if preprocessing.version == version
    )
    return found


def unit(seed: int) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(ours().dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def faces(count: int, first: int = 0) -> list[Point]:
    """Return new faces. Every second one is as an earlier release added it, without other attributes than a name."""
    plain = [Point(uuid.uuid4(), f"ID{number}", unit(number)) for number in range(first, first + count)]
    for number in range(0, count, 2):
        attributes = {"external_id": f"customer-{number}", "metadata": {"z": [2**70, "山"], "a": None}}
        plain[number] = replace(plain[number], added=1_790_000_000_000_000 + number, **attributes)
    return plain


def command(*arguments: object, **settings: str) -> Result:
    """Run `facesearch ARGUMENTS`, in embedded mode unless settings name servers."""
    return CliRunner().invoke(main, [*map(str, arguments)], env=NOTHING | settings, catch_exceptions=False)


def done(*arguments: object, **settings: str) -> str:
    """Run a command that must succeed. Returns its standard output."""
    result = command(*arguments, **settings)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object, **settings: str) -> str:
    """Run a command that must fail with one line. Returns the line."""
    result = command(*arguments, **settings)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("facesearch: ")]
    assert len(lines) == 1, result.stderr
    assert not result.stdout
    return lines[0].removeprefix("facesearch: ")


async def _facedbs(url: str) -> tuple[str, str]:
    async with connect(url) as redis:
        control = Control(redis)
        await control.set_first_key("a first key")
        facedb = await control.default_facedb(DEFAULT)
        assert facedb is not None
        return facedb.collection, (await control.create_facedb(DEFAULT, "staff")).collection


@dataclass
class Home:
    """A data directory with two facedbs of one tenant. points: the faces of the first; its names were counted to 10."""

    folder: Path
    points: list[Point] = field(default_factory=lambda: faces(5))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        with self.broker() as redis:
            url = f"unix://{redis.connection_pool.connection_kwargs['path']}"
            self.collection, self.staff = asyncio.run(_facedbs(url))
            redis.set(f"fs:names:{self.collection}", 10)
            redis.sadd("fs:usage:days", "2026-01-31")
            redis.hset("fs:usage:2026-01-31", "default|0123456789ab|addface|OK", 7)
            redis.hset("fs:once:default:cafe", mapping={"asked": b"\xff\x00", "outcome": "{}"})
            redis.expire("fs:once:default:cafe", 3600)
            redis.set("fs:drawn:passing", 1)
            redis.lpush("facesearch", "a job")
        with closing(self.store()) as store:
            store.add(self.collection, self.points)
        for name in (data_directory.API_KEY, data_directory.ADMIN_KEY):
            data_directory.load_or_create_key(self.folder / name)

    def add_to_all(self) -> None:
        """Add a face to the second facedb."""
        with closing(self.store()) as store:
            store.add(self.staff, faces(1))

    def broker(self) -> AbstractContextManager[Redis]:
        """Return a context with a client of the broker of the data directory, which runs in the context only."""
        return stopped_broker.serving(self.folder / "valkey")

    def store(self) -> EdgeStore:
        return EdgeStore(self.folder / "faces", ours(), open_limit=2)


def read(store: Store, collection: str) -> dict[uuid.UUID, tuple[Person, bytes]]:
    """Return all faces of a collection by id: person and vector."""
    return {point.person_id: (point.person, point.vector.tobytes()) for point in store.points(collection)}
