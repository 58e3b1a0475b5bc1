"""Consistency of control data: every reference finds its record, and every record is referenced."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from facesearch.backup.control_data import Entry, Type
from shared.contract import FACEDB
from shared.control import DROPPED, Confidence, Facedb, Key, KeyRecord, Retention, Tenant
from shared.control.layout import (
    FIRST_KEY,
    KEY_RECORDS,
    TENANT_IDS,
    TENANTS,
    facedb_key,
    facedbs_key,
    key_key,
    keys_key,
    tenant_key,
)
from shared.control.migrations import MIGRATIONS, Migration
from shared.usage import DAYS, day_key

Record = TypeVar("Record", bound=BaseModel)

_TYPES: Final[dict[str, Type]] = {
    "tenants": "set",
    "tenant": "string",
    "tenant-ids": "hash",
    "key": "string",
    "keys": "hash",
    "facedb": "string",
    "confidence": "string",
    "retention": "string",
    "facedbs": "set",
    "dropped": "zset",
    "dropped-tenants": "zset",
    "webhook-secrets": "hash",
    "first-key": "string",
    "key-records": "hash",
    "migrations": "hash",
    "names": "string",
    "usage": "hash",
    "once": "hash",
}
"""Type of a key by its second part; DAYS, a set, is an exception."""

_BESIDE_FACEDBS: Final[Sequence[tuple[str, type[BaseModel], str]]] = (
    ("confidence", Confidence, "searches there use the model's calibration; delete the key"),
    ("retention", Retention, "faces there are kept for good; set it with `facesearch facedbs retention`"),
)
"""Kinds of records beside those of facedbs, and what follows if one is damaged."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 12
"""Hex digits of a key's hash that are shown: enough to find it, and useless otherwise."""


