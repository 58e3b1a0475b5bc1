"""Control data as lines of JSON, one for each key, which can be written to a Redis or Valkey of any version.

    {"key": …, "type": "string" | "set" | "hash" | "zset", "value": …, "expires": Unix time in milliseconds, or null}

A backup keeps what cannot be made again: tenants, keys and their records, face databases, counters of names and of
usage, collections to remove, and idempotency records. It leaves out images, the queue, outcomes, limits and presence.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, cast

from redis import Redis
from redis.client import Pipeline

from shared.control import DROP_AFTER_S, DROPPED, DROPPED_TENANTS, Facedb
from shared.control.layout import (
    FIRST_KEY,
    KEY_RECORDS,
    TENANT_IDS,
    TENANTS,
    WEBHOOK_SECRETS,
    facedb_key,
    facedbs_key,
    key_key,
    keys_key,
    tenant_key,
)
from shared.control.migrations import MIGRATIONS, Migration, read_migrations
from shared.errors import OperatorError
from shared.usage import DAYS, day_key

Type = Literal["string", "set", "hash", "zset"]
Value = str | list[str] | dict[str, str] | dict[str, float]

ONCE: Final = "fs:once:"
"""Prefix of the keys of idempotency records."""

ORDER: Final = "fs:once-order:"
"""Prefix of the keys that hold the order of these records. Not kept: restored records expire within a day."""

BATCH: Final = 1000
"""Keys that are read or written at once."""

_READERS: Final[dict[Type, Any]] = {
    "string": lambda pipe, key: pipe.get(key),
    "set": lambda pipe, key: pipe.smembers(key),
    "hash": lambda pipe, key: pipe.hgetall(key),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
}

_WRITERS: Final[dict[Type, Any]] = {
    "string": lambda pipe, key, value: pipe.set(key, value),
    "set": lambda pipe, key, value: pipe.sadd(key, *value),
    "hash": lambda pipe, key, value: pipe.hset(key, mapping=value),
    "zset": lambda pipe, key, value: pipe.zadd(key, value),
}


@dataclass(frozen=True)
class Entry:
    """A key and its value. value: a text, the sorted members of a set, the values of a hash by field, or the scores of
    a sorted set by member. expires: Unix time in milliseconds.
    """

    key: str
    type: Type
    value: Value
    expires: int | None = None

    def line(self) -> str:
        return json.dumps({"key": self.key, "type": self.type, "value": self.value, "expires": self.expires}) + "\n"

    @classmethod
    def parse(cls, line: str) -> "Entry":
        """Return the entry of a line, the inverse of `line`. Raises ValueError."""
        if not line.endswith("\n"):
            raise ValueError("cut short")
        found = json.loads(line)
        try:
            entry = cls(found["key"], found["type"], found["value"], found["expires"])
        except (KeyError, TypeError):
            raise ValueError("no entry") from None
        if len(found) != 4 or not entry.is_sound():
            raise ValueError("no entry")
        return entry

    def is_sound(self) -> bool:
        """Return whether the value fits the type. Empty sets and the like do not: Redis has no such keys."""
        if not isinstance(self.key, str) or (self.expires is not None and type(self.expires) is not int):
            return False
        value: Any = self.value
        match self.type:
            case "string":
                return isinstance(value, str)
            case "set":
                return isinstance(value, list) and bool(value) and all(isinstance(member, str) for member in value)
            case "hash":
                return isinstance(value, dict) and bool(value) and all(isinstance(held, str) for held in value.values())
            case "zset":
                return isinstance(value, dict) and bool(value) and all(type(s) in (int, float) for s in value.values())
        return False


def collections_of(redis: Redis) -> list[str]:
    """Return the stored collections of all face databases. Raises RedisError."""
    found = (collection for _, collection in _facedbs(redis, _members(redis, TENANTS)))
    return _stored((collection for collection in found if collection is not None), read_migrations(redis))


def kept(redis: Redis) -> list[Entry]:
    """Return a consistent view of control data, without idempotency records. Raises RedisError."""
    names: list[tuple[str, Type]] = []

    def read(pipe: Pipeline) -> None:
        # The keys that lead to others are watched: if one changes meanwhile, everything is read again.
        tenants = _members(pipe, TENANTS)
        if tenants:
            pipe.watch(  # type: ignore[no-untyped-call]
                *(key for tenant in tenants for key in (keys_key(tenant), facedbs_key(tenant)))
            )
        names[:] = _names(pipe, tenants)
        pipe.multi()
        _queue(pipe, names)

    return list(_entries(names, cast("list[Any]", redis.transaction(read, TENANTS, DAYS))))


def everything(redis: Redis) -> Iterator[Entry]:
    """Yield all keys that are kept, including those to which nothing leads. Keys of a type that facesearch does not use
    have no value. Raises RedisError.
    """
    patterns = ("tenants", "tenant:*", "key:*", "keys:*", "facedb:*", "facedbs:*", "dropped", "first-key", "names:*")
    for pattern in (
        *patterns,
        "confidence:*",
        "retention:*",
        "migrations",
        "tenant-ids",
        "dropped-tenants",
        "webhook-secrets",
        "key-records",
        "usage:days",
        "usage:????-??-??",
        "once:*",
    ):
        yield from _matching(redis, f"fs:{pattern}")


def records(redis: Redis) -> Iterator[Entry]:
    """Return the idempotency records. Raises RedisError."""
    return (entry for entry in _matching(redis, f"{ONCE}*") if entry.is_sound())


def read(path: Path) -> Iterator[Entry]:
    """Yield the entry of each line. Raises OperatorError, which names the line, if the file is damaged."""
    number = 1
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 -- for the message
                yield Entry.parse(line)
    except OSError as error:
        raise OperatorError(f"cannot read {path} ({error.strerror})") from None
    except ValueError:  # of UTF-8, of JSON, or of what it says
        raise OperatorError(f"{path} is damaged: line {number} is no key of control data") from None


def collections_in(entries: Sequence[Entry]) -> list[str]:
    """Return the stored collections of all face databases. Raises ValueError if a record is damaged."""
    facedbs = [Facedb.model_validate_json(str(e.value)) for e in entries if e.key.startswith("fs:facedb:")]
    return _stored((facedb.collection for facedb in facedbs), migrations_in(entries))


def migrations_in(entries: Iterable[Entry]) -> dict[str, Migration]:
    """Return the migrations by the collections of their facedbs. Raises ValueError if a record is damaged."""
    values = [cast("dict[str, str]", entry.value) for entry in entries if entry.key == MIGRATIONS]
    return {name: Migration.model_validate_json(record) for value in values for name, record in value.items()}


def _stored(collections: Iterable[str], migrations: Mapping[str, Migration]) -> list[str]:
    """Return the stored collections of facedbs, without what is to be removed. collections: the facedbs' own."""
    found: list[str] = []
    for collection in collections:
        migration = migrations.get(collection)
        stored = [] if migration is None else filter(None, (migration.current, migration.other))
        found += [collection] if migration is None else [each.name for each in stored]
    return found


