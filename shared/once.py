"""Records of requests that came with an Idempotency-Key: what was asked under it, and how it ended.

    fs:once:<tenant id>:<SHA-256 of the Idempotency-Key>    hash, gone when its time is over
        asked      SHA-256 of the call and all its parameters
        origin     id of the first request with the key: effects of all its repetitions derive from it
        outcome    JSON of the first Outcome other than FAIL, once there is one
        answered   id of the first request that was answered with it: the one that is charged

A gateway makes the record before it dispatches the job and the worker adds the outcome, so that it is kept though the
gateway may be gone by then. FAIL is no outcome: it says that a repetition may succeed.
"""

import hashlib
import re
from typing import Final

HEADER: Final = "Idempotency-Key"

KEY: Final = re.compile(r"[!-~]{1,255}")
"""Visible ASCII, no spaces: what a UUID or any other token is made of. 255: as others take them."""

ASKED: Final = "asked"
ORIGIN: Final = "origin"
OUTCOME: Final = "outcome"
ANSWERED: Final = "answered"


def patterns(tenant_id: str) -> list[str]:
    """What matches all keys that are kept for requests of a tenant with Idempotency-Keys."""
    return [f"fs:once:{tenant_id}:*"]


def record(tenant_id: str, key: str) -> str:
    """Where the record of a tenant's Idempotency-Key lies. Tenants never share one, also not those that have the same
    name one after the other.
    """
    return f"fs:once:{tenant_id}:{hashlib.sha256(key.encode()).hexdigest()}"
