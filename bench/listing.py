"""Whether a list by cursors is right while others are added and deleted: nobody twice, nobody missed.

    PYTHONPATH=tests .venv/bin/python bench/listing.py [--quick]

1,000 persons who stay (100 with --quick) are listed over HTTP again and again, by several readers with pages of
different sizes, all of them and those of a name, while other callers add persons and delete those. Prints how many
lists were read, how many persons came and went meanwhile, and what was wrong with any list; exits with status 1 if
anything was.
"""

import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from results import is_quick
from servers import Running, running

from portraits import crowd

FACES: Final = 100
"""Faces of the photos by which those who stay are added, each a person."""

PASSING: Final = 20
"""Faces of the photos by which others come."""

PAGES: Final = (7, 33, 100)
"""Persons of a page, by reader."""

CHANGING: Final = 2
"""Callers that add and delete."""

STAYS: Final = "stays"
PASSES: Final = "passes"


@dataclass
class Findings:
    lists: int = 0
    came: int = 0
    went: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> None:
    photos, lists = (1, 3) if is_quick() else (10, 40)
    found, done = Findings(), threading.Event()
    few, many = crowd(PASSING), crowd(FACES)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "service", FACESEARCH_DEADLINE_S=120) as service,
        ThreadPoolExecutor(len(PAGES) + CHANGING) as pool,
    ):
        with client(service) as http:
            stay: set[str] = set()
            passing: list[str] = []
            for _ in range(photos):  # those who pass are between those who stay
                stay |= set(added(http, many, STAYS))
                passing += added(http, few, PASSES)
        changing = [pool.submit(change, service, few, passing, found, done) for _ in range(CHANGING)]
        try:
            readers = [pool.submit(read, service, page, lists, stay, found) for page in PAGES]
            for reader in readers:
                reader.result()
        finally:
            done.set()
        for each in changing:
            each.result()
    print(f"{len(stay):,} persons stayed; {found.came:,} came and {found.went:,} went; {found.lists} lists were read")
    print("\n".join(found.wrong) or "nobody was listed twice, nobody who stayed was missed")
    sys.exit(1 if found.wrong else 0)


def read(service: Running, page: int, lists: int, stay: set[str], found: Findings) -> None:
    """Read that many lists, every second one of those with the name of those who stay, and note what is wrong."""
    with client(service) as http:
        for number in range(lists):
            name = {"name": STAYS} if number % 2 else {}
            listed = Counter(each["person_id"] for each in persons(http, {"limit": page, **name}))
            twice = sum(count > 1 for count in listed.values())
            missed, strangers = len(stay - listed.keys()), len(listed.keys() - stay) if name else 0
            with found.lock:
                found.lists += 1
                if twice or missed or strangers:
                    found.wrong.append(f"pages of {page}: {twice} twice, {missed} missed, {strangers} of another name")


def persons(http: httpx.Client, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the persons of a whole list, page by page."""
    after: dict[str, str] = {}
    while True:
        page = message(http.get("/v1/persons", params={**query, **after}))
        yield from page["persons"]
        if page["next"] is None:
            return
        after = {"after": page["next"]}


def change(service: Running, photo: bytes, passing: list[str], found: Findings, done: threading.Event) -> None:
    """Add the faces of a photo, and delete as many of those who pass, new and old, until `done`."""
    with client(service) as http:
        while not done.is_set():
            came = added(http, photo, PASSES)
            with found.lock:
                passing += came
                random.shuffle(passing)
                go = [passing.pop() for _ in came]
            for person in go:
                message(http.delete(f"/v1/persons/{person}"))
            with found.lock:
                found.came += len(came)
                found.went += len(go)


def added(http: httpx.Client, photo: bytes, name: str) -> list[str]:
    entries = message(http.post("/v1/addface", files={"img": photo}, data={"name": name}))
    return [each["person_id"] for each in entries]


def message(answer: httpx.Response) -> Any:
    body = answer.json()
    if body["status"] != "OK":
        raise RuntimeError(f"not answered with OK: {body}")
    return body["message"]


def client(service: Running) -> httpx.Client:
    return httpx.Client(base_url=service.address, headers={"X-API-Key": service.key}, timeout=150)


if __name__ == "__main__":
    main()
