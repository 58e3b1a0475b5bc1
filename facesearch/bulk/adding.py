"""Adding one photo after the other through the service, repeated until there is an outcome."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from facesearch.bulk.service import Answer, NoAnswer, NoService, Service
from facesearch.bulk.window import Window
from shared.contract import Faces, Status
from shared.errors import OperatorError


@dataclass(frozen=True)
class Patience:
    """For how long a request is repeated, in seconds. photo_s: since the first failure of a photo, while others are
    answered: then it is the photo, such as one that crashes the process that decodes it. service_s: while none is
    answered; long enough for a restart and a reboot. first_s, longest_s: the longest pause after the first failure,
    which doubles with each further one, and the longest of all; pauses are drawn below that ("full jitter": M. Brooker,
    Exponential Backoff And Jitter, 2015).
    """

    photo_s: float = 60.0
    service_s: float = 300.0
    first_s: float = 0.25
    longest_s: float = 8.0

    def pause_s(self, failures: int) -> float:
        """Return how long to wait after that many failures, >= 1, in a row."""
        longest = min(self.longest_s, self.first_s * 2 ** min(failures - 1, 16))
        return random.uniform(0, longest)  # noqa: S311 -- to spread requests in time, not to be secret


_ABOUT_ONE: Final = ("img ", "name ", "external_id ", "metadata ", "the person has ", "the faces of the person ")
"""Beginnings of the messages of INVALID_REQUEST that are about one photo or one person."""

PATIENCE: Final = Patience()


class Sender:
    """Sends photos to one service. say: called with a line when the service stops answering. stop: set when nothing
    more is to be sent.
    """

    def __init__(
        self, service: Service, window: Window, stop: asyncio.Event, say: Callable[[str], None], patience: Patience
    ) -> None:
        self._service = service
        self._window = window
        self._stop = stop
        self._say = say
        self._patience = patience
        self._not_before = 0.0
        self._answered_at = time.monotonic()
        self._is_away = False

    async def outcome(
        self,
        image: bytes,
        name: str,
        faces: Faces,
        idempotency_key: str,
        person_id: str | None = None,
        attributes: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer | None:
        """Add a photo, as Service.add does. Returns its outcome, never FAIL, with `replayed` if an earlier run asked
        for it; None if it has none: other photos were answered meanwhile, or nothing more is to be sent.

        Raises OperatorError if the service answers nothing any more, or refuses more than this photo.
        """
        return await self._asked(lambda: self._service.add(image, name, faces, idempotency_key, person_id, attributes))

    async def is_there(self, external_id: str) -> bool | None:
        """Return whether the facedb has a person with that external_id; None as `outcome` does. Raises OperatorError
        as `outcome` does.
        """
        answer = await self._asked(lambda: self._service.persons_with(external_id))
        return None if answer is None else bool(answer.message["persons"])

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        first_failure = None
        failures = 0
        while True:
            await self._wait(self._not_before - time.monotonic())
            sent = time.monotonic()
            why, limited = "", False
            try:
                answer = await ask()
            except NoAnswer as error:
                why = str(error)
            except NoService as error:
                raise OperatorError(f"the service gives {error}; try again with the right --url") from None
            else:
                if answer.status is not Status.FAIL:
                    self._answered(answer, time.monotonic() - sent)
                    _require_about_the_photo(answer)
                    # A repetition of this run repeats nothing of an earlier one.
                    return replace(answer, replayed=answer.replayed and not failures)
                why, limited = "the service is busy or a part of it is away", answer.limited
                self._not_before = max(self._not_before, time.monotonic() + answer.retry_after_s)
            self._window.refused()
            failures += 1
            now = time.monotonic()
            if not limited:
                first_failure = first_failure or now
                self._require_patience(first_failure, now, why)
                if self._answered_at > first_failure and now - first_failure > self._patience.photo_s:
                    return None
            if self._stop.is_set():
                return None
            await self._wait(self._patience.pause_s(failures))

    def _answered(self, answer: Answer, took_s: float) -> None:
        self._answered_at = time.monotonic()
        if self._is_away:
            self._is_away = False
            self._say("the service answers again")
        if answer.is_of_a_photo and not answer.replayed:
            self._window.answered(took_s)

    def _require_patience(self, first_failure: float, now: float, why: str) -> None:
        """Raise OperatorError if no photo has been answered for too long."""
        since = max(first_failure, self._answered_at)
        if now - since > self._patience.service_s:
            raise OperatorError(f"no photo was answered for {self._patience.service_s:.0f} s: {why}")
        if not self._is_away and now - since > self._patience.first_s:
            self._is_away = True
            self._say(f"the service does not add photos now: {why}; trying for {self._patience.service_s:.0f} s")

    async def _wait(self, seconds: float) -> None:
        """Wait, or until nothing more is to be sent."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
            except TimeoutError:
                return


def _require_about_the_photo(answer: Answer) -> None:
    """Raise OperatorError if an answer refuses more than its photo: the key, or the facedb, will be refused again."""
    if answer.status is not Status.INVALID_REQUEST or str(answer.message).startswith(_ABOUT_ONE):
        return
    if str(answer.message).startswith("Idempotency-Key"):
        raise OperatorError(
            "these photos were imported into a facedb of this name within a day, which was created again since: "
            "start again with --anew, and a new --journal if there is one"
        )
    raise OperatorError(f"the service refuses to add photos: {answer.refusal}")