def count_tenants(redis: Redis) -> int:
    """Raises RedisError."""
    return redis.scard(TENANTS)


def put(redis: Redis, entries: Sequence[Entry], idempotency_records: Iterable[Entry]) -> None:
    """Replace all control data: idempotency records first, then everything else in one transaction. Collections that
    only the old data knows are left for the workers to remove. Raises RedisError.
    """
    for begin in (ONCE, ORDER):
        for keys in _batches(redis.scan_iter(f"{begin}*", BATCH)):
            redis.delete(*keys)
    for some in _batches(idempotency_records):
        with redis.pipeline(transaction=False) as pipe:
            for entry in some:
                _write(pipe, entry)
            pipe.execute()
    old = kept(redis)
    new_collections = set(collections_in(entries))
    orphans = sorted(set(collections_of(redis)) - new_collections)
    seconds, _ = redis.time()
    with redis.pipeline() as pipe:
        for entry in old:
            pipe.delete(entry.key)
        for entry in entries:
            _write(pipe, entry)
        for collection in orphans:
            pipe.zadd(DROPPED, {collection: seconds + DROP_AFTER_S})
        pipe.execute()


def _write(pipe: Pipeline, entry: Entry) -> None:
    value: Any = entry.value
    _WRITERS[entry.type](pipe, _bytes(entry.key), _written(value))
    if entry.expires is not None:
        pipe.pexpireat(_bytes(entry.key), entry.expires)  # which removes it at once if that is past


