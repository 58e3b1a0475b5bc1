"""Which persons photos may show, and whether a new model is worse."""

import uuid
from pathlib import Path

import pytest

from facesearch.migration.filling import is_worse
from facesearch.migration.photos import Persons, opened
from shared.control import Compared
from shared.errors import OperatorError
from shared.migration_jobs import SeenPerson


def person(name: str, external_id: str | None = None, faces: int = 1, migrated: int = 0) -> SeenPerson:
    return SeenPerson(person_id=uuid.uuid4(), name=name, external_id=external_id, faces=faces, migrated=migrated)


def test_a_person_is_named_by_id_external_id_or_name_and_several_may_have_one_name() -> None:
    persons, ann, other, bob = Persons(), person("Ann", "7"), person("Ann"), person("Bob", migrated=1)
    for each in (ann, other, bob):
        persons.add(each)
    assert list(persons.named("Ann")) == [ann.person_id, other.person_id]
    assert list(persons.named("7")) == list(persons.named(str(ann.person_id))) == [ann.person_id]
    assert list(persons.named("nobody")) == []
    assert set(persons.missing) == {ann.person_id, other.person_id}
    assert persons.count == 3


def test_a_person_of_several_faces_is_missing_until_the_new_model_has_each() -> None:
    persons, ann = Persons(), person("Ann", faces=2)
    persons.add(ann)
    first, second = uuid.uuid4(), uuid.uuid4()
    for face, left in ((first, 1), (first, 1), (second, 0)):
        persons.migrated(ann.person_id, face)
        assert len(persons.missing) == left


def test_a_csv_file_names_whom_each_photo_shows_by_the_first_column_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    table = tmp_path / "photos.csv"
    table.write_text("name,file,external_id\nAnn,a.jpg,7\nBob,a.jpg,\nEve,b.jpg,\n", encoding="utf-8")
    with opened(table, None) as found:
        assert [photo.name for photo in found.photos] == ["7", "Bob"]
        assert [(failure.path, failure.reason) for failure in found.failures] == [("b.jpg", "no such file: line 4")]


@pytest.mark.parametrize("head", ["file,person", "name,external_id", ""])
def test_a_csv_file_without_the_columns_is_refused(tmp_path: Path, head: str) -> None:
    table = tmp_path / "photos.csv"
    table.write_text(f"{head}\n", encoding="utf-8")
    expected = pytest.raises(OperatorError, match="needs the column `file` and one of person_id, external_id, name")
    with expected, opened(table, None):
        pass


SAME = {"photos": 200, "same": 190, "found": 192, "found_before": 192, "strangers": 4, "strangers_before": 4}


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        ({}, False),
        ({"found": 200, "same": 192}, False),
        ({"found": 186}, False),
        ({"found": 150}, True),
        ({"strangers": 9}, False),
        ({"strangers": 40}, True),
        ({"same": 120}, True),
        ({"photos": 46, "same": 46, "found": 46, "found_before": 46, "strangers": 2, "strangers_before": 0}, False),
        (dict.fromkeys(SAME, 0), False),
    ],
)
def test_a_model_is_worse_if_it_finds_clearly_less_others_or_more_strangers(
    changes: dict[str, int], worse: bool
) -> None:
    assert is_worse(Compared(**{**SAME, **changes})) == worse
