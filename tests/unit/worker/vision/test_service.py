"""The steps from an encoded image to embedded faces, with a fake detector and a fake embedder."""

import hashlib
import random
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_parts import large_photo
from portraits import png
from shared.errors import FaceNotDetected, ImageUnreadable
from worker.models.versions import PREPROCESSINGS
from worker.vision.arcface import unit_vectors
from worker.vision.decoding_memory import decoding_bytes
from worker.vision.geometry import TEMPLATE, CropScores, Detection
from worker.vision.memory_budget import MemoryBudget
from worker.vision.service import FaceSelection, FaceService, embed_mirrored


def face(x, size):
    return Detection((x, 10.0, size, size), TEMPLATE + np.float32(x), 0.95)


class FakeDetector:
    """Finds the given faces in passes of the given sides; refinement gives each a score of 1."""

    def __init__(self, *faces, at=(320, 640)):
        self.faces = list(faces)
        self.at = at
        self.sides = []

    def detect(self, _image, side):
        self.sides.append(side)
        return self.faces if side in self.at else []

    def best_scores(self, images):
        return [0.0] * len(images)

    def refine(self, _image, detections):
        return [replace(detection, refined_score=1.0) for detection in detections]

    def score_crops(self, _image, detections):
        return [CropScores(1, 1, 1) for _ in detections]


class FakeEmbedder:
    """Embeds each crop as the unit vector of its number in the batch, and records the batches."""

    size = 112

    def __init__(self):
        self.batches = []

    def embed(self, crops):
        self.batches.append(crops)
        return np.eye(8, dtype=np.float32)[: len(crops)]


IMAGE = png(np.full((200, 300, 3), 100, np.uint8))
RIGHT, LEFT, LARGE = face(200.0, 20.0), face(5.0, 20.0), face(90.0, 60.0)


def test_faces_are_embedded_from_left_to_right_in_one_batch():
    embedder = FakeEmbedder()
    faces = FaceService(FakeDetector(RIGHT, LARGE, LEFT), embedder).embed_all(IMAGE)
    assert [f.detection.box for f in faces] == [LEFT.box, LARGE.box, RIGHT.box]
    assert [crops.shape for crops in embedder.batches] == [(3, 112, 112, 3)]
    assert [f.vector.argmax() for f in faces] == [0, 1, 2]


class Selecting(FaceSelection):
    """Considers faces of at least 30 pixels, accepts every other one of these, and records its calls."""

    def __init__(self):
        self.calls = []

    def candidates(self, sizes):
        self.calls.append([round(size) for size in sizes])
        return [number for number, size in enumerate(sizes) if size >= 30]

    def before_batch(self, cpu_s):
        assert cpu_s >= 0
        self.calls.append("go on")

    def accepts(self, number, quality, box):
        self.calls.append((number, round(quality.size)))
        assert box[2] == pytest.approx(quality.size)
        return number % 2 == 1


def test_selected_faces_are_embedded_and_keep_their_numbers():
    embedder, selection = FakeEmbedder(), Selecting()
    faces = FaceService(FakeDetector(RIGHT, LARGE, LEFT, face(240.0, 40.0)), embedder).embed_all(IMAGE, selection)
    assert selection.calls == [[20, 60, 20, 40], "go on", (1, 60), (3, 40)]
    assert [(f.number, f.detection.box) for f in faces] == [(1, LARGE.box), (3, face(240.0, 40.0).box)]
    assert [len(crops) for crops in embedder.batches] == [2]


def test_without_a_selected_face_none_is_embedded():
    embedder = FakeEmbedder()
    assert FaceService(FakeDetector(LEFT, RIGHT), embedder).embed_all(IMAGE, Selecting()) == []
    assert embedder.batches == []


def test_a_selection_may_stop_before_every_batch_of_faces():
    class Stopping(Selecting):
        def before_batch(self, cpu_s):
            super().before_batch(cpu_s)
            if self.calls.count("go on") > 2:
                raise ZeroDivisionError

    embedder, stopping = FakeEmbedder(), Stopping()
    many = [face(30.0 * number, 30.0) for number in range(100)]
    with pytest.raises(ZeroDivisionError):
        FaceService(FakeDetector(*many), embedder).embed_all(png(np.full((200, 3200, 3), 100, np.uint8)), stopping)
    assert [len(crops) for crops in embedder.batches] == [8, 8]


class Colours:
    """Embeds each crop as the mean colours of its left and right half, black as 1, and records the batches."""

    size = 112

    def __init__(self):
        self.batches = []

    def embed(self, crops):
        self.batches.append(crops)
        halves = [1 + half.mean(axis=(1, 2)) for half in (crops[:, :, :56], crops[:, :, 56:])]
        return unit_vectors(np.concatenate(halves, axis=1).astype(np.float32))


