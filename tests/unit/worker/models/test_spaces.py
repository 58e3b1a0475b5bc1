"""Which ways of preprocessing a service knows, and which new facedbs get."""

from dataclasses import replace

import pytest

from worker.models.catalog import find
from worker.models.identity import Identity
from worker.models.spaces import Spaces, spaces_of
from worker.models.versions import PREPROCESSINGS, Preprocessing

MODEL = find("sface-2021dec-int8bq", "embedding")
WAYS = {3: Preprocessing(3), 4: Preprocessing(4, mirrors=True)}
"""All that were ever given to a facedb. Facedbs of each exist, so none may change or go; add new ones here."""


@pytest.mark.parametrize("mirror_faces", [False, True])
def test_every_way_that_there_ever_was_is_served(mirror_faces: bool) -> None:
    assert dict(PREPROCESSINGS) == WAYS
    spaces = spaces_of(MODEL, mirror_faces=mirror_faces)
    assert {identity.version % 1000: way for identity, way in spaces.preprocessings.items()} == WAYS
    assert {(identity.model, identity.digest) for identity in spaces.preprocessings} == {(MODEL.name, MODEL.sha256)}


def test_a_new_facedb_gets_mirror_images_only_where_they_are_asked_for() -> None:
    for mirror_faces in (False, True):
        spaces = spaces_of(MODEL, mirror_faces=mirror_faces)
        ways = [spaces.preprocessings[identity] for identity in spaces.for_new]
        assert spaces.preprocessing == ways[0]
        assert ways[0].mirrors == mirror_faces
        assert [way.version for way in ways] == sorted((way.version for way in ways), reverse=True)
        assert ways[-1].version == 3, "as long as a worker of release 0.2 is alive"


def test_identities_of_no_space_are_foreign() -> None:
    ours, theirs = (Identity("sface", "0" * 64, version, 4) for version in (1, 2))
    spaces = Spaces({ours: Preprocessing(1)}, [ours])
    assert spaces.serves(str(ours))
    assert not spaces.serves(str(theirs))
    assert spaces.foreign({"t.a": str(ours), "t.b": str(theirs), "t.c": ""}) == {"t.b": str(theirs), "t.c": ""}


@pytest.mark.parametrize("mirror_faces", [False, True])
def test_a_second_embedder_is_served_and_new_facedbs_get_it_only_beside_workers_without_the_first(
    mirror_faces: bool,
) -> None:
    second = find("sface-2021dec-int8", "embedding")
    first_alone, second_alone = (spaces_of(model, mirror_faces=mirror_faces) for model in (MODEL, second))
    both = spaces_of(MODEL, second, mirror_faces=mirror_faces)
    assert both.for_new == [*first_alone.for_new, *second_alone.for_new]
    assert dict(both.preprocessings) == {
        **first_alone.preprocessings,
        **{identity: replace(way, embedder=second.name) for identity, way in second_alone.preprocessings.items()},
    }
    assert both.preprocessing == first_alone.preprocessing
