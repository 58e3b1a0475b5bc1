"""An exported face database: what goes into the file comes out of it, and anything else is refused."""

import errno
import hashlib
import io
import json
import stat
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies

from every_store import OURS, unit
from facesearch.exchange import reading, writing
from facesearch.exchange.about import ABOUT, PERSONS, VECTORS, About, is_facedb
from facesearch.exchange.lines import line_of, parsed, point_of
from shared.errors import OperatorError
from shared.persons import MAX_METADATA_BYTES, FaceQuality
from worker.store.base import MAX_ADDED, Face, Point
from worker.store.faces import faces_of, with_faces

PERSON = uuid.UUID("4fbd9474-e09f-4e7d-9a2f-06fa1167f67e")


def persons(count: int) -> list[Point]:
    """Return persons of whom every second has only a name, as those that an earlier release added."""
    plain = [Point(uuid.UUID(int=number), f"Ann {number}", unit(number)) for number in range(count)]
    return [
        Point(point.person_id, point.name, point.vector, 1 + number, f"e-{number}", {"z": [2**70, "山"], "a": None})
        if number % 2
        else point
        for number, point in enumerate(plain)
    ]


QUALITY: FaceQuality = {"size": 112.5, "sharpness": 0.8, "dark": 0.0, "bright": 0.1, "yaw": -3.5, "pitch": 2.0}


def of_faces(*faces: Face) -> Point:
    """Return a person of these faces."""
    return with_faces(Point(PERSON, "Grace", faces[0].vector, 5), faces)


SEVERAL = of_faces(
    Face(PERSON, unit(1), 5, QUALITY),
    Face(uuid.UUID(int=2), unit(2), 6),
    Face(uuid.UUID(int=3), unit(3), None, QUALITY),
)


def written(path: Path, points: Iterable[Point]) -> About:
    with writing.workplace(path) as folder:
        return writing.write(path, folder, "staff", OURS, points, lambda: 7)


def read(path: Path) -> list[Point]:
    with reading.opened(path) as file:
        file.check()
        return list(file.points())


def same(points: Iterable[Point]) -> list[Any]:
    """Return points as values that can be compared."""
    return [(point.person, point.vector.tobytes(), list(map(_known, faces_of(point)))) for point in points]


def _known(face: Face) -> Any:
    return face.face_id, face.added, face.quality, face.vector.tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "staff.facedb"


