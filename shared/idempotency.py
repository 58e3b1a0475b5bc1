"""Idempotency records: what was requested under an Idempotency-Key, and its outcome.

    fs:once:<tenant id>:<SHA-256 of the Idempotency-Key>    hash, gone when its time is over
        asked      SHA-256 of the call and all its parameters
        origin     id of the first request with the key, until there is an outcome: the effects of all repetitions
                   derive from it
        outcome    JSON of the first Outcome other than FAIL, once there is one
        answered   set once a request was answered with the outcome: the first one, which is charged
        job        id of the asynchronous job under the key, if there is one; see shared/asynchronous/

    fs:once-order:<tenant id>    list of the tenant's records, oldest first: the SHA-256 of each, 32 bytes, and "" for
                                 each UNIT bytes by which an outcome is larger than one; expires with the last record

The gateway makes the record before it dispatches the job, and the worker adds the outcome, so that it is kept even if
the gateway has died. FAIL is not kept: a repetition may succeed. FACESEARCH_IDEMPOTENCY_RECORDS limits the records of a
tenant: the gateway removes the oldest for each new one.
"""

import hashlib
import re
from typing import Final

HEADER: Final = "Idempotency-Key"

KEY: Final = re.compile(r"[!-~]{1,255}")
"""Visible ASCII without spaces, as in UUIDs and other tokens; up to 255 characters, as other services allow."""

RECORDS: Final = "fs:once:"
"""Prefix of the keys of all records."""

ASKED: Final = "asked"
ORIGIN: Final = "origin"
OUTCOME: Final = "outcome"
ANSWERED: Final = "answered"
JOB: Final = "job"

UNIT: Final = 512
"""Bytes of an outcome that count as one record. Most outcomes are smaller; that of a search that found 50 faces has 5
kB and counts as ten records. So the number of records bounds the memory of a tenant."""


def records(tenant_id: str) -> str:
    """Return the prefix of the keys of a tenant's records."""
    return f"{RECORDS}{tenant_id}:"


def record(tenant_id: str, key: str) -> str:
    """Return the key of the record of a tenant's Idempotency-Key. Tenants never share one, even if one takes the name
    of another that was removed.
    """
    return f"{records(tenant_id)}{hashlib.sha256(key.encode()).hexdigest()}"


def digest(record_key: str) -> bytes:
    """Return the SHA-256 of the Idempotency-Key, 32 bytes, from the key of its record."""
    return bytes.fromhex(record_key.split(":")[3])


def order(record_key: str) -> str:
    """Return the key of the order of a tenant's records, from the key of one of them or their prefix."""
    return f"fs:once-order:{record_key.split(':')[2]}"


def units(outcome: str) -> int:
    """Return how many records an outcome counts as. outcome: JSON.

    >>> units("x"), units("x" * 512), units("x" * 513)
    (1, 1, 2)
    """
    return max(1, -(-len(outcome.encode()) // UNIT))


def tenant_of(record: str) -> str:
    """Return the id of the tenant to which a record belongs."""
    return record.removeprefix(RECORDS).partition(":")[0]
