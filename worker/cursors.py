"""Cursors of lists of persons: a position that a caller carries from one request to the next, and cannot make up.

A cursor is the URL-safe base64 of 42 bytes: the position, and an HMAC-SHA256 (RFC 2104) of it and of what is listed,
cut off after 18 bytes. So a cursor is good for the list that it was made for alone, in the same face database and with
the same filter.
"""

import base64
import binascii
import hashlib
import hmac
import json
import struct
import uuid
from dataclasses import dataclass
from typing import Final

from worker.store.base import Position

_POSITION: Final = struct.Struct(">Q16s")

_MAC_BYTES: Final = 18
"""More than half of the hash, as RFC 2104 asks for, and no padding in base64."""


@dataclass(frozen=True)
class Listing:
    """What is listed: the collection of a face database, and the name and external id of the persons; None: any."""

    collection: str
    name: str | None = None
    external_id: str | None = None


def encode(secret: bytes, listing: Listing, position: Position) -> str:
    """Return the cursor of a position in a list. position: its time is at least 0 and below 2**64."""
    added, person_id = position
    packed = _POSITION.pack(added, person_id.bytes)
    return base64.urlsafe_b64encode(packed + _mac(secret, listing, packed)).decode()


def decode(secret: bytes, listing: Listing, cursor: str) -> Position:
    """Return the position of a cursor. Raises ValueError unless it was made with that secret for that list."""
    try:
        data = base64.b64decode(cursor, b"-_", validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    packed, mac = data[: _POSITION.size], data[_POSITION.size :]
    if len(packed) != _POSITION.size or not hmac.compare_digest(mac, _mac(secret, listing, packed)):
        raise ValueError("not signed for this list")
    added, person_id = _POSITION.unpack(packed)
    return added, uuid.UUID(bytes=person_id)


def _mac(secret: bytes, listing: Listing, packed: bytes) -> bytes:
    listed = json.dumps([listing.collection, listing.name, listing.external_id]).encode()
    return hmac.digest(secret, listed + packed, hashlib.sha256)[:_MAC_BYTES]
