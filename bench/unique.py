"""Many unique adds at once: of each person exactly one adds, also when the worker is killed in between. And their cost.

    PYTHONPATH=tests .venv/bin/python bench/unique.py [--quick]

200 adds at once, unique=95, of 20 people of ../shared/faces/lfw (of the packaged portraits without that folder), ten
pictures of one photo of each, of different qualities and sizes, in a random order; three times, and three times with
the worker killed after a third of the answers. Callers send again what is not answered, under the Idempotency-Key of
each add. Then the rate of unique adds of different people beside that of plain ones, in alternating rounds: each to a
new facedb. Prints a table, and fails unless there are as many persons as people each time.
"""

import asyncio
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import cv2
import httpx
import numpy as np
import photos
import psutil
from redis.asyncio import Redis
from servers import WORKER, Running, running

from shared.control import DEFAULT, Control

PEOPLE: Final = 20
PICTURES: Final = 10
"""Pictures of each person."""

THREADS: Final = 6
"""Threads of the worker: more than cores, so that more adds overlap."""

RETRY_S: Final = 0.2
"""Pause of a caller before it sends a request again."""

RATE_CALLERS: Final = 4

SETTINGS: Final = {
    "FACESEARCH_DEADLINE_S": "120",
    "FACESEARCH_WORKER_THREADS": str(THREADS),
    "FACESEARCH_LOG_LEVEL": "error",
}


def main() -> None:
    is_quick = "--quick" in sys.argv[1:]
    rounds, rate_rounds = (1, 2) if is_quick else (3, 7)
    people = photos.small()[: 4 if is_quick else PEOPLE]
    random = Random(33)  # noqa: S311 -- repeatable, not secret
    sent = [(person, picture) for person, photo in enumerate(people) for picture in pictures(photo)]
    wrong = 0
    print("| adds at once | people | worker killed | persons | added | existing | sent again | seconds |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "service", **SETTINGS) as service:
        for is_killed in (False, True):
            for _ in range(rounds):
                random.shuffle(sent)
                begun = time.monotonic()
                found = add_at_once(service, sent, len(sent) // 3 if is_killed else 0)
                took_s = time.monotonic() - begun
                persons, added, again = found["persons"], found["added"], found["again"]
                line = (len(sent), len(people), "yes" if is_killed else "no", persons, added, len(sent) - added, again)
                print(f"| {' | '.join(map(str, line))} | {took_s:.1f} |", flush=True)
                wrong += (persons, added, found["mixed"]) != (len(people), len(people), 0)
        ratios = [rate(service, unique="95") / rate(service) for _ in range(rate_rounds)]
    print(f"\nrate of unique adds of different people, of that of plain adds: median {median(ratios):.2f}, ", end="")
    print(f"{min(ratios):.2f} to {max(ratios):.2f}")
    if wrong:
        sys.exit(f"{wrong} rounds have other persons than people")


def pictures(photo: bytes) -> list[bytes]:
    """Return pictures of one photo that differ in size and quality."""
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    made = []
    for number in range(PICTURES):
        scaled = cv2.resize(image, None, fx=1 + 0.05 * number, fy=1 + 0.05 * number)
        made.append(cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, 95 - 3 * number])[1].tobytes())
    return made


def add_at_once(service: Running, sent: Sequence[tuple[int, bytes]], kill_after: int) -> Counter[str]:
    """Add every picture at the same time. kill_after: answers after which the worker is killed, 0 for never. Returns
    how many persons there are, how many adds added, how many requests were sent again, and how many people are several
    persons, or share one.
    """
    facedb = new_facedb(service)
    together = threading.Barrier(len(sent))
    answers: list[tuple[int, dict[str, Any]]] = []
    again = []

    def add(person: int, picture: bytes) -> None:
        headers = {"X-API-Key": service.key, "Idempotency-Key": str(uuid.uuid4())}
        together.wait()
        while True:
            entries = _entries(service, facedb, picture, headers, unique="95")
            if entries is not None:
                break
            again.append(person)
            time.sleep(RETRY_S)
        answers.extend((person, entry) for entry in entries)
        if len(answers) == kill_after:
            replace_worker(service)

    with ThreadPoolExecutor(len(sent)) as threads:
        list(threads.map(lambda each: add(*each), sent))
    ids: dict[int, set[str]] = {}
    for person, entry in answers:
        ids.setdefault(person, set()).add(entry["person_id"])
    every = [one for of_person in ids.values() for one in of_person]
    mixed = sum(len(of_person) > 1 for of_person in ids.values()) + len(every) - len(set(every))
    headers = {"X-API-Key": service.key}
    counted = httpx.get(f"{service.address}/v1/facedbs", headers=headers, timeout=150).json()["message"]
    persons = next(each["persons"] for each in counted if each["facedb"] == facedb)
    added = sum("existing" not in entry for _, entry in answers)
    return Counter(persons=persons, added=added, again=len(again), mixed=mixed)


def replace_worker(service: Running) -> None:
    """Kill the worker, and start another one."""
    workers = service.processes["worker"]
    environment = workers[0].environ()
    workers[0].kill()
    workers[0].wait()
    workers[:] = [psutil.Popen(WORKER, env=environment, stdout=sys.stderr)]


def rate(service: Running, **more: str) -> float:
    """Return how many people a second a few callers add to a new facedb."""
    facedb, pictures_ = new_facedb(service), photos.small()
    headers = {"X-API-Key": service.key}

    def add(picture: bytes) -> None:
        if _entries(service, facedb, picture, headers, **more) is None:
            raise RuntimeError("an add failed")

    begun = time.monotonic()
    with ThreadPoolExecutor(RATE_CALLERS) as threads:
        list(threads.map(add, pictures_))
    return len(pictures_) / (time.monotonic() - begun)


def _entries(
    service: Running, facedb: str, picture: bytes, headers: dict[str, str], **more: str
) -> list[dict[str, Any]] | None:
    """Return the entries of an add of the largest face; None if it may be sent again. Raises RuntimeError for any other
    answer.
    """
    fields = {"facedb": facedb, "faces": "largest", **more}
    try:
        url = f"{service.address}/v1/addface"
        answer = httpx.post(url, data=fields, files={"img": picture}, headers=headers, timeout=150).json()
    except httpx.TransportError:
        return None
    if answer["status"] == "OK":
        entries: list[dict[str, Any]] = answer["message"]
        return entries
    if answer["status"] != "FAIL":
        raise RuntimeError(str(answer))
    return None


def new_facedb(service: Running) -> str:
    """Make an empty facedb and return its name."""
    name = uuid.uuid4().hex

    async def make() -> None:
        async with Redis.from_url(service.broker_url) as redis:
            await Control(redis).create_facedb(DEFAULT, name)

    asyncio.run(make())
    return name


if __name__ == "__main__":
    main()
