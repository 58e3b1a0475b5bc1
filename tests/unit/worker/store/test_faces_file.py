"""A file of faces is read back as it was written, and damage is reported with its line."""

import base64
import itertools
import json
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backup_request import faces_path
from shared.errors import OperatorError
from shared.persons import FaceQuality
from worker.models.identity import Identity
from worker.store import faces_file
from worker.store.base import MAX_ADDED, Face, Point
from worker.store.faces import faces_of, with_faces

OURS = Identity("sface", "0" * 64, 1, 4)
AXIS = np.eye(4, dtype=np.float32)[0]


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(4)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
POINTS = st.lists(
    st.builds(
        Point,
        st.uuids(),
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.integers(0, 1000).map(unit),
        st.none() | st.integers(1, MAX_ADDED),
        st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
        st.none() | st.dictionaries(st.text(max_size=5), VALUES, max_size=4),
    ),
    max_size=10,
)


@given(points=POINTS)
def test_faces_are_read_back(points: list[Point]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = faces_path(Path(folder), "t.db")
        faces_file.write(path, "t.db", OURS, points)
        assert faces_file.read_header(path) == faces_file.Header(collection="t.db", identity=str(OURS), dimension=4)
        read = list(faces_file.read(path))
    assert [point.person for point in read] == [point.person for point in points]
    assert [list(point.metadata or {}) for point in read] == [list(point.metadata or {}) for point in points]
    assert all(np.array_equal(one.vector, other.vector) for one, other in zip(read, points, strict=True))
    assert all(point.vector.dtype == np.float32 for point in read)


@given(faces=st.lists(st.tuples(st.none() | st.integers(1, MAX_ADDED), st.booleans()), min_size=1, max_size=6))
def test_the_faces_of_a_person_are_read_back(faces: list[tuple[int | None, bool]]) -> None:
    quality = FaceQuality(size=61.5, sharpness=0.7, dark=0, bright=0.25, yaw=-12.5, pitch=3)
    kept = [
        Face(uuid.UUID(int=number), unit(number), added, quality if measured else None)
        for number, (added, measured) in enumerate(faces)
    ]
    written = with_faces(Point(uuid.UUID(int=0), "Ada", AXIS, 7), kept)
    with tempfile.TemporaryDirectory() as folder:
        path = faces_path(Path(folder), "t.db")
        faces_file.write(path, "t.db", OURS, [written])
        (read,) = faces_file.read(path)
    assert read.person == written.person
    assert np.array_equal(read.vector, written.vector)
    for one, other in zip(faces_of(read), written.faces, strict=True):
        assert np.array_equal(one.vector, other.vector)
        assert (one.face_id, one.quality) == (other.face_id, other.quality)
        assert one.added == other.added


def test_a_person_of_one_face_is_written_as_before(tmp_path: Path) -> None:
    """An earlier release reads it: the faces are a further key, which it does not look at."""
    faces_file.write(tmp_path / "f", "t.db", OURS, [Point(uuid.UUID(int=1), "Ada", AXIS, 7)])
    person = json.loads((tmp_path / "f").read_text().splitlines()[1])
    assert person.keys() == {"person_id", "name", "vector", "added"}


def test_a_vector_is_little_endian_float32(tmp_path: Path) -> None:
    faces_file.write(tmp_path / "f", "t.db", OURS, [Point(uuid.uuid4(), "", AXIS)])
    face = json.loads((tmp_path / "f").read_text().splitlines()[1])
    assert base64.b64decode(face["vector"]) == bytes.fromhex("0000803f" + "00" * 12)


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    faces_file.write(tmp_path / "f", "t.db", OURS, [])
    with pytest.raises(FileExistsError):
        faces_file.write(tmp_path / "f", "t.db", OURS, [])


_NUMBERS = itertools.count(1)
"""Not random: they are in the ids of tests, which must be the same in all processes of a run."""


def line(**changes: object) -> str:
    vector = base64.b64encode(AXIS.tobytes()).decode()
    return (
        json.dumps({"person_id": str(uuid.UUID(int=next(_NUMBERS))), "name": "Ada", "vector": vector, **changes}) + "\n"
    )


def encoded(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def many(count: int, length: float = 1) -> list[dict[str, str]]:
    return [{"face_id": str(uuid.UUID(int=n)), "vector": encoded(length, 0, 0, 0)} for n in range(count)]


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        ("", "no header"),
        ('{"collection": "t.db"}\n', "no header"),
        ("HEADER" + line(), ""),
        ("HEADER" + line() + line()[:-1], "line 3 is no face"),
        ("HEADER" + line() + line()[:50], "line 3 is no face"),
        ("HEADER\n" + line(), "line 2 is no face"),
        ("HEADER" + line(person_id="Ada"), "line 2 is no face"),
        ("HEADER" + line(person_id=None), "line 2 is no face"),
        ("HEADER" + line(name=None), "line 2 is no face"),
        ("HEADER" + line(vector="%%%"), "line 2 is no face"),
        ("HEADER" + line(vector="AAA="), "line 2 is no face"),
        ("HEADER" + line(vector=encoded(1, 0, 0)), "line 2 is a vector of shape"),
        ("HEADER" + line(vector=encoded(2, 0, 0, 0)), "line 2 is a vector of length 2"),
        ("HEADER" + line(vector=encoded(float("nan"), 0, 0, 0)), "line 2 is a vector of length nan"),
        ("HEADER[]\n", "line 2 is no face"),
        ("HEADER" + line(added=None, external_id=None, metadata=None), ""),
        ("HEADER" + line(added=0), "line 2 is no face"),
        ("HEADER" + line(added=True), "line 2 is no face"),
        ("HEADER" + line(added=1.5), "line 2 is no face"),
        ("HEADER" + line(added=2**53), "line 2 is no face"),
        ("HEADER" + line(external_id=7), "line 2 is no face"),
        ("HEADER" + line(metadata="{}"), "line 2 is no face"),
        ("HEADER" + line(faces=[{}]), ""),
        ("HEADER" + line(faces=[]), "line 2 is no face"),
        ("HEADER" + line(faces={}), "line 2 is no face"),
        ("HEADER" + line(faces=["Ada"]), "line 2 is no face"),
        ("HEADER" + line(faces=[{"face_id": 7}]), "line 2 is no face"),
        ("HEADER" + line(faces=[{"quality": {"size": 3}}]), "line 2 is no face"),
        ("HEADER" + line(faces=[{"vector": encoded(1, 0, 0, 0)}, {}]), "line 2 is no face"),
        ("HEADER" + line(faces=[{"vector": encoded(1, 0, 0, 0)}] * 2), "line 2 is no face"),
        ("HEADER" + line(faces=many(101)), "line 2 is no face"),
        ("HEADER" + line(faces=many(100)), ""),
        ("HEADER" + line(faces=many(2, 0.5)), "line 2 is a vector of length 0.5"),
        ("HEADER\udcff\n", "is no UTF-8"),
    ],
)
def test_each_kind_of_damage_is_reported_with_its_line(tmp_path: Path, damaged: str, why: str) -> None:
    header = faces_file.Header(collection="t.db", identity=str(OURS), dimension=4).model_dump_json() + "\n"
    path = tmp_path / "f"
    path.write_bytes(damaged.replace("HEADER", header).encode(errors="surrogateescape"))
    if not why:
        assert len(list(faces_file.read(path))) == 1
        return
    with pytest.raises(OperatorError, match=why) as error:
        list(faces_file.read(path))
    assert str(path) in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for read in (faces_file.read_header, lambda path: list(faces_file.read(path))):
        with pytest.raises(OperatorError, match=r"cannot read .*No such file"):
            read(tmp_path / "f")
