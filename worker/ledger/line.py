"""The line of a facedb's unique adds: those whose faces are alike look for them, and write them, one after the other.

fs:unique:<collection>  hash by origin: its place in the line, until when it holds it, and what it decided (broker)
fs:unique:<origin>      its embeddings (image store, so that they reach no disk)

A job enters the line with its embeddings, waits until everybody before it whose faces are like its own has left, and
only then searches. What it finds stays true until it leaves, since a later job with faces like its own waits for it.
Jobs with unlike faces do not wait for each other.

Before it writes, a job notes its decision. Jobs of one origin have one place and one decision, so that a job that is
delivered again writes the same faces as the one whose worker was killed or stopped, and frees the place for both. A
place that nobody frees ends by itself: HOLD_S after its job last asked, WRITE_S after its decision. By then its job
writes no more, see worker/ledger/__init__.py.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from shared import lua
from shared.jobs import AddJob
from worker.ledger import WRITE_S, Ledger

HOLD_S: Final = 15
"""Seconds for which a place without a decision is held: several time-outs of the broker, and of a search."""

KEEP_S: Final = 120
"""Seconds after which embeddings in the image store expire: longer than any place is held, unless its job waits for
long. Where they are missing, their faces count as alike."""


_ENTER: Final = lua.load(__package__, "enter_line", WRITE_S=WRITE_S)
_DECIDE: Final = lua.load(__package__, "decide_unique", WRITE_S=WRITE_S)
_LEAVE: Final = lua.load(__package__, "leave_line")


class Look(NamedTuple):
    """What a job saw of the line. place: its own. decided: what its origin has decided, None if it has not. before: the
    origins before it that are still there.
    """

    place: str
    decided: str | None
    before: frozenset[str]


@dataclass(frozen=True)
class Line:
    """The line as a job sees it. Methods raise redis.RedisError."""

    ledger: Ledger
    job: AddJob

    def enter(self, embeddings: bytes) -> Look:
        """Take a place at the end of the line, unless the origin of the job has one. embeddings: of its faces, as
        worker/unique.py reads them.
        """
        self.ledger.images.set(_embeddings_key(self.job.origin), embeddings, ex=KEEP_S)
        return self.look()

    def look(self) -> Look:
        """Hold the place for HOLD_S from now. One that was lost is taken again at the end of the line."""
        answer = cast("list[bytes]", self._run(_ENTER, self.job.origin, HOLD_S))
        place, decided, *before = (text.decode() for text in answer)
        return Look(place, decided or None, frozenset(before))

    def embeddings(self, origins: Collection[str]) -> dict[str, bytes | None]:
        """Return the embeddings of each of these origins, None where they are missing."""
        if not origins:
            return {}
        keys = [_embeddings_key(origin) for origin in origins]
        return dict(zip(origins, cast("list[bytes | None]", self.ledger.images.mget(keys)), strict=True))

    def decide(self, place: str, decision: str) -> str | None:
        """Note the decision and hold the place for WRITE_S from now. Return the decision that counts: the first of the
        origin; None if the place was lost.
        """
        decided = cast("bytes | None", self._run(_DECIDE, self.job.origin, place, decision))
        return None if decided is None else decided.decode()

    def leave(self, place: str, *, done: bool) -> None:
        """Free the place. done: whether all that was decided is written; if it is not, the place is held to its end,
        unless nothing was decided.
        """
        if self._run(_LEAVE, self.job.origin, place, int(done)):
            self.ledger.images.delete(_embeddings_key(self.job.origin))

    def _run(self, script: str, *arguments: str | int) -> object:
        return self.ledger.redis.eval(script, 1, _line_key(self.job.collection), *arguments)


def _line_key(collection: str) -> str:
    return f"fs:unique:{collection}"


def _embeddings_key(origin: str) -> str:
    return f"fs:unique:{origin}"