class Consistency:
    """Control data and its problems."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.key: entry for entry in entries}
        self.collections: dict[str, str] = {}
        """Tenant by collection, for the face databases whose records can be read."""
        self.dropped: set[str] = set()
        self.owners: dict[str, str] = {}
        """The collection of the facedb by stored collection, for those that are or were migrated."""

    def problems(self) -> Iterator[str]:
        """Yield a line for each problem, with what to do. Fills `collections`, `dropped` and `owners`."""
        wrong_types = list(self._wrong_types())
        yield from wrong_types
        self.dropped = set(self._value(DROPPED, {}))
        tenants: list[str] = self._value(TENANTS, [])
        for tenant in tenants:
            yield from self._tenant(tenant)
        yield from self._unreached(tenants)
        yield from self._migrations()
        yield from self._beside_facedbs()
        yield from self._ids()
        yield from self._counters()

    def _wrong_types(self) -> Iterator[str]:
        for key, entry in sorted(self._entries.items()):
            expected = "set" if key == DAYS else _TYPES.get(key.split(":")[1] if ":" in key else "")
            if entry.type != expected:
                del self._entries[key]
                yield f"{_shown(key)} is a {entry.type}, not a {expected}: restore a backup, or delete the key"

    def _tenant(self, name: str) -> Iterator[str]:
        tenant, problem = self._record(tenant_key(name), Tenant)
        if problem:
            yield f"tenant {name}: {problem}; restore a backup, or drop and create the tenant"
        facedbs: list[str] = self._value(facedbs_key(name), [])
        if tenant is not None:
            if tenant.name != name:
                yield f"tenant {name}: its record is of {tenant.name}; restore a backup"
            if tenant.facedb not in facedbs:
                what = f"its default facedb {tenant.facedb} is not there"
                yield f"tenant {name}: {what}; choose another with `facesearch facedbs default`"
        for facedb in facedbs:
            yield from self._facedb(name, facedb)
        for key_id, digest in self._value(keys_key(name), {}).items():
            yield from self._key(name, key_id, digest)

    def _facedb(self, tenant: str, name: str) -> Iterator[str]:
        facedb, problem = self._record(facedb_key(tenant, name), Facedb)
        if facedb is None:
            yield f"facedb {name} of tenant {tenant}: {problem}; restore a backup: nothing else knows its collection"
            return
        if facedb.name != name:
            yield f"facedb {name} of tenant {tenant}: its record is of {facedb.name}; restore a backup"
        if facedb.collection in self.collections:
            yield (
                f"facedb {name} of tenant {tenant}: its collection {facedb.collection} is another facedb's too; "
                "drop neither, and restore a backup"
            )
        elif facedb.collection in self.dropped:
            yield f"facedb {name} of tenant {tenant}: its collection is to be removed; do not start; restore a backup"
        self.collections.setdefault(facedb.collection, tenant)

    def _key(self, tenant: str, key_id: str, digest: str) -> Iterator[str]:
        if key_key(digest) not in self._entries:
            return  # expired: it is forgotten when keys are listed next
        key, problem = self._record(key_key(digest), Key)
        if key is None:
            yield f"key {key_id} of tenant {tenant}: {problem}; revoke it and create another"
        elif (key.id, key.tenant) != (key_id, tenant):
            yield f"key {key_id} of tenant {tenant}: its record is of key {key.id} of {key.tenant}; revoke both"

    def _unreached(self, tenants: list[str]) -> Iterator[str]:
        """Yield the problems of records that no index has."""
        for key in sorted(self._entries):
            kind, _, rest = key.removeprefix("fs:").partition(":")
            if kind in {"tenant", "keys", "facedbs"} and rest not in tenants:
                yield f"{key}: there is no tenant {rest}; delete the key, or restore a backup"
            elif kind == "facedb":
                tenant, _, name = rest.partition(":")
                if tenant not in tenants or name not in self._value(facedbs_key(tenant), []):
                    yield f"{key}: no tenant has this facedb; delete the key, or restore a backup"
            elif kind == "key":
                key_record, problem = self._record(key, Key)
                if key_record is None:
                    if not self._is_indexed(rest, tenants):
                        yield f"{_shown(key)}: {problem}; delete the key"
                elif self._value(keys_key(key_record.tenant), {}).get(key_record.id) != rest:
                    yield (
                        f"key {key_record.id} of tenant {key_record.tenant} works and is in no list, so nobody can "
                        f"revoke it; delete {_shown(key)}"
                    )

    def _beside_facedbs(self) -> Iterator[str]:
        """Yield the problems of records of confidences and of retention. That of a dropped facedb, which an earlier
        release leaves, is none: a facedb of its name is told from it.
        """
        for key in sorted(self._entries):
            for kind, record_type, consequence in _BESIDE_FACEDBS:
                if key.startswith(f"fs:{kind}:"):
                    record, problem = self._record(key, record_type)
                    if record is None:
                        yield f"{key}: {problem}, so {consequence}"

    def _migrations(self) -> Iterator[str]:
        """Yield the problems of records of migrations. That of a dropped facedb waits for its collections' removal."""
        records: dict[str, str] = self._value(MIGRATIONS, {})
        for collection, text in sorted(records.items()):
            try:
                migration = Migration.model_validate_json(text)
            except ValidationError:
                yield f"{MIGRATIONS} has for {collection} what is no migration: all searches fail; restore a backup"
                continue
            tenant = self.collections.get(collection)
            for stored in migration.stored if tenant is not None else ():
                self.owners[stored.name] = collection
                self.collections.setdefault(stored.name, str(tenant))

    def _is_indexed(self, digest: str, tenants: list[str]) -> bool:
        return any(digest in self._value(keys_key(tenant), {}).values() for tenant in tenants)

    def _ids(self) -> Iterator[str]:
        """Yield the problems of tenant ids. Two tenants with one id could not be distinguished."""
        known: dict[str, str] = self._value(TENANT_IDS, {})
        for name, tenant_id in sorted(known.items()):
            if not FACEDB.fullmatch(tenant_id):
                yield f"{TENANT_IDS} has for tenant {name} what is no id; drop and create the tenant"
            elif list(known.values()).count(tenant_id) > 1:
                yield f"{TENANT_IDS} has the id of tenant {name} twice; drop and create all but one of them"

    def _counters(self) -> Iterator[str]:
        first: str = self._value(FIRST_KEY, "0" * 64)
        if not _DIGEST.fullmatch(first):
            yield f"{FIRST_KEY} is no SHA-256; delete it: the next start makes it again"
        for key, entry in sorted(self._entries.items()):
            if key.startswith("fs:names:") and not str(entry.value).isdecimal():
                yield f"{key} is no number: adds without a name fail; set it above every ID<n> in use"
        for key_id, record in self._value(KEY_RECORDS, {}).items():
            if not _is_record(key_id, record):
                yield f"{KEY_RECORDS} has {key_id}, which is no record of it: nothing can name that key; remove it"
        for day in self._value(DAYS, []):
            counters: dict[str, str] = self._value(day_key(day), {})
            if not _is_day(day):
                yield f"{DAYS} has {day!r}, which is no day: `facesearch usage` fails; remove it"
            elif not all(held.isdecimal() and name.count("|") == 3 for name, held in counters.items()):
                yield f"{day_key(day)} has a counter that is none: `facesearch usage` fails; remove it"

    def _record(self, key: str, kind: type[Record]) -> tuple[Record | None, str]:
        """Return the record and "", or None and the problem."""
        entry = self._entries.get(key)
        if entry is None:
            return None, "its record is not there"
        try:
            return kind.model_validate_json(str(entry.value)), ""
        except ValidationError:
            return None, "its record is damaged"

    def _value(self, key: str, nothing: Any) -> Any:
        return self._entries[key].value if key in self._entries else nothing


def _is_record(key_id: str, text: str) -> bool:
    try:
        return KeyRecord.model_validate_json(text).id == key_id
    except ValidationError:
        return False


def _is_day(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d") == text
    except ValueError:
        return False


def _shown(key: str) -> str:
    """Return the key as shown to an operator: without most of a hash."""
    head, _, digest = key.rpartition(":")
    return f"{head}:{digest[:_SHOWN]}…" if _DIGEST.fullmatch(digest) else key
