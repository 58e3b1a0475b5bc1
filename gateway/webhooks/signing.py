"""Signatures of webhooks: `t=<Unix time>,v1=<HMAC-SHA256 of "<time>.<body>" in hexadecimal>`."""

import hashlib
import hmac
from typing import Final

SIGNATURE: Final = "X-Facesearch-Signature"

DELIVERY: Final = "X-Facesearch-Delivery"
"""Header with the id of the delivery, which is that of the job: the same in every attempt."""


def signature(secret: bytes, body: bytes, at: int) -> str:
    """Return the value of SIGNATURE. at: Unix time in seconds, by which receivers refuse what is sent again later."""
    digest = hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
