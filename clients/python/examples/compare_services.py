"""Search with the same photos on two services of one API, and write what each accepts, before you move.

Photos are those of a folder. The addresses and keys are in OLD_URL, OLD_KEY, NEW_URL and NEW_KEY; OLD_FACEDB and
NEW_FACEDB name face databases, if they are not the keys' own. A line of CSV for each photo goes to stdout, the totals
to stderr. It needs nothing but Python 3.10, reads only, and sends nothing that only one of the services knows.
"""

import argparse
import base64
import csv
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
TIMEOUT_S = 20
"""Twice the time in which facesearch answers by default."""
ATTEMPTS = 3
NO_ANSWER = "NO_ANSWER"
FINAL = {"OK", "NO_SIMILAR_FACE", "FACE_DETECT_FAILED"}
"""Statuses that say what a service makes of the photo."""


@dataclass(frozen=True)
class Service:
    """One of the two. least: the confidence from which its best match is accepted."""

    url: str
    key: str
    facedb: str
    least: float


@dataclass(frozen=True)
class Answer:
    """status: of the contract, or NO_ANSWER. name, confidence: of the best match, if there is any. took_ms: the last
    attempt.
    """

    status: str
    name: str
    confidence: float | None
    took_ms: int

    def accepted(self, least: float) -> str | None:
        """Return the name that is accepted, or None for nobody."""
        return self.name if self.confidence is not None and self.confidence >= least else None


def service(which: str, least: float) -> Service:
    """Return the service of the environment, which is OLD or NEW. Exits if it is not there."""
    url, key = os.environ.get(f"{which}_URL", ""), os.environ.get(f"{which}_KEY", "")
    if not url.startswith(("http://", "https://")) or not key:
        sys.exit(f"set {which}_URL to http://… or https://… and {which}_KEY to an API key")
    return Service(url.rstrip("/"), key, os.environ.get(f"{which}_FACEDB", ""), least)


def search(at: Service, image: bytes) -> Answer:
    """Search for the most prominent face of an image; FAIL and lost answers are repeated."""
    form = {"img": base64.b64encode(image).decode()} | ({"facedb": at.facedb} if at.facedb else {})
    data = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(f"{at.url}/v1/searchface", data, {"X-API-Key": at.key})  # noqa: S310 -- http only
    for attempt in range(1, ATTEMPTS + 1):
        began = time.monotonic()
        status, message, wait_s = _ask(request)
        took_ms = round((time.monotonic() - began) * 1000)
        if status not in ("FAIL", NO_ANSWER) or attempt == ATTEMPTS:
            break
        time.sleep(wait_s)
    best = message[0] if status == "OK" and isinstance(message, list) else {}
    return Answer(status, best.get("name", ""), best.get("confidence"), took_ms)


def _ask(request: urllib.request.Request) -> tuple[str, object, float]:
    """Return status and message of one attempt, and the seconds to wait before the next one."""
    try:
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 -- as above
        except urllib.error.HTTPError as error:
            response = error  # the contract's JSON is in the body, whatever the code
        with response:
            answer = json.load(response)
            wait = response.headers.get("Retry-After") or "1"
            return answer["status"], answer["message"], min(float(wait), 30.0)
    except (OSError, ValueError, KeyError, TypeError):
        return NO_ANSWER, "", 1.0


def verdict(old: Answer, new: Answer, services: tuple[Service, Service]) -> str:
    """Say how the two differ in what a program would do."""
    if old.status not in FINAL or new.status not in FINAL:
        return "no outcome"
    accepted_old, accepted_new = old.accepted(services[0].least), new.accepted(services[1].least)
    if accepted_old == accepted_new:
        return "same"
    if accepted_old is None:
        return "only new"
    return "only old" if accepted_new is None else "another name"


def photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)


def main() -> None:
    parser = argparse.ArgumentParser(description="Search with the same photos on two services.")
    parser.add_argument("folder", type=Path, help="photos to search with")
    parser.add_argument("--old-from", type=float, default=95, help="confidence that the old one accepts (95)")
    parser.add_argument("--new-from", type=float, default=95, help="confidence that the new one accepts (95)")
    options = parser.parse_args()
    services = service("OLD", options.old_from), service("NEW", options.new_from)
    rows = csv.writer(sys.stdout)
    columns = ("status", "name", "confidence", "ms")
    rows.writerow(["photo", "verdict", *(f"{which}_{column}" for which in ("old", "new") for column in columns)])
    totals: Counter[str] = Counter()
    for path in photos(options.folder):
        image = path.read_bytes()
        old, new = (search(each, image) for each in services)
        result = verdict(old, new, services)
        totals[result] += 1
        values = [value for each in (old, new) for value in (each.status, each.name, each.confidence, each.took_ms)]
        rows.writerow([path.relative_to(options.folder), result, *values])
    counted = ", ".join(f"{count} {result}" for result, count in sorted(totals.items()))
    sys.stderr.write(f"{totals.total()} photos: {counted}\n")


if __name__ == "__main__":
    main()
