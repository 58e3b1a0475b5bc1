"""Photos of persons of several faces: the first makes the person, the others go to it, and nobody is split in two."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    for no answer. sent: each photo, with the person it was added to. attributes: of each photo that was sent with any.
    there: what is answered to the question for external_ids; nobody is there else. asked: these questions.
    """

    def __init__(self) -> None:
        self.persons: dict[str, list[str]] = {}
        self.outcomes: dict[str, Answer | None] = {}
        self.sent: list[tuple[str, str | None]] = []
        self.attributes: dict[str, Mapping[str, str]] = {}
        self.there: dict[str, bool | None] = {}
        self.asked: list[str] = []

    async def is_there(self, external_id: str) -> bool | None:
        self.asked.append(external_id)
        return self.there.get(external_id, False)

    async def outcome(
        self,
        image: bytes,
        name: str,
        faces: Faces,
        key: str,
        person_id: str | None,
        attributes: Mapping[str, str],
    ) -> Answer | None:
        assert (name, faces, key[:7]) == ("Ann", Faces.ONE, "import-")
        path = image.decode()
        self.sent.append((path, person_id))
        if attributes:
            self.attributes[path] = attributes
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


def known(path: str, external_id: str, metadata: str | None = None) -> Photo:
    return replace(photo(path, external_id), external_id=external_id, metadata=metadata)


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


class TestExternalIds:
    """Who is there by an external_id is not added once more, with or without a journal."""

    def test_a_new_person_gets_its_attributes_with_the_first_photo(
        self, run: Callable[..., Tally], service: Service
    ) -> None:
        run([known("1", "e-1", "{}"), known("2", "e-1", "{}"), known("3", "e-2")])
        assert service.persons == {"person-0": ["1", "2"], "person-1": ["3"]}
        assert service.attributes == {"1": {"external_id": "e-1", "metadata": "{}"}, "3": {"external_id": "e-2"}}

    def test_somebody_who_is_there_stays_as_he_is(self, run: Callable[..., Tally], service: Service) -> None:
        service.there = {"e-1": True}
        tally = run([known("1", "e-1"), known("2", "e-1"), known("3", "e-2")])
        assert service.sent == [("3", None)]
        assert (tally.present, tally.added, tally.left, tally.failures) == (2, 1, 0, [])
        assert tally.is_complete

    def test_who_is_in_the_journal_gets_the_rest_without_a_question(
        self, run: Callable[..., Tally], service: Service
    ) -> None:
        run([known("1", "e-1")])
        service.there = {"e-1": True}
        tally = run([known("1", "e-1"), known("2", "e-1")])
        assert service.persons == {"person-0": ["1", "2"]}
        assert (tally.before, tally.added, service.asked) == (1, 1, ["e-1"])

    def test_what_was_sent_is_resolved_by_the_same_request(
        self, run: Callable[..., Tally], service: Service, opened: Journal
    ) -> None:
        service.outcomes = {"1": None}
        run([known("1", "e-1", "{}")])
        service.outcomes = {}
        run([known("1", "e-1", '{"floor":3}')])
        assert service.attributes == {"1": {"external_id": "e-1", "metadata": "{}"}}
        assert (opened.state.persons, service.asked) == ({"e-1": "person-0"}, ["e-1"])

    @pytest.mark.parametrize("was_added", [True, False])
    def test_what_was_sent_too_long_ago_is_told_by_the_external_id(
        self, run: Callable[..., Tally], service: Service, opened: Journal, was_added: bool
    ) -> None:
        service.outcomes = {"1": None}
        run([known("1", "e-1")])
        ((identity, sent),) = opened.state.unresolved.items()
        opened.state.unresolved[identity] = replace(sent, at=time.time() - 86_400)
        service.outcomes, service.there = {}, {"e-1": was_added}
        tally = run([known("1", "e-1"), known("2", "e-1")])
        assert (tally.present, tally.added) == ((2, 0) if was_added else (0, 2))
        assert tally.is_complete

    def test_where_the_service_does_not_say_it_nobody_is_added(
        self, run: Callable[..., Tally], service: Service
    ) -> None:
        service.there = {"e-1": None}
        tally = run([known("1", "e-1"), known("2", "e-1")])
        assert service.sent == []
        assert [each.status for each in tally.failures] == ["FAIL", "FAIL"]
