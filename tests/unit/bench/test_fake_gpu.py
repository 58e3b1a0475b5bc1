"""The made-up GPU takes as long as the real one did, and shows a service what it needs to see."""

import io

import cv2
import numpy as np
import pytest
from fake_gpu import LAUNCH_MS, SFACE, YUNET_320, YUNET_640, Detector, Embedder, Gpu, _by_pixels

from shared.settings import Settings
from worker.models import catalog
from worker.vision.arcface import ArcFace
from worker.vision.service import FaceService
from worker.vision.yunet import YuNet

WITHIN = 0.05


class AtOnce:
    """A GPU that takes no time."""

    def work(self, times, rows):
        pass


@pytest.mark.parametrize(
    ("times", "rows", "per_second"),
    [
        (SFACE, 1, 684),
        (SFACE, 8, 4812),
        (SFACE, 32, 6684),
        (YUNET_320, 1, 698),
        (YUNET_320, 8, 3680),
        (YUNET_320, 32, 5398),
        (YUNET_640, 1, 499),
        (YUNET_640, 8, 1149),
    ],
)
def test_one_session_is_as_fast_as_measured(times, rows, per_second):
    assert rows * 1e3 / times.total_ms(rows) == pytest.approx(per_second, rel=WITHIN)


@pytest.mark.parametrize(("times", "per_second"), [(SFACE, 7909), (YUNET_320, 8466), (YUNET_640, 2082)])
def test_four_sessions_are_as_fast_as_measured(times, per_second):
    assert 1e3 / times.busy_ms == pytest.approx(per_second, rel=WITHIN)


def test_no_inference_is_shorter_than_its_launch_and_other_sizes_are_between():
    assert _by_pixels(320**2) == YUNET_320
    assert _by_pixels(224**2).total_ms(1) == LAUNCH_MS
    assert YUNET_320.total_ms(8) < _by_pixels(480 * 640).total_ms(8) < YUNET_640.total_ms(8)


def test_an_inference_takes_its_time(monkeypatch):
    slept = []
    monkeypatch.setattr("fake_gpu.time.sleep", slept.append)
    Gpu().work(YUNET_640, 8)
    assert sum(slept) * 1e3 == pytest.approx(YUNET_640.total_ms(8))
    assert slept[-1] * 1e3 == pytest.approx(8 * YUNET_640.busy_ms)


class Detectors:
    """A session for every size of images."""

    def run(self, images):
        return Detector(AtOnce(), images.shape[1:3]).run(images)


@pytest.fixture
def service():
    embedder = catalog.find(Settings().embedder, "embedding")
    return FaceService(YuNet(Detectors()), ArcFace(Embedder(AtOnce(), (112, 112)), embedder))


def photo(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return io.BytesIO(cv2.imencode(".png", cv2.resize(pixels, (width, height)))[1]).getvalue()


@pytest.mark.parametrize(("height", "width"), [(250, 250), (300, 400), (640, 480), (1200, 900)])
def test_a_photo_shows_one_sure_face_whose_vector_is_its_own(service, height, width):
    first, again, other = (service.embed_most_prominent(photo(seed, height, width)) for seed in (1, 1, 2))
    assert len(service.embed_all(photo(1, height, width))) == 1
    assert first.detection.refined_score == pytest.approx(0.95)
    np.testing.assert_array_equal(first.vector, again.vector)
    assert abs(float(first.vector @ other.vector)) < 0.9