class TestWriting:
    def test_everything_comes_back(self, path: Path) -> None:
        made = written(path, persons(5))
        assert (made.facedb, made.identity, made.persons, made.faces) == ("staff", str(OURS), 5, 5)
        assert same(read(path)) == same(persons(5))
        with reading.opened(path) as file:
            assert file.about == made
            assert (file.identity, file.about.automatic_names) == (OURS, 7)

    def test_a_person_of_several_faces_has_a_row_for_each(self, path: Path) -> None:
        alone = of_faces(Face(uuid.UUID(int=4), unit(4), 7, QUALITY))
        points = [*persons(2), SEVERAL, replace(alone, person_id=uuid.UUID(int=9))]
        made = written(path, points)
        assert (made.persons, made.faces) == (4, 6)
        assert same(read(path)) == same(points)

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda faces: faces[0].update(face_id=faces[1]["face_id"]), "line 1"),
            (lambda faces: faces[0].update(face_id="1"), "line 1"),
            (lambda faces: faces[1].update(added=0), "line 1"),
            (lambda faces: faces[1].update(quality={"size": 3}), "line 1"),
            (lambda faces: faces.pop(), "it has 1 persons with 2 faces"),
            (lambda faces: faces.extend([faces[0]] * 98), "line 1"),
            (lambda faces: faces.__setitem__(0, None), "line 1"),
        ],
        ids=["same id", "no id", "no time", "no quality", "one less", "too many", "nothing"],
    )
    def test_wrong_faces_are_named(self, path: Path, change: Callable[[Any], None], complaint: str) -> None:
        written(path, [SEVERAL])
        with zipfile.ZipFile(path) as archive:
            faces = json.loads(archive.read(PERSONS))["faces"]
        change(faces)
        rewritten(path, person(faces=faces))
        with pytest.raises(OperatorError, match=complaint):
            read(path)

    def test_faces_that_cancel_each_other_out_are_no_person(self, path: Path) -> None:
        written(path, [of_faces(Face(PERSON, unit(1)), Face(uuid.UUID(int=2), unit(2)))])
        rewritten(path, vectors(lambda rows: np.stack([rows[0], -rows[0]])))
        with pytest.raises(OperatorError, match="cancel each other out"):
            read(path)

    def test_an_empty_facedb_is_a_file_too(self, path: Path) -> None:
        assert written(path, []).persons == 0
        assert read(path) == []

    def test_only_its_owner_can_read_it(self, path: Path) -> None:
        written(path, persons(1))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_a_file_that_is_there_stays(self, path: Path) -> None:
        path.write_text("mine")
        with pytest.raises(OperatorError, match="exists already"):
            written(path, persons(1))
        assert path.read_text() == "mine"

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
    def test_nothing_half_is_left(self, path: Path, error: BaseException) -> None:
        def interrupted() -> Iterator[Point]:
            yield from persons(3)
            raise error

        with pytest.raises(type(error)):
            written(path, interrupted())
        assert list(path.parent.iterdir()) == []

    def test_what_a_killed_export_left_goes_with_the_next_of_the_name(self, path: Path) -> None:
        left = path.with_name(".staff.facedb.part")
        left.mkdir()
        (left / "staff.facedb").write_text("half")
        written(path, persons(1))
        assert list(path.parent.iterdir()) == [path]

    def test_two_exports_of_a_name_exclude_each_other(self, path: Path) -> None:
        with writing.workplace(path), pytest.raises(OperatorError, match="another export writes"):
            written(path, persons(1))


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], *, checksums: bool = True) -> None:
    """Change the members of a file. checksums: whether those in its description are made right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if checksums:
        about = json.loads(members[ABOUT])
        for name in about["files"].keys() & members.keys():
            digest = hashlib.sha256(members[name]).hexdigest()
            about["files"][name] = {"bytes": len(members[name]), "sha256": digest}
        members[ABOUT] = json.dumps(about).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def about(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[ABOUT] = json.dumps(json.loads(members[ABOUT]) | changes).encode()

    return change


def person(**changes: object) -> Callable[[dict[str, bytes]], None]:
    """Change the last person."""

    def change(members: dict[str, bytes]) -> None:
        *others, last = members[PERSONS].splitlines(keepends=True)
        members[PERSONS] = b"".join(others) + json.dumps(json.loads(last) | changes).encode() + b"\n"

    return change


def vectors(change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    def changed(members: dict[str, bytes]) -> None:
        file = io.BytesIO()
        np.save(file, change(np.load(io.BytesIO(members[VECTORS]))))
        members[VECTORS] = file.getvalue()

    return changed


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


def cut(members: dict[str, bytes]) -> None:
    members[PERSONS] = members[PERSONS][:-1]


WRONG = [
    (about(persons=5), "it has 4 persons with 4 faces"),
    (about(faces=3), "not the shape"),
    (about(dimension=15), "two dimensions"),
    (about(identity="sface"), "names no model"),
    (about(format="other"), "not what `facesearch export` writes"),
    (about(version=1, more=1), "not what `facesearch export` writes"),
    (about(version=2, release="9.9"), "import it with release 9.9"),
    (person(person_id="4FBD9474-e09f-4e7d-9a2f-06fa1167f67e"), "line 4"),
    (person(name="a\nb"), "line 4"),
    (person(name="a" * 129), "line 4"),
    (person(name=None), "line 4"),
    (person(added=0), "line 4"),
    (person(added=MAX_ADDED + 1), "line 4"),
    (person(external_id="a b"), "line 4"),
    (person(external_id=7), "line 4"),
    (person(metadata=[1]), "line 4"),
    (person(metadata={"a": "x" * MAX_METADATA_BYTES}), "line 4"),
    (person(faces=[]), "line 4"),
    (person(faces=[{}] * 2), "line 4"),
    (vectors(lambda rows: rows[:3]), "not the shape"),
    (vectors(lambda rows: rows.astype(np.float64)), "not the shape"),
    (vectors(np.asfortranarray), "not the shape"),
    (vectors(lambda rows: rows * 2), "line 1 of persons.jsonl has a vector of length 2"),
    (vectors(lambda rows: rows * np.nan), "line 1 of persons.jsonl has a vector of length nan"),
    (lambda members: members.update({VECTORS: b"no array"}), "no file of NumPy's format"),
    (lambda members: members.update({PERSONS: b"[" * 100_000 + b"\n"}), "line 1"),
    (lambda members: members.update({PERSONS: b"x" * 3_000_000}), "line 1"),
    (cut, "line 4"),
]
"""Changes of a file, and what is said of it."""


class TestReading:
    @pytest.fixture(autouse=True)
    def exported(self, path: Path) -> None:
        written(path, persons(4))

    def refused(self, path: Path) -> str:
        with pytest.raises(OperatorError) as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    def found(self, path: Path) -> list[Any] | None:
        """Return the persons of a file, None if it is refused."""
        try:
            return same(read(path))
        except OperatorError:
            return None

    def test_one_that_another_program_wrote_is_read(self, path: Path) -> None:
        rewritten(path, lambda _: None)
        assert same(read(path)) == same(persons(4))

    @pytest.mark.parametrize(
        ("change", "complaint"),
        WRONG,
        ids=map(str, range(len(WRONG))),
    )
    def test_what_no_store_would_take_is_named(
        self, path: Path, change: Callable[[dict[str, bytes]], None], complaint: str
    ) -> None:
        rewritten(path, change)
        assert complaint in self.refused(path)

    @pytest.mark.parametrize("name", [ABOUT, PERSONS, VECTORS])
    def test_a_missing_member_is_named(self, path: Path, name: str) -> None:
        rewritten(path, without(name), checksums=False)
        assert f"it has no {name}" in self.refused(path)

    def test_a_change_without_its_checksum_is_damage(self, path: Path) -> None:
        rewritten(path, person(name="Bob"), checksums=False)
        assert "does not fit its checksum" in self.refused(path)

    def test_flipped_bits_and_missing_ends_are_damage(self, path: Path) -> None:
        whole = path.read_bytes()
        for place in range(0, len(whole), 97):
            flipped = bytearray(whole)
            flipped[place] ^= 64
            path.write_bytes(flipped)
            # Some bits do not matter, such as those of a time in the ZIP file.
            assert self.found(path) in (None, same(persons(4)))
            path.write_bytes(whole[:place])
            assert "damaged or cut short" in self.refused(path)

    def test_it_is_told_from_photos_by_what_is_in_it(self, path: Path) -> None:
        assert is_facedb(path)
        path.rename(path.with_suffix(".zip"))
        assert is_facedb(path.with_suffix(".zip"))
        with zipfile.ZipFile(path.with_name("photos.zip"), "w") as archive:
            archive.writestr("Ann/1.jpg", b"")
        assert not is_facedb(path.with_name("photos.zip"))
        path.write_bytes(b"cut short")
        assert is_facedb(path)
        assert not is_facedb(path.parent)


NAMES = strategies.text(
    strategies.characters(categories=["L", "M", "N", "P", "S"]) | strategies.just(" "), max_size=128
)
VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=5),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    NAMES,
    strategies.none() | strategies.integers(1, MAX_ADDED),
    strategies.none() | strategies.from_regex(r"[!-~]{1,128}", fullmatch=True),
    strategies.none() | strategies.dictionaries(strategies.text(max_size=3), VALUES, max_size=3),
)
def test_any_person_is_the_same_after_a_line(name: str, added: int | None, external: str | None, more: Any) -> None:
    point = Point(PERSON, name, unit(0), added, external, more)
    line, rows = line_of(point)
    assert line.count(b"\n") == 1
    assert same([point_of(parsed(line), rows)]) == same([point])
