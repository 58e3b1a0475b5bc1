"""Names of the headers that the gateway reads and writes, beside HTTP's own and shared.idempotency.HEADER."""

from typing import Final

API_KEY: Final = "X-API-Key"

REQUEST_ID: Final = "X-Request-Id"

REPLAYED: Final = "Idempotent-Replayed"
"""Marks an answer that is replayed under the same Idempotency-Key."""

PREFER: Final = "Prefer"
"""The preferences of a request (RFC 7240)."""

PREFERENCE_APPLIED: Final = "Preference-Applied"

JOB_ID: Final = "X-Job-Id"
"""Marks an answer that is the outcome of an asynchronous job: without it, FAIL is of the look-up."""

WEBHOOK_URL: Final = "X-Webhook-Url"
"""Where the outcome of an asynchronous job goes."""

QUALITY: Final = "X-Face-Quality"
"""The flaw of the face, on a FACE_DETECT_FAILED, if a setting asks for it."""
