"""Results with the real weights, compared with OpenCV's own implementations (FaceDetectorYN, FaceRecognizerSF)."""

import cv2
import numpy as np
import pytest

from portraits import astronaut_png, hopper_jpeg, pixels, scale, side_by_side
from worker.vision.geometry import TEMPLATE, align
from worker.vision.session import open_session
from worker.vision.yunet import YuNet, resize

PICTURES = {
    "astronaut": astronaut_png(),
    "hopper": hopper_jpeg(),
    "both": side_by_side(hopper_jpeg(), astronaut_png()),
    "many": side_by_side(*[scale(astronaut_png(), 0.4), scale(hopper_jpeg(), 0.5)] * 3),
    "small": scale(astronaut_png(), 0.3),
    "large": scale(hopper_jpeg(), 2.5),
}
MIN_SCORE = 0.6


def reference_detections(weights, image):
    """Return OpenCV's detections of exactly this image, best first: x y w h, five landmarks, score."""
    reference = cv2.FaceDetectorYN.create(
        str(weights.detector_original), "", image.shape[1::-1], MIN_SCORE, nms_threshold=0.3
    )
    return reference.detect(image)[1]


@pytest.fixture(scope="module")
def recognizer(weights):
    return cv2.FaceRecognizerSF.create(str(weights.embedder_original), "")


@pytest.mark.parametrize("name", PICTURES)
def test_detections_equal_those_of_opencv(weights, name):
    image, _ = resize(pixels(PICTURES[name]), 640)
    found = YuNet(open_session(weights.detector), MIN_SCORE).detect(image, 640)
    expected = reference_detections(weights, image)
    assert len(found) == len(expected) > 0
    for detection, row in zip(found, expected, strict=True):
        np.testing.assert_allclose(detection.box, row[:4], atol=0.02)
        np.testing.assert_allclose(detection.landmarks.reshape(-1), row[4:14], atol=0.02)
        assert detection.score == pytest.approx(row[14], abs=1e-4)


def test_detections_are_in_pixels_of_the_image(yunet):
    image = pixels(hopper_jpeg())
    (small,) = yunet.detect(resize(image, 640)[0], 640)
    (large,) = yunet.detect(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), 640)
    factor = 2 * image.shape[0] / 640
    np.testing.assert_allclose(large.landmarks, small.landmarks * factor, atol=2)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_aligned_crops_equal_those_of_opencv(weights, recognizer, name):
    # At a size that needs no averaging, which OpenCV does not do.
    image, _ = resize(pixels(PICTURES[name]), 400)
    (row,) = reference_detections(weights, image)
    ours = align(image, row[4:14].reshape(5, 2))
    theirs = recognizer.alignCrop(image, row)
    assert np.abs(ours.astype(int) - theirs).mean() < 0.5
    assert cosine(recognizer.feature(ours), recognizer.feature(theirs)) > 0.9999


def cosine(a, b):
    a, b = a.reshape(-1).astype(float), b.reshape(-1).astype(float)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def crops():
    """Return two faces and two crops of noise: uint8 (4, 112, 112, 3)."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    portraits = [
        cv2.resize(pixels(astronaut_png())[60:175, 165:280], (112, 112)),
        cv2.resize(pixels(hopper_jpeg())[120:340, 160:370], (112, 112)),
    ]
    return np.stack([*portraits, *noise])


def test_embeddings_equal_those_of_opencv(arcface, recognizer):
    batch = crops()
    for ours, crop in zip(arcface.embed(batch), batch, strict=True):
        assert cosine(ours, recognizer.feature(crop)) > 0.999999


def test_a_batch_equals_single_crops(arcface):
    batch = crops()
    one_by_one = np.concatenate([arcface.embed(crop[None]) for crop in batch])
    np.testing.assert_allclose(arcface.embed(batch), one_by_one, atol=1e-6)


def test_the_order_of_channels_matters(arcface):
    batch = crops()[:1]
    assert cosine(arcface.embed(batch), arcface.embed(np.ascontiguousarray(batch[..., ::-1]))) < 0.99


@pytest.mark.parametrize("shape", [(1, 32, 640, 3), (1, 640, 352, 3), (2, 416, 640, 3)])
def test_the_prepared_detector_takes_any_size(weights, shape):
    outputs = open_session(weights.detector).run(np.zeros(shape, np.uint8))
    coarsest = shape[1] * shape[2] // 32**2
    assert outputs["faces"].shape == (shape[0], 15, (16 + 4 + 1) * coarsest)


def test_the_template_is_that_of_opencv(recognizer):
    # A face on the template must not be changed.
    image = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    row = np.concatenate([[0, 0, 112, 112], TEMPLATE.reshape(-1), [1]]).astype(np.float32)
    np.testing.assert_allclose(recognizer.alignCrop(image, row).astype(int), align(image, TEMPLATE), atol=2)
