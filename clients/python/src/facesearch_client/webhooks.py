"""Webhooks, for those who receive them: whether one is of the service, and what it says."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

SIGNATURE: Final = "X-Facesearch-Signature"
"""The header with the signature."""

TOLERANCE_S: Final = 300.0
"""Seconds by which the time of a signature may differ from that of the receiver."""


class SignatureInvalid(ValueError):
    """The webhook is not of the service, was changed on its way, or is too old."""


@dataclass(frozen=True)
class Webhook:
    """What a webhook says. job_id: of the job, the same if the webhook comes twice. status, message: of its outcome, as
    the service answers them.
    """

    job_id: str
    status: str
    message: Any


def read_webhook(
    body: bytes, signature: str | None, secret: str | Sequence[str], *, tolerance_s: float = TOLERANCE_S
) -> Webhook:
    """Return what a webhook says. Raises SignatureInvalid.

    body: the bytes as they came. signature: the value of the header X-Facesearch-Signature, None without one. secret:
    of the tenant; while it is being replaced, the former and the new one.
    """
    fields = [part.partition("=") for part in (signature or "").split(",")]
    times = [value for name, _, value in fields if name == "t" and value.isascii() and value.isdigit()]
    given = [value for name, _, value in fields if name == "v1" and value.isascii()]
    if len(times) != 1 or len(times[0]) > 12 or not given:
        raise SignatureInvalid("the webhook has no signature")
    secrets = [secret] if isinstance(secret, str) else list(secret)
    signed = times[0].encode() + b"." + body
    right = [hmac.new(each.encode(), signed, hashlib.sha256).hexdigest() for each in secrets]
    if not any(hmac.compare_digest(one, other) for one in right for other in given):
        raise SignatureInvalid("the signature is not of this body and secret")
    if abs(time.time() - int(times[0])) > tolerance_s:
        raise SignatureInvalid("the webhook is too old, or the clock is wrong")
    said = json.loads(body)
    return Webhook(said["job_id"], said["status"], said["message"])
