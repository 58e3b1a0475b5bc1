"""The measured quality of a face, and the gates that check it."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import Flaw
from worker.vision.geometry import CROP_SIZE, TEMPLATE, Detection
from worker.vision.quality import GATES, NEUTRAL_PITCH, STANDARD, STRICT, Quality, measure

FACE = Detection((10.0, 20.0, 90.0, 160.0), TEMPLATE, 0.9)
FINE = Quality(size=110, sharpness=0.8, dark=0, bright=0, yaw=0, pitch=0)
SEEDS = st.integers(0, 2**32 - 1)


def texture(seed: int, side: int = CROP_SIZE) -> np.ndarray:
    """Return detail of every size, strongest in coarse ones as in photos: uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(size=(n, n)), (side, side), interpolation=cv2.INTER_CUBIC) for n in (4, 7, 14, 28)]
    values = np.sum([layer * 0.6**n for n, layer in enumerate(layers)], axis=0)
    grey = 128 + 60 * values / np.abs(values).max()
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def sharpness(crop: np.ndarray) -> float:
    return measure(FACE, crop, 1).sharpness


def turned(yaw: float, pitch: float, roll: float = 0, scale: float = 1) -> np.ndarray:
    """Return the five landmarks of a head with the frontal view TEMPLATE, seen from afar in this pose. Angles in
    degrees.
    """
    head = np.column_stack([TEMPLATE, [0, 0, -22, -6, -6]]).astype(float)
    head -= head.mean(axis=0)
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    points = head @ (about_z @ about_y @ about_x).T
    return (points[:, :2] * scale + 300).astype(np.float32)


def pose(landmarks: np.ndarray) -> tuple[float, float]:
    quality = measure(replace(FACE, landmarks=landmarks), texture(0), 1)
    return quality.yaw, quality.pitch


class TestSize:
    def test_size_is_that_in_the_photo_as_it_was_sent(self) -> None:
        assert measure(FACE, texture(0), 1).size == pytest.approx(120)
        assert measure(FACE, texture(0), 4).size == pytest.approx(480)


class TestSharpness:
    @given(SEEDS, st.floats(1, 4))
    def test_blur_lowers_sharpness(self, seed: int, sigma: float) -> None:
        crop = texture(seed)
        once = cv2.GaussianBlur(crop, (0, 0), sigma)
        assert sharpness(crop) > sharpness(once) > sharpness(cv2.GaussianBlur(once, (0, 0), 4))

    @given(SEEDS, st.floats(0.3, 1.3))
    def test_contrast_and_brightness_do_not_change_sharpness(self, seed: int, contrast: float) -> None:
        crop = texture(seed)
        other = np.clip(crop.astype(float) * contrast, 0, 255).astype(np.uint8)
        assert sharpness(other) == pytest.approx(sharpness(crop), rel=0.06)

    @given(SEEDS)
    def test_the_size_of_the_crop_does_not_change_sharpness(self, seed: int) -> None:
        large = texture(seed, 4 * CROP_SIZE)
        small = cv2.resize(large, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
        assert sharpness(small) == pytest.approx(sharpness(large), rel=0.02)

    def test_a_flat_surface_has_no_sharpness(self) -> None:
        assert sharpness(np.full((CROP_SIZE, CROP_SIZE, 3), 90, np.uint8)) == pytest.approx(0, abs=1e-3)


class TestExposure:
    @given(SEEDS, st.floats(0.02, 8), st.floats(1, 3))
    def test_more_light_is_never_darker_nor_less_bright(self, seed: int, light: float, more: float) -> None:
        crop = texture(seed).astype(float)
        less, much = (measure(FACE, np.clip(crop * by, 0, 255).astype(np.uint8), 1) for by in (light, light * more))
        assert less.dark >= much.dark
        assert less.bright <= much.bright

    def test_black_and_white(self) -> None:
        black, white = (measure(FACE, np.full((CROP_SIZE, CROP_SIZE, 3), grey, np.uint8), 1) for grey in (3, 255))
        assert (black.dark, black.bright) == (1, 0)
        assert (white.dark, white.bright) == (0, 1)


class TestPose:
    @given(st.floats(-80, 80), st.floats(-40, 40), st.floats(-180, 180), st.floats(0.2, 5))
    def test_the_pose_is_measured_at_any_size_and_roll(
        self, yaw: float, pitch: float, roll: float, scale: float
    ) -> None:
        found = pose(turned(yaw, pitch, roll, scale))
        assert found == pytest.approx((yaw, pitch - NEUTRAL_PITCH), abs=0.1)

    def test_positive_angles_are_right_and_down_in_the_image(self) -> None:
        nose_right, nose_down = TEMPLATE.copy(), TEMPLATE.copy()
        nose_right[2, 0] += 10
        nose_down[2, 1] += 8
        level = pose(TEMPLATE)
        assert pose(nose_right)[0] > level[0] + 15
        assert pose(nose_down)[1] > level[1] + 10


class TestGates:
    @pytest.mark.parametrize(
        ("changed", "flaw"),
        [
            ({"size": 20}, Flaw.SIZE),
            ({"sharpness": 0.3}, Flaw.BLUR),
            ({"dark": 0.9}, Flaw.DARK),
            ({"bright": 0.95}, Flaw.BRIGHT),
            ({}, None),
        ],
    )
    def test_flaws_of_both_gates(self, changed: dict[str, float], flaw: Flaw | None) -> None:
        for gate in (STANDARD, STRICT):
            assert gate.flaw(replace(FINE, **changed)) is flaw

    @pytest.mark.parametrize(
        ("changed", "flaw"),
        [
            ({"size": 40}, Flaw.SIZE),
            ({"sharpness": 0.5}, Flaw.BLUR),
            ({"dark": 0.5}, Flaw.DARK),
            ({"bright": 0.5}, Flaw.BRIGHT),
            ({"yaw": -55}, Flaw.POSE),
            ({"yaw": 55}, Flaw.POSE),
            ({"pitch": 25}, Flaw.POSE),
            ({"pitch": -25}, Flaw.POSE),
        ],
    )
    def test_flaws_of_the_strict_gate_only(self, changed: dict[str, float], flaw: Flaw) -> None:
        assert STRICT.flaw(replace(FINE, **changed)) is flaw
        assert STANDARD.flaw(replace(FINE, **changed)) is None

    @pytest.mark.parametrize("changed", [{"yaw": 45}, {"yaw": -45}, {"pitch": 15}, {"yaw": 45, "pitch": -15}])
    def test_faces_that_are_turned_and_found_all_the_same_pass_both_gates(self, changed: dict[str, float]) -> None:
        for gate in (STANDARD, STRICT):
            assert gate.flaw(replace(FINE, **changed)) is None

    @given(
        st.builds(
            Quality,
            size=st.floats(1, 1000),
            sharpness=st.floats(0, 2),
            dark=st.floats(0, 1),
            bright=st.floats(0, 1),
            yaw=st.floats(-90, 90),
            pitch=st.floats(-90, 90),
        )
    )
    def test_the_strict_gate_refuses_every_face_that_the_standard_gate_refuses(self, quality: Quality) -> None:
        assert STANDARD.flaw(quality) is None or STRICT.flaw(quality) is not None

    def test_a_face_that_is_too_small_is_not_reported_as_blurred(self) -> None:
        assert STANDARD.flaw(replace(FINE, size=10, sharpness=0.1)) is Flaw.SIZE

    def test_off_has_no_gate(self) -> None:
        assert GATES["off"] is None
