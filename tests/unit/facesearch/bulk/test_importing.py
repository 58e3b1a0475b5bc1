"""Photos of persons of several faces: the first makes the person, the others go to it, and nobody is split in two."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from facesearch.bulk import journal
from facesearch.bulk.importing import Importing, in_order
from facesearch.bulk.journal import Journal, Target
from facesearch.bulk.options import Options
from facesearch.bulk.photos import Photo
from facesearch.bulk.report import Tally
from facesearch.bulk.service import Answer
from shared.contract import MAX_IMAGE_BYTES, Faces, Status
from shared.persons import MAX_FACES

TARGET = Target("http://127.0.0.1:8000", "", persons=True)
OPTIONS = Options(TARGET.service, SecretStr("a key"), "")


def photo(path: str, person: str | None = "Ann") -> Photo:
    def load(most: int = MAX_IMAGE_BYTES) -> bytes:
        return path.encode()[:most]

    return Photo(path, "Ann", load, person)


class Service:
    """Keeps persons, as the sender of an import sees a service. outcomes: what is answered to some photos; None stands
    for no answer. sent: each photo, with the person it was added to.
    """

    def __init__(self) -> None:
        self.persons: dict[str, list[str]] = {}
        self.outcomes: dict[str, Answer | None] = {}
        self.sent: list[tuple[str, str | None]] = []

    async def outcome(self, image: bytes, name: str, faces: Faces, key: str, person_id: str | None) -> Answer | None:
        assert (name, faces, key[:7]) == ("Ann", Faces.ONE, "import-")
        path = image.decode()
        self.sent.append((path, person_id))
        if path in self.outcomes:
            return self.outcomes[path]
        if person_id is not None and person_id not in self.persons:
            return Answer(Status.PERSON_ID_NOT_EXIST, "check input person id")
        person_id = person_id or f"person-{len(self.persons)}"
        self.persons.setdefault(person_id, []).append(path)
        return Answer(Status.OK, [{"name": "Ann", "person_id": person_id}])


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Journal]:
    with journal.opened(tmp_path / "j", TARGET) as opened:
        yield opened


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def run(service: Service, opened: Journal) -> Callable[..., Tally]:
    def run(photos: Iterable[Photo], options: Options = OPTIONS) -> Tally:
        async def importing() -> Tally:
            listed = list(photos)
            tally = Tally(left=len(listed))
            subject = Importing(options, opened, tally, cast("Any", service), asyncio.Event(), lambda: None)
            for group in in_order(listed, opened.state):
                await subject.add(group)
            return tally

        return asyncio.run(importing())

    return run


REFUSED = Answer(Status.FACE_DETECT_FAILED, "check input image and retry", flaw="several")


def test_each_person_gets_all_its_photos(run: Callable[..., Tally], service: Service) -> None:
    photos = [photo("1"), photo("2"), photo("3", "Bob"), photo("4", None), photo("5", None), photo("6")]
    tally = run(photos)
    assert sorted(service.persons.values()) == [["1", "2", "6"], ["3"], ["4"], ["5"]]
    assert (tally.added, tally.faces, tally.persons, tally.left, tally.failures) == (6, 6, 2, 0, [])
    again = run(photos)
    assert (again.before, again.added) == (6, 0)


def test_the_first_photo_that_is_added_makes_the_person(run: Callable[..., Tally], service: Service) -> None:
    service.outcomes = {"1": REFUSED}
    tally = run([photo("1"), photo("2"), photo("3")])
    assert service.sent == [("1", None), ("2", None), ("3", "person-0")]
    assert [(each.path, each.reason) for each in tally.failures] == [("1", "several faces")]
    service.outcomes = {}
    run([photo("1"), photo("2"), photo("3")])
    assert service.persons == {"person-0": ["2", "3", "1"]}


def test_without_the_outcome_of_the_first_photo_nobody_is_made(
    run: Callable[..., Tally], service: Service, opened: Journal
) -> None:
    service.outcomes = {"1": None}
    tally = run([photo("1"), photo("2"), photo("3")])
    assert service.sent == [("1", None)]
    assert [each.status for each in tally.failures] == ["FAIL"] * 3
    assert "its person is not known" in tally.failures[-1].reason
    service.outcomes = {}
    run([photo("0"), photo("1"), photo("2")])
    assert service.sent[1:] == [("1", None), ("0", "person-0"), ("2", "person-0")], "the same request comes first"
    assert opened.state.persons == {"Ann": "person-0"}


def test_a_further_photo_without_an_outcome_stops_nobody(run: Callable[..., Tally], service: Service) -> None:
    service.outcomes = {"2": None}
    run([photo("1"), photo("2"), photo("3")])
    assert service.persons == {"person-0": ["1", "3"]}
    service.outcomes = {}
    run([photo("1"), photo("2"), photo("3")])
    assert service.persons == {"person-0": ["1", "3", "2"]}


def test_a_first_photo_that_was_sent_too_long_ago_makes_nobody_twice(
    run: Callable[..., Tally], service: Service, opened: Journal
) -> None:
    service.outcomes = {"1": None}
    run([photo("1")])
    ((identity, sent),) = opened.state.unresolved.items()
    opened.state.unresolved[identity] = replace(sent, at=time.time() - 86_400)
    tally = run([photo("1"), photo("2")])
    assert [each.status for each in tally.failures] == ["UNCERTAIN", "UNCERTAIN"]
    assert len(service.sent) == 1
    service.outcomes = {}
    run([photo("1"), photo("2")], replace(OPTIONS, send_uncertain=True))
    assert service.persons == {"person-0": ["1", "2"]}


def test_a_person_who_was_deleted_is_not_made_again(run: Callable[..., Tally], service: Service) -> None:
    run([photo("1")])
    service.persons.clear()
    tally = run([photo("1"), photo("2"), photo("3")])
    assert service.sent == [("1", None), ("2", "person-0")]
    assert {each.reason.partition(";")[0] for each in tally.failures} == {"its person was deleted"}


def test_more_photos_than_a_person_can_have_are_reported(run: Callable[..., Tally], service: Service) -> None:
    tally = run(photo(str(number)) for number in range(MAX_FACES + 2))
    assert tally.added == len(service.sent) == MAX_FACES
    assert [each.reason for each in tally.failures] == ["a person has at most 100 faces"] * 2