def _matching(redis: Redis, pattern: str) -> Iterator[Entry]:
    for keys in _batches(redis.scan_iter(pattern, BATCH)):
        with redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.type(key)
            types = [found.decode() for found in pipe.execute()]
        kinds = [(_text(key), cast("Type", kind)) for key, kind in zip(keys, types, strict=True) if kind != "none"]
        yield from (Entry(name, kind, "") for name, kind in kinds if kind not in _READERS)
        names = [(name, kind) for name, kind in kinds if kind in _READERS]
        with redis.pipeline() as pipe:
            _queue(pipe, names)
            answers = pipe.execute()
        yield from _entries(names, answers)


def _queue(pipe: Pipeline, names: Iterable[tuple[str, Type]]) -> None:
    pipe.time()
    for name, kind in names:
        _READERS[kind](pipe, _bytes(name))
        pipe.pttl(_bytes(name))


def _entries(names: Sequence[tuple[str, Type]], answers: Sequence[Any]) -> Iterator[Entry]:
    seconds, microseconds = answers[0]
    now = seconds * 1000 + microseconds // 1000
    for (name, kind), value, left in zip(names, answers[1::2], answers[2::2], strict=True):
        if value:
            yield Entry(name, kind, _read(kind, value), now + left if left >= 0 else None)


def _read(kind: Type, value: Any) -> Value:
    match kind:
        case "set":
            return sorted(_text(member) for member in value)
        case "hash":
            return {_text(field): _text(held) for field, held in value.items()}
        case "zset":
            return {_text(member): score for member, score in value}
        case _:
            return _text(value)


def _written(value: Any) -> Any:
    if isinstance(value, str):
        return _bytes(value)
    if isinstance(value, list):
        return [_bytes(member) for member in value]
    return {_bytes(key): _bytes(held) if isinstance(held, str) else held for key, held in value.items()}


def _names(redis: Redis, tenants: Sequence[str]) -> list[tuple[str, Type]]:
    """Return the keys that are kept, found by following the references to them."""
    names: list[tuple[str, Type]] = [(TENANTS, "set"), (DROPPED, "zset"), (FIRST_KEY, "string"), (DAYS, "set")]
    names += [(KEY_RECORDS, "hash"), (TENANT_IDS, "hash"), (DROPPED_TENANTS, "zset"), (MIGRATIONS, "hash")]
    names.append((WEBHOOK_SECRETS, "hash"))
    for tenant in tenants:
        names += [(tenant_key(tenant), "string"), (keys_key(tenant), "hash"), (facedbs_key(tenant), "set")]
        digests = cast("list[bytes]", redis.hvals(keys_key(tenant)))
        names += [(key_key(_text(digest)), "string") for digest in digests]
    for key, collection in _facedbs(redis, tenants):
        names.append((key, "string"))
        names += [(key.replace("fs:facedb:", f"fs:{beside}:", 1), "string") for beside in ("confidence", "retention")]
        if collection is not None:
            names.append((f"fs:names:{collection}", "string"))
    names += [(day_key(day), "hash") for day in _members(redis, DAYS)]
    return names


def _facedbs(redis: Redis, tenants: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the key of each face database and its collection, None if the record is damaged."""
    for tenant in tenants:
        keys = [facedb_key(tenant, name) for name in _members(redis, facedbs_key(tenant))]
        values = cast("list[bytes | None]", redis.mget(keys)) if keys else []
        for key, value in zip(keys, values, strict=True):
            yield key, _collection(value)


def _collection(record: bytes | None) -> str | None:
    try:
        return None if record is None else Facedb.model_validate_json(record).collection
    except ValueError:
        return None


def _members(redis: Redis, key: str) -> list[str]:
    return sorted(_text(member) for member in cast("set[bytes]", redis.smembers(key)))


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while some := list(islice(iterator, BATCH)):
        yield some


def _text(value: bytes) -> str:
    """Decode any bytes: those that are no UTF-8 become lone surrogates, which JSON can hold."""
    return value.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
