"""One photo is sent until there is an outcome, and what ends the whole import is told apart from what is its own."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest

from facesearch.bulk.adding import Patience, Sender
from facesearch.bulk.service import Answer, NoAnswer, NoService
from facesearch.bulk.window import Window
from shared.contract import Faces, Status
from shared.errors import OperatorError

AT_ONCE = Patience(photo_s=0, service_s=3600, first_s=0, longest_s=0)
OK = Answer(Status.OK, [{"name": "Ann", "person_id": "1"}])
BUSY = Answer(Status.FAIL, "please try again later")
LIMITED = Answer(Status.FAIL, "please try again later", limited=True)


class Scripted:
    """A service that gives these answers, or raises them. keys: the Idempotency-Keys it was asked under."""

    def __init__(self, answers: Iterable[Answer | Exception]) -> None:
        self._answers = iter(answers)
        self.keys: list[str | None] = []

    async def add(
        self, image: bytes, name: str, faces: Faces, idempotency_key: str | None, person_id: str | None, _: Any
    ) -> Answer:
        assert (image, name, faces, person_id) == (b"image", "Ann", Faces.ONE, None)
        self.keys.append(idempotency_key)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sender(
    service: Scripted, *, patience: Patience = AT_ONCE, stop: asyncio.Event | None = None, said: Any = None
) -> Sender:
    say = [].append if said is None else said.append
    return Sender(cast("Any", service), Window(8), stop or asyncio.Event(), say, patience)


async def outcome(*answers: Answer | Exception, **options: Any) -> Answer | None:
    return await sender(Scripted(answers), **options).outcome(b"image", "Ann", Faces.ONE, "key")


async def test_what_may_pass_is_repeated_under_the_same_key() -> None:
    service = Scripted([NoAnswer("reset"), BUSY, LIMITED, OK])
    patient = Patience(photo_s=3600, service_s=3600, first_s=0, longest_s=0)
    assert await sender(service, patience=patient).outcome(b"image", "Ann", Faces.ONE, "key") == OK
    assert service.keys == ["key"] * 4


@pytest.mark.parametrize("status", [Status.FACE_DETECT_FAILED, Status.IMAGE_INVALID_FORMAT, Status.IMAGE_INVALID_SIZE])
async def test_what_stays_is_the_outcome(status: Status) -> None:
    assert await outcome(Answer(status, "a message")) == Answer(status, "a message")


@pytest.mark.parametrize("message", ["img shows 256 faces; at most 100 can be added at once", "name must be …"])
async def test_a_refusal_of_the_photo_is_its_outcome(message: str) -> None:
    answer = Answer(Status.INVALID_REQUEST, message)
    assert await outcome(answer) == answer


@pytest.mark.parametrize("message", ["X-API-Key is unknown", "facedb is unknown"])
async def test_a_refusal_of_more_than_the_photo_ends_the_import(message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        await outcome(Answer(Status.INVALID_REQUEST, message))


async def test_keys_of_a_facedb_that_was_made_anew_name_the_remedy() -> None:
    with pytest.raises(OperatorError, match="--anew"):
        await outcome(Answer(Status.INVALID_REQUEST, "Idempotency-Key was used before, for a request with other …"))


async def test_what_is_no_service_ends_the_import() -> None:
    with pytest.raises(OperatorError, match="HTTP 404"):
        await outcome(NoService("an answer of a web server (HTTP 404)"))


async def test_a_repetition_of_this_run_is_not_taken_for_one_of_an_earlier_run() -> None:
    replayed = Answer(Status.OK, OK.message, replayed=True)
    first = await outcome(replayed)
    again = await outcome(NoAnswer("reset"), replayed)
    assert first is not None
    assert again is not None
    assert (first.replayed, again.replayed) == (True, False)


async def test_a_service_that_answers_nothing_ends_the_import() -> None:
    with pytest.raises(OperatorError, match="no photo was answered for 0 s: refused"):
        await outcome(NoAnswer("refused"), NoAnswer("refused"), patience=Patience(0, 0, 0, 0))


async def test_a_photo_that_fails_while_others_are_answered_is_left() -> None:
    crashes, other = asyncio.Event(), asyncio.Event()

    class Crashing(Scripted):
        async def add(self, _image: bytes, _name: str, _faces: Faces, idempotency_key: str | None, *_: Any) -> Answer:
            if idempotency_key == "crashes":
                crashes.set()
                if self.keys:
                    await other.wait()
                self.keys.append(idempotency_key)
                return BUSY
            other.set()
            return OK

    subject = sender(Crashing([]))
    failing = asyncio.create_task(subject.outcome(b"image", "Ann", Faces.ONE, "crashes"))
    await crashes.wait()
    assert await subject.outcome(b"image", "Ann", Faces.ONE, "another") == OK
    assert await failing is None


async def test_nothing_is_repeated_after_the_end() -> None:
    stop = asyncio.Event()
    stop.set()
    service = Scripted([BUSY])
    assert await sender(service, stop=stop).outcome(b"image", "Ann", Faces.ONE, "key") is None
    assert len(service.keys) == 1


async def test_the_end_does_not_wait_for_a_pause() -> None:
    stop = asyncio.Event()
    answers = [Answer(Status.FAIL, "please try again later", retry_after_s=3600), BUSY]
    waiting = asyncio.create_task(outcome(*answers, stop=stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(60):
        assert await waiting is None


async def test_the_operator_hears_once_that_the_service_is_away_and_that_it_is_back() -> None:
    said: list[str] = []
    patient = Patience(photo_s=3600, service_s=3600, first_s=0, longest_s=0)
    await outcome(*[NoAnswer("refused")] * 5, OK, patience=patient, said=said)
    away, back = said
    assert "does not add photos now: refused" in away
    assert back == "the service answers again"


@pytest.mark.parametrize("failures", [1, 2, 5, 1000])
def test_pauses_grow_up_to_a_bound(failures: int) -> None:
    patience = Patience(first_s=1, longest_s=8)
    assert 0 <= patience.pause_s(failures) <= min(8, 2 ** min(failures - 1, 10))
