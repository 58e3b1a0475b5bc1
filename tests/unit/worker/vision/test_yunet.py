import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worker.vision.geometry import REFINEMENT_SIDE, TEMPLATE, Detection
from worker.vision.yunet import YuNet, candidates, non_maximum_suppression, resize

sides = st.integers(1, 3000)


def iou(a, b):
    """Return the intersection over union of two boxes x y w h."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def plain_suppression(boxes, scores, limit):
    """Return the indices that a plain loop keeps."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j]) <= limit for j in kept):
            kept.append(i)
    return kept


# Whole numbers, so that both computations of an overlap round alike.
whole_boxes = st.integers(0, 12).flatmap(
    lambda n: hnp.arrays(np.float32, (n, 4), elements=st.integers(1, 20).map(float), fill=st.nothing())
)


@given(boxes=whole_boxes, data=st.data())
def test_suppression_equals_a_plain_loop(boxes, data):
    count = len(boxes)
    levels = st.integers(1, 8).map(lambda x: x / 8)
    scores = data.draw(hnp.arrays(np.float32, count, elements=levels, fill=st.nothing()))
    assert non_maximum_suppression(boxes, scores, 0.3).tolist() == plain_suppression(boxes, scores, 0.3)


@given(height=sides, width=sides, side=st.sampled_from([320, 640]))
def test_resize_gives_the_longest_side_and_keeps_proportions(height, width, side):
    resized, factor = resize(np.zeros((height, width, 3), np.uint8), side)
    assert max(resized.shape[:2]) == side
    # Half a pixel of rounding, and less than one that halvings drop.
    assert abs(min(resized.shape[:2]) - min(height, width) * side / max(height, width)) <= 1.5
    # A halving drops less than two pixels.
    np.testing.assert_allclose(factor * resized.shape[1::-1], [width, height], atol=2 * max(height, width) / side)


def test_a_photo_is_averaged_when_it_is_reduced():
    noise = np.random.default_rng(0).integers(0, 2, (2560, 2560, 1), dtype=np.uint8).repeat(3, 2) * 255
    resized, _ = resize(noise, 320)
    # Averages of 64 random bits deviate by 16; four samples would deviate by 64.
    assert resized.std() < 20


def outputs(*faces):
    """Return the outputs of the network for one image: cells without a face around those of box, landmarks, score."""
    cells = np.zeros((1, 15, 2 * len(faces) + 1), np.float32)
    for number, (box, landmarks, score) in enumerate(faces):
        cells[0, :, 2 * number + 1] = [*box, *np.reshape(landmarks, -1), score]
    return {"faces": cells}


class Canned:
    """A session that always detects one face, and records its inputs."""

    def __init__(self):
        self.given = []

    def run(self, images):
        self.given.append(images)
        found = outputs(((0, 0, 64, 64), np.arange(10), 0.95))
        return {name: values.repeat(len(images), axis=0) for name, values in found.items()}


def test_detections_are_in_pixels_of_the_image():
    session = Canned()
    (found,) = YuNet(session, 0.8).detect(np.full((160, 320, 3), 7, np.uint8), 640)
    assert session.given[0].shape == (1, 320, 640, 3)
    assert found.box == pytest.approx((0, 0, 32, 32))
    np.testing.assert_array_equal(found.landmarks, np.arange(10, dtype=np.float32).reshape(5, 2) / 2)
    assert found.landmarks.dtype == np.float32
    assert found.score == pytest.approx(0.95)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (33, 47), (640, 640)])
def test_any_size_is_padded_to_multiples_of_32(shape):
    session = Canned()
    YuNet(session, 0.8).detect(np.full((*shape, 3), 255, np.uint8), 640)
    (given,) = session.given
    assert (given.dtype, given.shape[3], given.flags.c_contiguous) == (np.uint8, 3, True)
    assert given.shape[1] % 32 == given.shape[2] % 32 == 0
    assert max(given.shape[1:3]) == 640
    assert given.max() == 255


def test_a_score_below_the_least_is_no_face():
    assert YuNet(Canned(), 0.96).detect(np.zeros((64, 64, 3), np.uint8), 640) == []


class Scored:
    """A session that finds one cell of each of the given scores in each image, less a tenth in each further image."""

    def __init__(self, *scores):
        self.scores = scores
        self.given = []

    def run(self, images):
        self.given.append(images)
        found = [
            outputs(*[((0, 0, 9, 9), np.zeros(10), score - number / 10) for score in self.scores])["faces"]
            for number in range(len(images))
        ]
        return {"faces": np.concatenate(found)}


def test_the_best_score_of_each_image_is_found_in_one_inference_however_low_it_is():
    session = Scored(0.14, 0.22)
    assert YuNet(session).best_scores([np.zeros((160, 160, 3), np.uint8)] * 3) == pytest.approx([0.22, 0.12, 0.02])
    assert [images.shape for images in session.given] == [(3, 160, 160, 3)]


