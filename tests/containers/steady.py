"""Callers: threads that alternate between add and search, each sending its next request when it has its answer."""

import base64
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

import httpx

import portraits

CALLERS: Final = 4
PAUSE_S: Final = 0.1
"""Pause between two attempts to connect, which leaves the CPU to processes that start."""
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Answer:
    """An answer. began and ended: seconds of the monotonic clock. status: the contract's, or "broken" if a connection
    ended without an answer. A refused connection does not count: the next address is tried.
    """

    call: str
    status: str
    name: str
    person_id: str
    began: float
    ended: float


@dataclass
class Load:
    """A load that runs inside a with block. urls: tried in order when one refuses connections."""

    urls: list[str]
    key: str
    facedb: str
    callers: int = CALLERS
    calls: tuple[str, ...] = ("addface", "searchface")
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._call_on, args=(number,)) for number in range(self.callers)]
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    def count(self, *statuses: str) -> int:
        return sum(answer.status in statuses for answer in tuple(self.answers))

    @property
    def served(self) -> int:
        """Return how many requests had a successful answer."""
        return self.count("OK", "NO_SIMILAR_FACE")

    @property
    def unserved(self) -> int:
        return len(self.answers) - self.served

    def added(self) -> dict[str, str]:
        """Return the names of the acknowledged faces by their ids."""
        return {answer.person_id: answer.name for answer in self.answers if answer.person_id}

    def _call_on(self, number: int) -> None:
        at = number % len(self.urls)
        with httpx.Client(headers={"X-API-Key": self.key}, timeout=TIMEOUT_S) as http:
            for call in itertools.cycle(self.calls):
                name = f"n{next(self._numbers)}"
                form = {
                    "img": photo(number % 2),
                    "facedb": self.facedb,
                    **({"name": name} if call == "addface" else {}),
                }
                while not self._stop.is_set():
                    began = time.monotonic()
                    try:
                        body = http.post(f"{self.urls[at]}/v1/{call}", data=form).json()
                    except httpx.ConnectError:
                        at = (at + 1) % len(self.urls)
                        self._stop.wait(PAUSE_S)
                        continue
                    except httpx.TransportError:
                        body = {"status": "broken"}
                        at = (at + 1) % len(self.urls)
                    added = call == "addface" and body["status"] == "OK"
                    person_id = body["message"][0]["person_id"] if added else ""
                    self.answers.append(Answer(call, body["status"], name, person_id, began, time.monotonic()))
                    if body["status"] in {"FAIL", "broken"}:
                        self._stop.wait(PAUSE_S)
                    break
                if self._stop.is_set():
                    return


@dataclass(frozen=True)
class Kept:
    """The final content of a facedb. lost: acknowledged faces that are missing. doubled: faces that are there twice.
    unsaid: faces whose caller got FAIL or no answer.
    """

    lost: int
    doubled: int
    unsaid: int


def take_stock(url: str, key: str, facedb: str, added: dict[str, str]) -> Kept:
    """Delete all faces, the acknowledged ones first, then those that a search still finds. Returns what was there."""
    with httpx.Client(base_url=f"{url}/v1", headers={"X-API-Key": key}, timeout=TIMEOUT_S) as http:
        lost = sum(_delete(http, facedb, person_id) != "OK" for person_id in added)
        acknowledged = set(added.values())
        left = Counter(name in acknowledged for name in _clear(http, facedb))
    return Kept(lost, doubled=left[True], unsaid=left[False])


def _clear(http: httpx.Client, facedb: str) -> Iterator[str]:
    """Delete the faces that searches find, until they find none, and yield their names."""
    for number in (0, 1):
        while True:
            body = http.post("searchface", data={"img": photo(number), "facedb": facedb}).json()
            if body["status"] == "NO_SIMILAR_FACE":
                break
            assert body["status"] == "OK", body
            for match in body["message"]:
                assert _delete(http, facedb, match["person_id"]) == "OK"
                yield match["name"]


def _delete(http: httpx.Client, facedb: str, person_id: str) -> str:
    return str(http.post("delface", data={"person_id": person_id, "facedb": facedb}).json()["status"])


def photo(number: int) -> str:
    """Return a small portrait of the first or the second person, in base64."""
    return base64.b64encode(_PHOTOS[number]).decode()


_PHOTOS: Final = tuple(
    portraits.reencode(portraits.scale(whole(), 0.5), 80) for whole in (portraits.astronaut_png, portraits.hopper_jpeg)
)