MIRRORED = PREPROCESSINGS[4]
TWO_COLOURS = np.full((200, 300, 3), (200, 100, 10), np.uint8)
TWO_COLOURS[:, 90 + 56 :] = (20, 40, 90)


@pytest.mark.parametrize("method", ["embed_all", "embed_most_prominent"])
def test_a_mirrored_embedding_is_the_mean_of_the_faces_and_its_mirror_images(method):
    embedder = Colours()
    found = getattr(FaceService(FakeDetector(LARGE), embedder), method)(png(TWO_COLOURS), preprocessing=MIRRORED)
    (face,) = found if method == "embed_all" else [found]
    (crops,) = embedder.batches
    np.testing.assert_array_equal(crops[1], crops[0, :, ::-1])
    mean = embedder.embed(crops).mean(axis=0)
    np.testing.assert_allclose(face.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert face.vector[:3] == pytest.approx(face.vector[3:], abs=1e-6)


def test_a_crop_and_its_mirror_image_have_the_same_mirrored_embedding():
    crops = np.random.default_rng(5).integers(0, 256, (3, 112, 112, 3), np.uint8)
    ours, theirs = (embed_mirrored(Colours(), given) for given in (crops, crops[:, :, ::-1]))
    np.testing.assert_array_equal(ours, theirs)


def test_mirrored_faces_are_embedded_in_batches_of_as_many_crops():
    selection, embedder = Selecting(), Colours()
    many = [face(30.0 * number, 30.0) for number in range(40)]
    image = png(np.full((200, 1300, 3), 100, np.uint8))
    found = FaceService(FakeDetector(*many), embedder).embed_all(image, selection, MIRRORED)
    assert len(found) == 20
    assert [len(crops) for crops in embedder.batches] == [8] * 5
    assert selection.calls.count("go on") == 5


def test_only_the_most_prominent_is_embedded():
    embedder = FakeEmbedder()
    found = FaceService(FakeDetector(RIGHT, LARGE, LEFT), embedder).embed_most_prominent(IMAGE)
    assert found.detection.box == LARGE.box
    assert [len(crops) for crops in embedder.batches] == [1]


@pytest.mark.parametrize("method", ["embed_all", "embed_most_prominent"])
def test_an_image_without_a_face_is_refused(method):
    with pytest.raises(FaceNotDetected):
        getattr(FaceService(FakeDetector(), FakeEmbedder()), method)(IMAGE)


@pytest.mark.parametrize("method", ["embed_all", "embed_most_prominent"])
def test_data_that_is_no_image_is_refused(method):
    with pytest.raises(ImageUnreadable):
        getattr(FaceService(FakeDetector(LEFT), FakeEmbedder()), method)(b"no image")


@pytest.mark.parametrize("method", ["embed_all", "embed_most_prominent"])
def test_an_image_of_more_pixels_than_the_services_limit_is_refused(method):
    assert getattr(FaceService(FakeDetector(LARGE), FakeEmbedder(), max_pixels=200 * 300), method)(IMAGE)
    with pytest.raises(ImageUnreadable, match="too many pixels"):
        getattr(FaceService(FakeDetector(LARGE), FakeEmbedder(), max_pixels=200 * 300 - 1), method)(IMAGE)


def test_an_add_detects_at_both_sides_and_finds_each_face_once():
    detector = FakeDetector(LARGE, LEFT)
    found = FaceService(detector, FakeEmbedder()).embed_all(IMAGE)
    assert detector.sides == [320, 640]
    assert [face.detection.box for face in found] == [LEFT.box, LARGE.box]


@pytest.mark.parametrize("at", [(320,), (640,)])
def test_an_add_finds_a_large_face_that_only_one_side_shows(at):
    (found,) = FaceService(FakeDetector(LARGE, at=at), FakeEmbedder()).embed_all(IMAGE)
    assert found.detection.box == LARGE.box


def test_an_add_has_the_box_of_a_search():
    class Moving(FakeDetector):
        """Finds the face two pixels further right at the full side."""

        def detect(self, image, side):
            return [face(92.0, 60.0)] if side == 640 else super().detect(image, side)

    enrolled = FaceService(Moving(LARGE), FakeEmbedder()).embed_all(IMAGE)
    searched = FaceService(Moving(LARGE), FakeEmbedder()).embed_most_prominent(IMAGE)
    assert [face.detection.box for face in enrolled] == [searched.detection.box]


def test_a_search_detects_a_large_face_at_half_the_side_only():
    detector = FakeDetector(LARGE)
    FaceService(detector, FakeEmbedder()).embed_most_prominent(IMAGE)
    assert detector.sides == [320]


def test_a_search_detects_a_small_face_at_the_full_side_too():
    detector = FakeDetector(LEFT)
    FaceService(detector, FakeEmbedder()).embed_most_prominent(IMAGE)
    assert detector.sides == [320, 640]


@pytest.mark.parametrize("at", [(320,), (640,)])
def test_a_search_finds_a_face_that_only_one_side_shows(at):
    assert FaceService(FakeDetector(LEFT, at=at), FakeEmbedder()).embed_most_prominent(IMAGE).detection.box == LEFT.box


@pytest.mark.parametrize("method", ["embed_all", "embed_most_prominent"])
def test_landmarks_are_refined_before_a_face_is_embedded(method):
    found = getattr(FaceService(FakeDetector(LARGE), FakeEmbedder()), method)(IMAGE)
    faces = found if method == "embed_all" else [found]
    assert [face.detection.refined_score for face in faces] == [1.0]


class CountingBudget(MemoryBudget):
    """Records what is reserved, and how many reservations are held."""

    def __init__(self) -> None:
        super().__init__(10**9)
        self.reserved: list[int] = []
        self.held = 0

    @contextmanager
    def reserve(self, size):
        self.reserved.append(size)
        self.held += 1
        assert self.held == 1, "a thread that holds memory must not wait for more"
        try:
            with super().reserve(size):
                yield
        finally:
            self.held -= 1


@pytest.mark.parametrize("method", ["embed_all", "embed_most_prominent"])
def test_memory_is_reserved_until_the_image_is_finished(method):
    memory = CountingBudget()

    class Watching(FakeEmbedder):
        def embed(self, crops):
            assert memory.held == 1
            return super().embed(crops)

    getattr(FaceService(FakeDetector(LARGE), Watching(), memory=memory), method)(IMAGE)
    with pytest.raises(FaceNotDetected):
        getattr(FaceService(FakeDetector(), FakeEmbedder(), memory=memory), method)(IMAGE)
    assert memory.held == 0
    assert set(memory.reserved) == {decoding_bytes(IMAGE, full_size=True)}


def test_memory_of_a_reduced_photo_is_returned_before_that_of_the_full_photo_is_reserved():
    memory = CountingBudget()
    photo = large_photo()
    with pytest.raises(FaceNotDetected):
        FaceService(FakeDetector(), FakeEmbedder(), memory=memory).embed_most_prominent(photo)
    assert memory.reserved == [decoding_bytes(photo, full_size=False), decoding_bytes(photo, full_size=True)]
    assert memory.held == 0


class RandomDetector:
    """A detector that finds random faces, the same ones for the same pixels and seed."""

    def __init__(self, seed):
        self.seed = seed

    def _drawn(self, *about):
        return random.Random(repr((self.seed, *about)))  # noqa: S311 -- reproducible

    def detect(self, image, side):
        drawn = self._drawn(hashlib.sha256(image.tobytes()).hexdigest(), image.shape, side)
        height, width = image.shape[:2]
        found = []
        for _ in range(drawn.choice([0, 0, 1, 2, 4])):
            size = drawn.uniform(0.03, 0.5) * min(height, width)
            x, y = drawn.uniform(0, width - size), drawn.uniform(0, height - size)
            points = TEMPLATE * np.float32(size / 112) + np.float32([x, y])
            found.append(Detection((x, y, size, size), points, drawn.choice([0.55, 0.7, 0.81, 0.88, 0.91, 0.97])))
        return found

    def best_scores(self, images):
        return [self._drawn("scout", image.shape).choice([0.0, 0.1, 0.3, 0.9]) for image in images]

    def refine(self, _image, detections):
        scores = [0.0, 0.4, 0.7, 0.85, 0.95]
        return [replace(one, refined_score=self._drawn("refined", one.box).choice(scores)) for one in detections]

    def score_crops(self, _image, detections):
        return [CropScores(*(self._drawn(part, one.box).choice([0, 0.9]) for part in "slm")) for one in detections]


class ZeroEmbedder:
    """Embeds every face as zeros."""

    size = 112

    def embed(self, crops):
        return np.zeros((len(crops), 8), np.float32)


NOISE = png(np.random.default_rng(3).integers(0, 256, (90, 140, 3), np.uint8))


@settings(max_examples=100)
@given(st.integers(0))
def test_the_face_of_a_search_is_always_one_of_an_add(seed):
    """One rule decides which candidates are faces, in every pass and rotation, of any size and score."""
    try:
        added = [each.detection.box for each in FaceService(RandomDetector(seed), ZeroEmbedder()).embed_all(NOISE)]
    except FaceNotDetected:
        added = []
    try:
        searched = [FaceService(RandomDetector(seed), ZeroEmbedder()).embed_most_prominent(NOISE).detection.box]
    except FaceNotDetected:
        searched = []
    assert bool(searched) == bool(added)
    assert set(searched) <= set(added)
