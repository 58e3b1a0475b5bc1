"""Entries of the call log as lines, each with the hash of itself and the one before."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from pydantic import SecretStr

VERSION: Final = 1
"""Version of the format, which the entry `open` has."""

ZERO: Final = "0" * 64
"""What stands for the hash before the first entry of a chain."""

_HASH: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')

_FILE: Final = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{12})-(\d{6})\.jsonl")

_FINGERPRINT: Final = b"facesearch call log"
"""What is hashed with a key to name it: says nothing of the key that could be used."""


class Damaged(Exception):
    """A line is no entry."""


@dataclass(frozen=True)
class Seal:
    """How entries are hashed: with HMAC-SHA256, or without a key with SHA-256, which everybody can compute."""

    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, key: SecretStr | None) -> Self:
        """Return the seal with the key of the settings."""
        return cls(None if key is None else key.get_secret_value().encode())

    @property
    def name(self) -> str:
        """What the entry `open` says of it: the algorithm and, of a key, 16 digits that tell it from others."""
        if self.key is None:
            return "sha256"
        return f"hmac-sha256 {hmac.digest(self.key, _FINGERPRINT, 'sha256').hex()[:16]}"

    def hash(self, previous: str, content: bytes) -> str:
        """Return the hash of an entry. previous: that of the entry before. content: the line without its hash."""
        data = previous.encode() + content
        return hashlib.sha256(data).hexdigest() if self.key is None else hmac.digest(self.key, data, "sha256").hex()


@dataclass(frozen=True)
class Entry:
    """An entry as it was read. content: the line without its hash."""

    number: int
    at: datetime
    event: str
    fields: Mapping[str, Any]
    content: bytes
    hash: str


@dataclass(frozen=True, order=True)
class LogFile:
    """A file of a chain. number: from 1."""

    chain: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.chain}-{self.number:06}.jsonl"

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Return what the name of a file says, None if it is no file of a call log."""
        found = _FILE.fullmatch(path.name)
        return None if found is None else cls(found[1], int(found[2]))


def new_chain(gateway_id: str, now: datetime) -> str:
    """Return the name of a chain, by which chains are ordered by their start."""
    return f"{now:%Y%m%dT%H%M%SZ}-{gateway_id}"


class Chain:
    """The end of a chain that is being written."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self.number = 0
        self.hash = ZERO

    def line(self, event: str, fields: Mapping[str, Any]) -> bytes:
        """Return the next entry as a line. fields: JSON values."""
        self.number += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        content = json.dumps({"n": self.number, "at": at, "event": event, **fields}, separators=(",", ":"))[
            :-1
        ].encode()
        self.hash = self._seal.hash(self.hash, content)
        return b'%b,"hash":"%b"}\n' % (content, self.hash.encode())


def parse(line: bytes) -> Entry:
    """Return the entry of a line without its line break. Raises Damaged."""
    found = _HASH.search(line)
    if found is None:
        raise Damaged
    try:
        fields = json.loads(line)
        number, event, at = fields["n"], fields["event"], datetime.fromisoformat(fields["at"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged from None
    if type(number) is not int or not isinstance(event, str) or at.tzinfo is None:
        raise Damaged
    return Entry(number, at, event, fields, line[: found.start()], found[1].decode())
