import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worker.vision.geometry import (
    PROMINENT_PART,
    REFINEMENT_SIDE,
    TEMPLATE,
    Detection,
    align,
    face_crop,
    left_to_right,
    most_prominent,
    overlap,
    similarity_transform,
    transform_back,
)

coordinates = st.floats(-1000, 1000, width=32)
points = hnp.arrays(np.float32, (5, 2), elements=coordinates)
angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.1, 10)


def similarity(angle, scale, shift):
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


def apply(matrix, xy):
    return xy @ matrix[:, :2].T + matrix[:, 2]


def umeyama(src, dst):
    """Umeyama's solution as published in 1991: by singular values, in any number of dimensions."""
    src_mean, dst_mean = src.mean(0), dst.mean(0)
    s, d = src - src_mean, dst - dst_mean
    u, values, vt = np.linalg.svd(d.T @ s / len(src))
    sign = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (values * sign).sum() / (s * s).sum() * len(src)
    return np.column_stack([scale * rotation, dst_mean - scale * rotation @ src_mean])


@given(angles, scales, coordinates, coordinates)
def test_the_applied_similarity_is_found(angle, scale, x, y):
    matrix = similarity(angle, scale, (x, y))
    np.testing.assert_allclose(
        similarity_transform(TEMPLATE, apply(matrix, TEMPLATE.astype(float))), matrix, rtol=1e-6, atol=1e-6
    )


@given(points, points)
def test_the_transform_equals_umeyamas_solution(src, dst):
    src, dst = src.astype(float), dst.astype(float)
    s, d = src - src.mean(0), dst - dst.mean(0)
    assume(np.abs(s).max() > 1)
    # Umeyama's rotation is undefined if the determinant is zero.
    determinant = np.linalg.det(d.T @ s)
    assume(abs(determinant) > 1e-3)
    np.testing.assert_allclose(similarity_transform(src, dst), umeyama(src, dst), rtol=1e-5, atol=1e-3)


@given(points, points, st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-5, 5), st.floats(-5, 5))
def test_no_other_similarity_is_closer(src, dst, da, db, dx, dy):
    src, dst = src.astype(float), dst.astype(float)
    assume(np.abs(src - src.mean(0)).max() > 1)
    best = similarity_transform(src, dst)
    other = best + np.array([[da, -db, dx], [db, da, dy]])

    def error(matrix):
        return ((apply(matrix, src) - dst) ** 2).sum()

    assert error(best) <= error(other) * (1 + 1e-9) + 1e-6


@given(points, points)
def test_the_transform_never_mirrors(src, dst):
    assume(np.abs(src - src.mean(0)).max() > 1)
    matrix = similarity_transform(src, dst)
    assert np.linalg.det(matrix[:, :2]) >= 0


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_degenerate_points_are_refused(bad):
    with pytest.raises(ValueError, match=r"must (be finite|not all)"):
        similarity_transform(bad, TEMPLATE)


def smooth(height, width):
    """Return a picture without detail whose values encode the position."""
    y, x = np.mgrid[:height, :width].astype(float)
    return np.stack([200 * x / width, 200 * y / height, 100 + 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.9, 2.0, 3.3, 5.0, 7.9])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
def test_aligned_landmarks_lie_on_the_template(factor, angle):
    image = smooth(1200, 1400)
    landmarks = apply(similarity(angle, factor, (0, 0)), TEMPLATE - 56.0) + np.array([700, 600])
    crop = align(image, landmarks.astype(np.float32))
    assert crop.shape == (112, 112, 3)
    assert crop.dtype == np.uint8
    for (x, y), (u, v) in zip(landmarks, TEMPLATE, strict=True):
        expected = [200 * x / 1400, 200 * y / 1200, 100]
        np.testing.assert_allclose(crop[round(v), round(u)].astype(float), expected, atol=2.5)


def test_the_outside_of_an_image_is_black():
    crop = align(np.full((50, 50, 3), 255, np.uint8), TEMPLATE + 40)
    assert crop.min() == 0


@pytest.mark.parametrize("shift", [-5000, 5000])
def test_a_large_face_outside_of_the_image_is_black(shift):
    assert align(np.full((50, 50, 3), 255, np.uint8), TEMPLATE * 8 + shift).max() == 0


def test_landmarks_of_an_enormous_face_are_harmless():
    assert align(np.full((50, 50, 3), 255, np.uint8), TEMPLATE * 1e6).shape == (112, 112, 3)


