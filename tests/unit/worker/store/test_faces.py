"""The vector by which a person is found, and what is kept of its faces."""

import itertools
import json
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.store.attributes import payload_of, payload_of_changed, point_of
from worker.store.base import Face, Point, StoreError, Vector
from worker.store.faces import FacesOpposed, faces_of, searched_vector, with_faces, without_face
from worker.store.qdrant.conditions import require_version

PERSON = uuid.UUID(int=0)


def unit(seed: int) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(8)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def person_with(count: int) -> Point:
    faces = [Face(uuid.UUID(int=number), unit(number), 10 + number) for number in range(count)]
    return with_faces(Point(PERSON, "Ada", unit(0), 10), faces)


class TestTheVector:
    def test_of_one_face_it_is_that_of_the_face(self) -> None:
        assert searched_vector([unit(1)]) is not None
        assert np.array_equal(searched_vector([unit(1)]), unit(1))

    @given(st.lists(st.integers(0, 1000), min_size=2, max_size=100))
    def test_of_several_it_is_their_mean_at_unit_length(self, seeds: list[int]) -> None:
        vectors = [unit(seed) for seed in seeds]
        mean = np.mean(np.stack(vectors).astype(np.float64), axis=0)
        found = searched_vector(vectors)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)

    def test_it_does_not_depend_on_the_order_in_which_faces_came(self) -> None:
        faces = person_with(5).faces
        point = person_with(1)
        vectors = {with_faces(point, some).vector.tobytes() for some in itertools.permutations(faces)}
        assert len(vectors) == 1

    @pytest.mark.parametrize("vectors", [[unit(1), -unit(1)], [unit(1), unit(2), -unit(1), -unit(2)]], ids=len)
    def test_opposite_faces_have_none(self, vectors: list[Vector]) -> None:
        with pytest.raises(FacesOpposed):
            searched_vector(vectors)


class TestTheFaces:
    def test_a_face_is_taken_away(self) -> None:
        left = without_face(person_with(3), PERSON)
        assert left is not None
        assert [face.face_id.int for face in left.faces] == [1, 2]
        assert np.array_equal(left.vector, person_with_ids(1, 2).vector)

    def test_the_last_face_leaves_nobody(self) -> None:
        assert without_face(Point(PERSON, "Ada", unit(0)), PERSON) is None

    @given(st.integers(1, 5))
    def test_they_are_read_from_the_payload(self, count: int) -> None:
        point = person_with(count)
        read = point_of("db", PERSON, json.loads(json.dumps(payload_of(point))), point.vector)
        assert read.person == point.person
        for one, other in zip(faces_of(read), point.faces, strict=True):
            assert (one.face_id, one.added, one.quality) == (other.face_id, other.added, other.quality)
            assert np.array_equal(one.vector, other.vector)

    def test_a_person_of_one_face_keeps_what_an_earlier_release_kept(self) -> None:
        assert payload_of(Point(PERSON, "Ada", unit(0), 10)) == {"name": "Ada", "added": 10}

    def test_each_change_has_a_revision_of_its_own(self) -> None:
        point = person_with(2)
        assert payload_of_changed(point)["revision"] != payload_of_changed(point)["revision"]

    @pytest.mark.parametrize(
        "damage",
        [
            {"faces": "["},
            {"faces": "[]"},
            {"faces": "{}"},
            {"faces": 7},
            {"faces": '["a","b"]'},
            {"faces": '[{"face_id":"x"},{}]'},
            {"faces": '[{"added":"x"},{}]'},
            {"faces": '[{"quality":{"size":1}},{}]'},
            {"faces": "[{},{}]"},
            {"face_count": 3},
            {"face_count": 0},
            {"face_count": "2"},
            {"face_vectors": None},
            {"face_vectors": "AAAA"},
            {"face_vectors": "%"},
        ],
        ids=str,
    )
    def test_damage_is_an_error_of_that_person(self, damage: dict[str, object]) -> None:
        point = person_with(2)
        with pytest.raises(StoreError, match="face 00000000-0000-0000-0000-000000000000 has no valid"):
            point_of("db", PERSON, payload_of(point) | damage, point.vector)


def person_with_ids(*numbers: int) -> Point:
    faces = [Face(uuid.UUID(int=number), unit(number), 10 + number) for number in numbers]
    return with_faces(Point(PERSON, "Ada", unit(0), 10), faces)


@pytest.mark.parametrize("version", ["1.17.0", "1.19.1", "2.0.0", "1.100.0-dev", "unknown"])
def test_a_server_that_knows_conditions_is_used(version: str) -> None:
    require_version(version)


@pytest.mark.parametrize("version", ["1.16.3", "1.9.0", "0.11.0"])
def test_one_that_would_ignore_them_is_not(version: str) -> None:
    with pytest.raises(StoreError, match=r"use 1\.17 or later"):
        require_version(version)
