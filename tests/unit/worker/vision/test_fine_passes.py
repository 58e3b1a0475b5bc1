"""The tiles of fine passes and the faces found in them, with a fake detector."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.vision.fine_passes import (
    FINEST,
    LEAST_FINE_SIDE,
    OVERLAP,
    STEP,
    TILE,
    fine_sides,
    needs_fine_passes,
    run_fine_passes,
    spans,
)
from worker.vision.geometry import TEMPLATE, CropScores, Detection, overlap
from worker.vision.passes import SIDE
from worker.vision.refinement import SURE_REFINED


@given(st.integers(1, 60_000))
def test_tiles_cover_a_side_and_overlap_enough(length):
    found = spans(length)
    assert found[0][0] == 0
    assert found[-1][0] + found[-1][1] == length
    assert len({size for _, size in found}) == 1
    assert 1 <= found[0][1] <= max(TILE, 1)
    for (first, size), (second, _) in pairwise(found):
        assert first < second
        assert first + size - second >= OVERLAP - 1


@given(st.integers(1, 60_000))
@example(28_801)
def test_each_pass_is_at_most_one_step_finer_than_the_one_before(longest):
    sides = [SIDE, *fine_sides(longest)]
    assert sides == sorted(set(sides))
    assert all(finer <= STEP * coarser + STEP for coarser, finer in pairwise(sides))
    # Never enlarged, and in a large picture a face of 40 pixels stays large enough.
    assert sides[-1] <= max(longest, SIDE)
    assert sides[-1] >= min(round(FINEST * longest), longest)
    assert longest < LEAST_FINE_SIDE or sides[-1] >= LEAST_FINE_SIDE


@pytest.mark.parametrize(("longest", "wanted"), [(640, False), (1066, False), (1067, True), (4000, True)])
def test_fine_passes_are_needed_where_a_face_of_40_pixels_may_be_missed(longest, wanted):
    assert needs_fine_passes(longest) is wanted


def face(x, y, size, score=0.6):
    points = (TEMPLATE - 56) * np.float32(size / 112) + np.float32([x, y])
    return Detection((x - size / 2, y - size / 2, size, size), points, score)


class FakeDetector:
    """Detects white squares as faces, in the size that they have in its input, cut off at its borders."""

    def __init__(self, refined_score=0.95, least=10, crop_score=1.0):
        self.refined_score = refined_score
        self.least = least
        self.crop_score = crop_score
        self.shapes = []

    def detect(self, image, side):
        assert max(image.shape[:2]) == side, "a tile must not be resized"
        self.shapes.append(image.shape[:2])
        found = []
        left = image[..., 0] > 127
        while left.any():
            top, x = np.argwhere(left)[0]
            down = top
            while down < image.shape[0] and left[down, x]:
                down += 1
            right = x
            while right < image.shape[1] and left[top, right]:
                right += 1
            left[top:down, max(0, x - 1) : right + 1] = False
            if min(down - top, right - x) >= self.least:
                found.append((x, top, right - x, down - top))
        return [
            replace(face(x + width / 2, y + height / 2, width), box=(float(x), float(y), float(width), float(height)))
            for x, y, width, height in found
        ]

    def refine(self, _image, detections):
        return [replace(one, refined_score=self.refined_score) for one in detections]

    def score_crops(self, _image, detections):
        return [CropScores(*[self.crop_score] * 3) for _ in detections]


def picture(width, height, *squares):
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, size in squares:
        image[y : y + size, x : x + size] = 255
    return image


def found(image, **more):
    given = {"known": [], "doubtful": [], "finer": True} | more
    return run_fine_passes(FakeDetector(), image, given.pop("known"), given.pop("doubtful"), **given)


@given(st.integers(0, 3000 - 60), st.integers(0, 1500 - 60), st.integers(40, 60))
def test_a_small_face_is_found_once_wherever_it_is(x, y, size):
    (one,) = found(picture(3000, 1500, (x, y, size)))
    assert overlap(one.box, (x, y, size, size)) > 0.8


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 45])
def test_faces_of_rotated_passes_are_in_coordinates_of_the_picture(degrees):
    (one,) = found(picture(1500, 1100, (1300, 200, 50)), degrees=degrees)
    assert one.centre == pytest.approx((1325, 225), abs=3)
    assert one.box[2:] == pytest.approx((50, 50), abs=4)


@pytest.mark.parametrize(("width", "height"), [(8000, 120), (120, 8000)])
def test_a_strip_is_searched_along_its_whole_length(width, height):
    squares = [(30 + 900 * number, 30, 60) if width > height else (30, 30 + 900 * number, 60) for number in range(9)]
    assert len(found(picture(width, height, *squares))) == 9


def test_known_faces_and_parts_of_them_are_not_found_again():
    # A large known face, and its eye, which the detector takes for a face.
    known = face(600, 500, 400)
    assert found(picture(1500, 1000, (550, 450, 60)), known=[known]) == []


@pytest.mark.parametrize(("score", "faces"), [(SURE_REFINED, 1), (SURE_REFINED - 0.01, 0)])
def test_a_doubtful_candidate_needs_its_refined_score(score, faces):
    doubtful = [face(100, 100, 30)]
    seen = run_fine_passes(FakeDetector(score), picture(300, 200), [], doubtful, finer=False)
    assert [one.box for one in seen] == [one.box for one in doubtful][:faces]


@pytest.mark.parametrize(("crop_score", "faces"), [(0.9, 1), (0.8, 0)])
def test_a_doubtful_candidate_needs_its_scores_on_further_crops(crop_score, faces):
    doubtful = [face(100, 100, 30)]
    assert (
        len(run_fine_passes(FakeDetector(0.9, crop_score=crop_score), picture(300, 200), [], doubtful, finer=False))
        == faces
    )


def test_without_fine_passes_nothing_is_detected():
    detector = FakeDetector()
    assert run_fine_passes(detector, picture(3000, 2000, (10, 10, 50)), [], [], finer=False) == []
    assert detector.shapes == []


def test_no_tile_is_larger_than_the_limit():
    detector = FakeDetector()
    run_fine_passes(detector, picture(6000, 4000), [], [], finer=True)
    assert max(max(shape) for shape in detector.shapes) <= TILE
