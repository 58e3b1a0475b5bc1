"""How recall is counted, and which rows of earlier runs are kept."""

from pathlib import Path

import numpy as np
import pytest
import recall
import results
from made_up_faces import PHOTOS_EACH, RandomPeople, Vectors
from store import LIMIT, Exact

PEOPLE = 20


class Gallery:
    """A collection of four photos of each of PEOPLE people, searched exactly, that leaves out what `missed` says."""

    build_s = 0.0

    def __init__(self, vectors: Vectors, numbers: list[int], missed: set[int]) -> None:
        self._vectors, self._numbers, self._missed = vectors, numbers, missed

    def search(self, vector: Vectors, least: float, ef: int) -> set[int]:
        assert ef == 7
        cosines = self._vectors @ vector
        best = sorted(range(len(cosines)), key=lambda at: -cosines[at])[:LIMIT]
        return {self._numbers[at] for at in best if cosines[at] >= least} - self._missed

    def memory(self) -> int:
        return 0


@pytest.fixture
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Return what is measured of a gallery that leaves out the faces of the parameter."""
    monkeypatch.setattr(recall, "BATCH", PEOPLE)
    faces = RandomPeople()
    people = faces.people(PEOPLE)
    probes = faces.photos(people)
    exact = Exact(probes)
    batches = [faces.photos(people) for _ in range(PHOTOS_EACH)]
    for number, vectors in enumerate(batches):
        exact.add(vectors, number * PEOPLE)
    numbers = list(range(PHOTOS_EACH * PEOPLE))
    gallery = Gallery(np.concatenate(batches), numbers, request.param)
    return recall.measured(gallery, probes, exact, 7)


@pytest.mark.parametrize("counted", [set()], indirect=True)
def test_a_search_that_leaves_nothing_out_has_full_recall(counted: dict) -> None:
    assert (counted["listed"], counted["missed_people"], counted["top50"]) == (1, 0, 1)
    assert 0 < counted["p50_ms"] <= counted["p99_ms"]


@pytest.mark.parametrize("counted", [{3}], indirect=True)
def test_a_face_that_is_never_listed_is_missed_while_its_person_is_found_by_another(counted: dict) -> None:
    assert counted["listed"] < 1
    assert counted["top50"] < 1
    assert counted["missed_people"] == 0


@pytest.mark.parametrize("counted", [{3 + PEOPLE * photo for photo in range(PHOTOS_EACH)}], indirect=True)
def test_a_person_of_whom_no_face_is_listed_is_missed(counted: dict) -> None:
    assert counted["missed_people"] == 1


def test_rows_of_other_engines_sizes_and_settings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(recall.sys, "argv", ["bench/recall.py"])

    def row(engine: str, faces: int, listed: float) -> dict:
        return {"engine": engine, "faces": faces, "setting": "int8, all compared", "listed": listed}

    assert recall.kept_rows() == []
    for added in (row("b", 2, 0.5), row("a", 2, 1), row("b", 1, 1), row("b", 2, 1)):
        recall.keep(added)
    assert recall.kept_rows() == [row("a", 2, 1), row("b", 1, 1), row("b", 2, 1)]
