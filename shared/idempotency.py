"""Records of requests that came with an Idempotency-Key: what was asked under it, and how it ended.

    fs:once:<tenant id>:<SHA-256 of the Idempotency-Key>    hash, gone when its time is over
        asked      SHA-256 of the call and all its parameters
        origin     id of the first request with the key, until there is an outcome: effects of all its repetitions
               derive from it
        outcome    JSON of the first Outcome other than FAIL, once there is one
        answered   that a request was answered with it: the first one, which is charged

    fs:once-order:<tenant id>    list of the tenant's records, oldest first: the SHA-256 of each, 32 bytes, and "" for
                                 each UNIT bytes by which an outcome is larger than one; gone when the last one is


A gateway makes the record before it dispatches the job and the worker adds the outcome, so that it is kept though the
gateway may be gone by then. FAIL is no outcome: it says that a repetition may succeed. A tenant has so many records at
most (FACESEARCH_IDEMPOTENCY_RECORDS): for each new one the oldest go, which is for the gateway to see to.
"""

import hashlib
import re
from typing import Final

HEADER: Final = "Idempotency-Key"

KEY: Final = re.compile(r"[!-~]{1,255}")
"""Visible ASCII, no spaces: what a UUID or any other token is made of. 255: as others take them."""

RECORDS: Final = "fs:once:"
"""What the keys of all records begin with."""

ASKED: Final = "asked"
ORIGIN: Final = "origin"
OUTCOME: Final = "outcome"
ANSWERED: Final = "answered"

UNIT: Final = 512
"""Bytes of an outcome that count as one record. Most have fewer; a search that found 50 has 5 kB, and counts as ten: so
what a tenant takes of the broker is bounded by the number of its records."""


def records(tenant_id: str) -> str:
    """Begin of the keys of all records of a tenant."""
    return f"{RECORDS}{tenant_id}:"


def record(tenant_id: str, key: str) -> str:
    """Where the record of a tenant's Idempotency-Key lies. Tenants never share one, also not those that have the same
    name one after the other.
    """
    return f"{records(tenant_id)}{hashlib.sha256(key.encode()).hexdigest()}"


def digest(record_key: str) -> bytes:
    """By what a record is known among those of its tenant."""
    return bytes.fromhex(record_key.split(":")[3])


def order(record_key: str) -> str:
    """Where it is written in which order the records of its tenant were made."""
    return f"fs:once-order:{record_key.split(':')[2]}"


def units(outcome: str) -> int:
    """As how many records one with that outcome, a JSON text, counts.

    >>> units("x"), units("x" * 512), units("x" * 513)
    (1, 1, 2)
    """
    return max(1, -(-len(outcome.encode()) // UNIT))


def tenant_of(record: str) -> str:
    """Whose record it is: the tenant's id."""
    return record.removeprefix(RECORDS).partition(":")[0]