def test_of_cells_that_no_caller_looks_at_only_the_best_one_is_kept():
    faces = Scored(0.1, 0.2).run([0])["faces"]
    np.testing.assert_array_equal(candidates(faces)[0, -1], np.float32([0.2]))
    faces = Scored(0.1, 0.35, 0.2, 0.95).run([0])["faces"]
    np.testing.assert_array_equal(candidates(faces)[0, -1], np.float32([0.35, 0.95]))


class Refining:
    """A session that detects the given faces on every crop: box and landmarks in pixels of the crop, and a score."""

    def __init__(self, *faces):
        self.faces = faces
        self.given = []

    def run(self, images):
        self.given.append(images)
        found = outputs(*((box, landmarks, score[0] if score else 0.95) for box, landmarks, *score in self.faces))
        return {name: values.repeat(len(images), axis=0) for name, values in found.items()}


IMAGE = np.full((300, 300, 3), 90, np.uint8)
FACES = [
    Detection((20.0, 20.0, 90.0, 90.0), TEMPLATE + 10, 0.9),
    Detection((150.0, 150.0, 90.0, 90.0), TEMPLATE + 150, 0.8),
]
IN_THE_MIDDLE = (56, 56, 112, 112)


def test_all_faces_are_refined_in_one_run():
    there = (TEMPLATE - 56) * 1.5 + REFINEMENT_SIDE / 2 + 3  # three pixels further right and down
    session = Refining((IN_THE_MIDDLE, there))
    refined = YuNet(session, 0.8).refine(IMAGE, FACES)
    assert [images.shape for images in session.given] == [(2, REFINEMENT_SIDE, REFINEMENT_SIDE, 3)]
    for before, after in zip(FACES, refined, strict=True):
        assert (after.box, after.score) == (before.box, before.score)
        assert after.refined_score == pytest.approx(0.95)
        np.testing.assert_allclose(after.landmarks, before.landmarks + 2, atol=1e-3)


@pytest.mark.parametrize(
    ("box", "shift"),
    [(IN_THE_MIDDLE, 0.26 * 112), ((100, 100, 24, 24), 0), ((4, 4, 216, 216), 0)],
    ids=["beside", "small", "large"],
)
def test_a_neighbour_is_not_taken_for_the_refined_face(box, shift):
    there = (TEMPLATE - 56) * 1.5 + REFINEMENT_SIDE / 2 + np.float32([shift, 0])
    refined = YuNet(Refining((box, there)), 0.8).refine(IMAGE, FACES)
    assert [after.refined_score for after in refined] == [0, 0]
    assert all(after.landmarks is before.landmarks for before, after in zip(FACES, refined, strict=True))


def test_the_nearest_of_two_faces_on_a_crop_is_taken_whatever_their_scores():
    here = (TEMPLATE - 56) * 1.5 + REFINEMENT_SIDE / 2
    session = Refining((IN_THE_MIDDLE, here + 2, 0.8), ((150, 56, 100, 112), here + 20, 0.95))
    refined = YuNet(session, 0.8).refine(IMAGE, FACES)
    assert [after.refined_score for after in refined] == pytest.approx([0.8, 0.8])
    for before, after in zip(FACES, refined, strict=True):
        np.testing.assert_allclose(after.landmarks, before.landmarks + 2 * 0.5 * 4 / 3, atol=1)


class BySide(Refining):
    """Detects a face in the centre of each crop, or beside it, with a score by the side of the crop."""

    def __init__(self, beside=0.0):
        super().__init__()
        self.beside = beside

    def run(self, images):
        side = images.shape[2]
        landmarks = (TEMPLATE - 56) * np.float32(side / 150) + np.float32([side / 2 + self.beside * side, side / 2])
        self.faces = [((side / 4, side / 4, side / 2, side / 2), landmarks, side / 1000 + 0.5)]
        return super().run(images)


def test_crop_scores_are_of_three_crops():
    session = BySide()
    scores = YuNet(session, 0.8).score_crops(IMAGE, FACES)
    assert [images.shape for images in session.given] == [(2, side, side, 3) for side in (128, 288, REFINEMENT_SIDE)]
    for crop_scores in scores:
        assert crop_scores == pytest.approx((0.628, 0.788, 0.724))


def test_a_neighbour_has_no_crop_scores():
    assert YuNet(BySide(beside=0.2), 0.8).score_crops(IMAGE, FACES) == [(0, 0, 0)] * 2


def test_the_last_crop_is_the_refined_one_mirrored():
    image = np.random.default_rng(1).integers(0, 256, IMAGE.shape, np.uint8)
    session = Refining()
    YuNet(session, 0.8).refine(image, FACES)
    YuNet(session, 0.8).score_crops(image, FACES)
    np.testing.assert_array_equal(session.given[-1][:, :, ::-1], session.given[0])


def test_no_faces_need_no_run():
    assert YuNet(Canned(), 0.8).refine(IMAGE, []) == []
