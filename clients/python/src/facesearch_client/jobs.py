"""Calls that are not waited for: what they became, and when to look again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import httpx

from facesearch_client.answers import result_of
from facesearch_client.results import added_faces, comparison, found_faces, nothing, searched_faces

if TYPE_CHECKING:
    from facesearch_client.async_client import AsyncFaceSearch
    from facesearch_client.client import FaceSearch

T_co = TypeVar("T_co", covariant=True)

Submittable = Literal["addface", "searchface", "delface", "facecompare"]
"""The calls that need not be waited for."""

WAIT_S: Final = 960.0
"""Seconds that `wait` waits at most by default: the 15 minutes within which a job ends, and one more."""

FIRST_S: Final = 0.25
LONGEST_S: Final = 2.0
"""Seconds between two looks at a job: at first, and at most, each pause being half as long again as the one before."""


def reader(call: Submittable, *, every_face: bool = False) -> Callable[[Any], Any]:
    """Return what makes the result of a call. every_face: of a search with faces="all"."""
    if call == "searchface":
        return searched_faces if every_face else found_faces
    return {"addface": added_faces, "delface": nothing, "facecompare": comparison}[call]


class Pauses:
    """The pauses of one wait, which begins now."""

    def __init__(self, for_s: float) -> None:
        self._until = time.monotonic() + for_s
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """Return the seconds until the next look. Raises TimeoutError when the time is over."""
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the job has no outcome yet")
        pause_s = min(self._next_s, left_s)
        self._next_s = min(LONGEST_S, 1.5 * self._next_s)
        return pause_s


@dataclass(frozen=True)
class Job(Generic[T_co]):
    """A call that is not waited for. id: by which the service knows it, an hour longer than it takes; None if the
    service had the outcome at once.
    """

    id: str | None
    _service: "FaceSearch"
    _result: Callable[[Any], T_co]
    _answer: httpx.Response | None = None

    def wait(self, *, for_s: float = WAIT_S) -> T_co:
        """Wait for the outcome, and return what the call would have returned. Raises what the call would have raised,
        and TimeoutError after for_s seconds: it can be waited for again.
        """
        return result_of(self._answer or self._service._outcome(str(self.id), Pauses(for_s)), self._result)  # noqa: SLF001 -- of this package


@dataclass(frozen=True)
class AsyncJob(Generic[T_co]):
    """Job for asyncio."""

    id: str | None
    _service: "AsyncFaceSearch"
    _result: Callable[[Any], T_co]
    _answer: httpx.Response | None = None

    async def wait(self, *, for_s: float = WAIT_S) -> T_co:
        """See Job.wait."""
        return result_of(self._answer or await self._service._outcome(str(self.id), Pauses(for_s)), self._result)  # noqa: SLF001 -- of this package
