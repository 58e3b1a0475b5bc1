"""Webhooks of a load: where its jobs send their outcomes, and whether every one of them came there."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from https_receiver import Receiver

PAUSE_S: Final = 0.1

Outcome = tuple[str, Any]
"""Status and message."""


@dataclass(frozen=True)
class Webhooks:
    """receiver: the server of the callers. secret: that of their tenant."""

    receiver: Receiver
    secret: str

    def url(self, load: str) -> str:
        """Return where the outcomes of a load are sent. load: its name, which no other has."""
        return f"https://{self.receiver.host}/{load}"

    def refuse_first(self) -> None:
        """Have the next delivery fail, so that it is tried again."""
        self.receiver.codes.append(503)

    def problems(self, load: str, jobs: Mapping[str, Outcome], seconds: float) -> list[str]:
        """Return, as sentences, what is not right of what came for a load: every job that a caller saw end is delivered
        within that time, with that outcome, and whatever comes has the signature of the secret. A time of a signature
        is not judged, as the clock of a service may be wrong.
        """
        end = time.monotonic() + seconds
        while jobs.keys() - {said["job_id"] for _, _, said in self._came(load)} and time.monotonic() < end:
            time.sleep(PAUSE_S)
        found: dict[str, Outcome] = dict(jobs)
        problems = []
        for headers, body, said in self._came(load):
            job_id, outcome = said["job_id"], (said["status"], said["message"])
            if not self._is_signed(headers, body):
                problems.append(f"the webhook of job {job_id} has a wrong signature")
            if headers["X-Facesearch-Delivery"] != job_id:
                problems.append(f"the webhook of job {job_id} is that of {headers['X-Facesearch-Delivery']}")
            if found.setdefault(job_id, outcome) != outcome:
                problems.append(f"job {job_id} ended as {found[job_id]}, and its webhook says {outcome}")
        missing = jobs.keys() - {said["job_id"] for _, _, said in self._came(load)}
        return problems + [f"job {job_id} ended, and its webhook did not come in {seconds:g} s" for job_id in missing]

    def _came(self, load: str) -> Iterator[tuple[dict[str, str], bytes, dict[str, Any]]]:
        for path, headers, body in list(self.receiver.got):
            if path == f"/{load}":
                yield headers, body, json.loads(body)

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        at, _, mac = headers.get("X-Facesearch-Signature", "").removeprefix("t=").partition(",v1=")
        right = hmac.new(self.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return at.isdigit() and hmac.compare_digest(right, mac)