def test_large_faces_are_averaged_before_they_are_warped():
    noise = np.random.default_rng(0).integers(0, 2, (900, 900, 1), dtype=np.uint8).repeat(3, 2) * 255
    crop = align(noise, TEMPLATE * 8)
    # Averages of 64 random bits deviate by 16; four samples would deviate by 64 or more.
    assert crop.std() < 20


@given(st.sampled_from([8, 56, 224]))
def test_the_crop_has_the_requested_size(size):
    assert align(smooth(100, 100), TEMPLATE / 2, size).shape == (size, size, 3)


def found(x, y, width, height):
    return Detection((x, y, width, height), TEMPLATE, 0.9)


boxes = st.lists(st.tuples(*[st.integers(1, 100)] * 4), min_size=1, max_size=8)


@given(boxes)
def test_left_to_right_sorts_by_the_centre(boxes):
    middles = [d.box[0] + d.box[2] / 2 for d in left_to_right(found(*box) for box in boxes)]
    assert middles == sorted(middles)
    assert len(middles) == len(boxes)


@given(boxes)
def test_no_face_is_much_larger_than_the_most_prominent(boxes):
    best = most_prominent([found(*box) for box in boxes], (200, 200))
    assert best.area >= PROMINENT_PART * max(width * height for _, _, width, height in boxes)


@given(boxes)
def test_no_face_of_similar_size_is_more_central_than_the_most_prominent(boxes):
    faces = [found(*box) for box in boxes]
    best = most_prominent(faces, (200, 200))
    largest = max(face.area for face in faces)
    assert all(
        math.dist(best.centre, (100, 100)) <= math.dist(face.centre, (100, 100))
        for face in faces
        if face.area >= PROMINENT_PART * largest
    )


def test_a_clearly_larger_face_is_the_most_prominent_wherever_it_is():
    corner, middle = found(0, 0, 12, 12), found(45, 45, 10, 10)
    assert most_prominent([middle, corner], (100, 100)) is corner


def test_of_equally_large_faces_the_more_central_is_the_most_prominent():
    corner, middle = found(0, 0, 10, 10), found(45, 45, 10, 10)
    assert most_prominent([corner, middle], (100, 100)) is middle
    assert most_prominent([middle, corner], (100, 100)) is middle
    assert most_prominent([middle, corner], (10, 10)) is corner


def test_no_faces_have_no_most_prominent():
    with pytest.raises(ValueError, match="empty"):
        most_prominent([], (100, 100))


@given(angles, scales, coordinates, coordinates)
def test_transforming_back_is_the_inverse(angle, scale, x, y):
    matrix = similarity(angle, scale, (x, y))
    there = apply(matrix, TEMPLATE.astype(float))
    np.testing.assert_allclose(transform_back(there, matrix), TEMPLATE, atol=1e-3)


def test_a_face_crop_shows_the_face_upright_in_its_centre():
    turned = apply(similarity(math.pi / 2, 1, (300, 100)), TEMPLATE.astype(float)).astype(np.float32)
    crop, matrix = face_crop(smooth(400, 300), turned)
    assert crop.shape == (REFINEMENT_SIDE, REFINEMENT_SIDE, 3)
    there = apply(matrix, turned.astype(float))
    eyes, mouth = there[:2].mean(axis=0), there[3:].mean(axis=0)
    assert eyes[0] == pytest.approx(mouth[0], abs=2)
    assert eyes[1] < mouth[1]
    assert np.linalg.norm(there.mean(axis=0) - REFINEMENT_SIDE / 2) < REFINEMENT_SIDE / 8


fractions = st.tuples(*[st.floats(0.01, 1)] * 4)


@given(fractions, fractions)
def test_overlap_is_a_fraction_and_symmetric(first, second):
    assert 0 <= overlap(first, second) <= 1
    assert overlap(first, second) == pytest.approx(overlap(second, first))
    assert overlap(first, first) == pytest.approx(1)


@given(boxes)
def test_overlap_of_whole_boxes_is_a_fraction_and_symmetric(boxes):
    for box in boxes:
        assert overlap(box, box) == pytest.approx(1)
        for other in boxes:
            assert 0 <= overlap(box, other) == overlap(other, box) <= 1


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert overlap((0, 0, 2, 1), (1, 0, 2, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (1, 0, 1, 1)) == 0
    assert overlap((0, 0, 1, 1), (5, 5, 1, 1)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
