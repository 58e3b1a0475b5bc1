"""Which passes are run when, and which way up is taken, with a detector that is given."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.faces.geometry import TEMPLATE, Detection, roll, turned
from worker.faces.looking import COARSE_SIDE, FINE_SIDE, SIDE, TURNS, look

LARGE, SMALL = 60.0, 20.0
COARSE, FULL, FINE = COARSE_SIDE, SIDE, FINE_SIDE


def photo(width=300, height=200):
    """Black, with a white spot half way from the middle to the right, which tells how it was turned."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width * 3 // 4, height // 2), height // 20, (255, 255, 255), -1)
    return image


def way_up(image):
    """Degrees by which a photo was turned counter-clockwise, 0 to 359."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    x, y = columns.mean() - (image.shape[1] - 1) / 2, rows.mean() - (image.shape[0] - 1) / 2
    return round(np.degrees(np.arctan2(-y, x))) % 360


class Seeing:
    """Finds one face, with the score and of the size that are told for (degrees, side), and remembers its passes."""

    def __init__(self, faces):
        self.faces = faces
        self.passes = []

    def __call__(self, image, side):
        at = (way_up(image), side)
        self.passes.append(at)
        if at not in self.faces:
            return []
        score, size = self.faces[at]
        unit = max(image.shape[:2]) / 300
        middle = np.array(image.shape[1::-1]) / 2
        box = (*(middle - size * unit / 2).tolist(), size * unit, size * unit)
        landmarks = (TEMPLATE - TEMPLATE.mean(axis=0)) * np.float32(size * unit / 112) + middle.astype(np.float32)
        return [Detection(box, landmarks.astype(np.float32), score)]


def both(degrees, score, size=LARGE):
    return {(degrees, COARSE): (score, size), (degrees, FULL): (score, size)}


QUARTERS_AND_EIGHTHS = [turn.degrees for turn in TURNS]


@pytest.mark.parametrize(
    ("faces", "passes"),
    [
        # Surely upright: nothing more than there ever was.
        (both(0, 0.95), [(0, COARSE)]),
        (both(0, 0.92), [(0, COARSE)]),
        (both(0, 0.95, SMALL), [(0, COARSE), (0, FULL)]),
        ({(0, FULL): (0.95, SMALL)}, [(0, COARSE), (0, FULL)]),
        # It may stand on its head.
        (both(0, 0.91) | both(180, 0.94), [(0, COARSE), (180, COARSE)]),
        # It may be any way up; a sure and large face there spares the full passes.
        (both(0, 0.89) | both(90, 0.94), [(0, COARSE), *((turn, COARSE) for turn in QUARTERS_AND_EIGHTHS)]),
    ],
)
def test_passes_of_a_search(faces, passes):
    seeing = Seeing(faces)
    look(seeing, photo()).prominent()
    assert sorted(set(seeing.passes)) == sorted(passes)


def test_a_way_up_without_a_large_face_is_looked_at_in_full_when_no_other_has_one():
    seeing = Seeing(both(90, 0.95, SMALL))
    look(seeing, photo()).prominent()
    assert set(seeing.passes) == {(turn, side) for turn in (0, *QUARTERS_AND_EIGHTHS) for side in (COARSE, FULL)}


def test_no_pass_is_run_twice():
    for faces in ({}, both(0, 0.95), both(0, 0.85) | both(270, 0.95), both(45, 0.85, SMALL)):
        seeing = Seeing(faces)
        found = look(seeing, photo(1200, 800))
        found.prominent()
        found.every()
        assert len(seeing.passes) == len(set(seeing.passes)) <= 2 * (1 + len(TURNS)) + 1


def test_threads_do_not_wait_for_each_other():
    both_are_in = threading.Barrier(2, timeout=10)

    def detect(_image, side):
        both_are_in.wait()
        return Seeing(both(0, 0.95))(photo(), side)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda image: look(detect, image).prominent(), [photo(), photo()]))
    assert [len(faces) for faces in found] == [1, 1]


@pytest.mark.parametrize("degrees", [0, *QUARTERS_AND_EIGHTHS])
def test_the_way_up_that_scores_most_is_taken(degrees):
    faces = {at: face for turn in (0, *QUARTERS_AND_EIGHTHS) for at, face in both(turn, 0.85).items()}
    (found,) = look(Seeing(faces | both(degrees, 0.95)), photo()).prominent()
    assert found.score == 0.95
    # Turning the photo counter-clockwise set the face upright.
    assert abs((roll(found.landmarks) + degrees + 180) % 360 - 180) < 0.01


def test_the_photo_as_it_comes_wins_when_nothing_scores_more():
    faces = {at: face for turn in (0, *QUARTERS_AND_EIGHTHS) for at, face in both(turn, 0.85).items()}
    (found,) = look(Seeing(faces), photo()).prominent()
    assert roll(found.landmarks) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("size", [(300, 200), (1200, 800), (2000, 3000)])
@pytest.mark.parametrize("degrees", QUARTERS_AND_EIGHTHS)
def test_a_face_comes_back_to_where_it_is_in_the_photo(degrees, size):
    (found,) = look(Seeing(both(degrees, 0.95)), photo(*size)).prominent()
    # It is in the middle, whichever way the photo is turned.
    np.testing.assert_allclose(found.centre, np.array(size) / 2, atol=0.004 * max(size))
    np.testing.assert_allclose(found.landmarks.mean(axis=0), found.centre, atol=0.01 * found.box[2])
    across = turned(np.zeros((size[1], size[0], 3), np.uint8), degrees)[0].shape
    assert found.box[2] == pytest.approx(LARGE * max(across[:2]) / 300, rel=0.01)


@pytest.mark.parametrize("faces", [{}, both(0, 0.95), both(0, 0.85) | both(90, 0.95), {(180, FULL): (0.95, SMALL)}])
def test_an_add_sees_what_a_search_sees(faces):
    searched = look(Seeing(faces), photo()).prominent()
    added = look(Seeing(faces), photo()).every()
    assert [face.box for face in added] == [face.box for face in searched]
    for one, other in zip(added, searched, strict=True):
        np.testing.assert_array_equal(one.landmarks, other.landmarks)


def test_an_add_decides_the_way_up_by_what_a_search_looks_at():
    # The full pass, which a search does without here, would call it upright.
    seeing = {(0, COARSE): (0.85, LARGE), (0, FULL): (0.95, LARGE)} | both(90, 0.92)
    (found,) = look(Seeing(seeing), photo()).every()
    assert roll(found.landmarks) == pytest.approx(-90, abs=0.01)


@pytest.mark.parametrize(("size", "times"), [((640, 400), 0), ((641, 400), 1), ((1200, 800), 1)])
def test_a_large_photo_is_looked_at_more_finely_where_nothing_is_found(size, times):
    seeing = Seeing({(0, FINE): (0.95, 8.0)})
    assert len(look(seeing, photo(*size)).prominent()) == times
    assert seeing.passes.count((0, FINE)) == times


@pytest.mark.parametrize("side", [COARSE, FULL])
def test_what_is_found_at_a_lower_side_spares_the_finer_pass(side):
    seeing = Seeing({(0, side): (0.85, SMALL)})
    look(seeing, photo(1200, 800)).every()
    assert (0, FINE) not in seeing.passes


@given(st.integers(1, 60), st.integers(1, 60), st.integers(-360, 360))
def test_a_turned_image_holds_all_of_the_image(width, height, degrees):
    image, matrix = turned(np.zeros((height, width, 3), np.uint8), degrees)
    corners = np.array([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)])
    there = corners @ matrix[:, :2].T + matrix[:, 2]
    assert (there > -1.01).all()
    assert (there < np.array(image.shape[1::-1]) + 0.01).all()


@pytest.mark.parametrize("quarter", range(4))
def test_a_quarter_turn_moves_every_pixel_to_another(quarter):
    image = np.random.default_rng(0).integers(0, 256, (7, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(turned(image, 90 * quarter)[0], np.rot90(image, quarter))
