"""Sends probes to a service and records the answers."""

import asyncio
import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

import httpx

from contract.tenants import new_tenant
from fuzz.bodies import form
from fuzz.client import NoAnswer, ask, leave
from fuzz.contents import hostile
from fuzz.mutations import corpus, seeded
from fuzz.probe import Probe, request
from fuzz.probes import Kinds, draw
from fuzz.watch import NAMES, Resources
from hostile_images import IMAGES
from oracle import Answer, breach
from portraits import astronaut_png
from service import Service
from shared.calls import ADD_FACE, COMPARE_FACES, DELETE_FACE, SEARCH_FACE, Call

CONCURRENCY = 32


@dataclass
class Report:
    """The results of a run. left: requests whose caller hung up. silent: incomplete requests whose connection was
    closed.
    """

    seed: int
    requests: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    left: int = 0
    silent: int = 0
    sentences: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    before: dict[str, Resources] = field(default_factory=dict)
    after: dict[str, Resources] = field(default_factory=dict)
    bad_lines: list[str] = field(default_factory=list)
    restarts: int = 0

    def line(self) -> str:
        rss = " ".join(f"{name}_rss_mb={self.before[name].rss_mb}->{self.after[name].rss_mb}" for name in NAMES)
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.by_status.items()))
        return (
            f"fuzz: requests={self.requests} by_status={{{statuses}}} hung_up={self.left} unanswered={self.silent} "
            f"sentences={len(self.sentences)} problems={len(self.problems)} tracebacks={len(self.bad_lines)} "
            f"restarts={self.restarts} {rss}"
        )


class Fuzzer:
    """Sends probes to one service with the key of a tenant that keeps a single face."""

    def __init__(self, service: Service, seed: int, kinds: Kinds) -> None:
        url = httpx.URL(service.address)
        self._at = (url.host, url.port or 80)
        _, keys = new_tenant(service.broker, fuzz={})
        self._key = keys["fuzz"]
        self._kinds = kinds
        self.report = Report(seed)

    def probe(self, number: int) -> Probe:
        return draw(seeded(self.report.seed, number), self._key, self._kinds)

    def probes(self, numbers: Iterable[int]) -> Iterator[tuple[str, Probe]]:
        """Yield probes, each with the options that repeat it."""
        return ((f"--seed {self.report.seed} --only {number}", self.probe(number)) for number in numbers)

    def hostile(self, rounds: int) -> Iterator[tuple[str, Probe]]:
        """Yield probes with every hostile image, that many times."""
        for number, image in product(range(rounds), IMAGES):
            yield image.name, hostile(seeded(self.report.seed, number), self._key, image)

    async def start(self) -> None:
        """Add the face that valid searches find."""
        await self.send(Probe("first", self._call(ADD_FACE, img=corpus()[0]), ADD_FACE, {"OK"}), keep=True)

    async def run(self, probes: Iterator[tuple[str, Probe]]) -> None:
        """Send these probes, CONCURRENCY at once."""

        async def some() -> None:
            for name, what in probes:
                problem = await self.send(what)
                if problem:
                    self.report.problems.append(f"{name} ({what.kind}): {problem}")

        await asyncio.gather(*(some() for _ in range(CONCURRENCY)))

    async def send(self, what: Probe, *, keep: bool = False) -> str | None:
        """Send a probe and return the problem with its answer, None if there is none. Faces that it added
        are deleted.
        """
        self.report.requests += 1
        self.report.by_kind[what.kind] += 1
        if what.ends:
            await leave(*self._at, what.raw)
            self.report.left += 1
            return None
        try:
            answer = await ask(*self._at, what.raw, head=what.head)
        except NoAnswer as error:
            self.report.silent += 1
            return None if what.silent else f"no answer: {error}"
        problem = breach(answer, what.call, head=what.head)
        if problem is None and not what.head:
            problem = self._unexpected(what, answer)
            if not keep:
                await self._delete_added(answer)
        return problem and f"{problem}: HTTP {answer.code} {answer.body[:300]!r}"

    def _unexpected(self, what: Probe, answer: Answer) -> str | None:
        status = answer.json()["status"]
        self.report.by_status[status] += 1
        if status == "INVALID_REQUEST":
            self.report.sentences.add(answer.json()["message"])
        if status == "FAIL":
            return "nothing was wrong with the service"
        if (what.statuses and status not in what.statuses) or what.code not in (0, answer.code):
            return f"expected {sorted(what.statuses)} and HTTP {what.code or 'any'}"
        return None

    async def _delete_added(self, answer: Answer) -> None:
        body = answer.json()
        if body["status"] != "OK" or not isinstance(body["message"], list):
            return
        if body["message"][0].keys() != {"name", "person_id"}:
            return
        for face in body["message"]:
            raw = self._call(DELETE_FACE, person_id=face["person_id"])
            problem = await self.send(Probe("delete", raw, DELETE_FACE, {"OK"}, 200))
            if problem:
                self.report.problems.append(f"delete: {problem}")

    async def still_right(self) -> None:
        """Check that a person is added, found, deleted and compared, and that only the first face is left."""
        added = await self._ask(ADD_FACE, img=astronaut_png())
        identifier = added["message"][0]["person_id"]
        (found,) = (await self._ask(SEARCH_FACE, img=astronaut_png()))["message"]
        deleted = await self._ask(DELETE_FACE, person_id=identifier)
        gone = await self._ask(SEARCH_FACE, img=astronaut_png())
        first = await self._ask(SEARCH_FACE, img=corpus()[0])
        compared = await self._ask(COMPARE_FACES, img1=astronaut_png(), img2=astronaut_png())
        if (found["person_id"], found["confidence"]) != (identifier, 100):
            self.report.problems.append(f"afterwards: found {found}")
        if (deleted["status"], gone["status"], len(first["message"])) != ("OK", "NO_SIMILAR_FACE", 1):
            self.report.problems.append(f"afterwards: {deleted} {gone} {first}")
        if compared["message"] != {"similarity": 100, "result": "SAME PERSON"}:
            self.report.problems.append(f"afterwards: {compared}")

    async def _ask(self, call: Call, **fields: str | bytes) -> dict:
        return (await ask(*self._at, self._call(call, **fields))).json()

    def _call(self, call: Call, **fields: str | bytes) -> bytes:
        text = {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in fields.items()
        }
        return request(call, self._key, form(seeded(0, 0), text))
