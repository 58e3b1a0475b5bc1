"""The structure of made-up embeddings: what two photos of one person have in common, and what two people have."""

from itertools import islice

import numpy as np
import pytest
from made_up_faces import DIMENSION, PHOTOS_EACH, Faces, LikeSface, RandomPeople

COUNT = 1000


def same_person(faces: Faces) -> np.ndarray:
    """Return the cosines of two photos of each of COUNT people."""
    people = faces.people(COUNT)
    return np.sum(faces.photos(people) * faces.photos(people), axis=1)


def different_people(faces: Faces) -> np.ndarray:
    """Return the cosines of all pairs of photos of COUNT people."""
    photos = faces.photos(faces.people(COUNT))
    return (photos @ photos.T)[np.triu_indices(COUNT, 1)]


@pytest.mark.parametrize(
    ("faces", "same", "different"),
    [(RandomPeople(), (0.6, 0.04), (0.0, 0.088)), (LikeSface(), (0.67, 0.05), (0.095, 0.092))],
    ids=["random people", "like SFace"],
)
def test_cosines_of_one_person_and_of_two_have_their_mean_and_deviation(
    faces: Faces, same: tuple[float, float], different: tuple[float, float]
) -> None:
    for cosines, (mean, deviation) in ((same_person(faces), same), (different_people(faces), different)):
        assert cosines.mean() == pytest.approx(mean, abs=0.01)
        assert cosines.std() == pytest.approx(deviation, abs=0.01)


@pytest.mark.parametrize("kind", [RandomPeople, LikeSface])
def test_photos_are_of_unit_length_and_the_same_in_each_run(kind: type[Faces]) -> None:
    first, again = (next(kind().batches(10)) for _ in range(2))
    assert first.shape == (10, DIMENSION)
    assert first.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("kind", [RandomPeople, LikeSface])
def test_each_person_has_four_photos_in_batches_that_follow_each_other(kind: type[Faces]) -> None:
    batches = list(islice(kind().batches(50), PHOTOS_EACH + 1))
    means = [float(np.sum(batches[0] * other, axis=1).mean()) for other in batches[1:]]
    assert all(mean > 0.5 for mean in means[:-1])
    assert means[-1] < 0.2, "the next batch is of other people"
