"""How often faces are refined, and how far that may move them."""

from dataclasses import replace

import numpy as np
import pytest

from worker.faces.geometry import SAME_WITHIN, TEMPLATE, Detection
from worker.faces.refining import REFINED_AT_MOST, REFINED_AT_ONCE, refined

SIDE = 60.0


def face(x):
    return Detection((x, 10.0, SIDE, SIDE), TEMPLATE * np.float32(SIDE / 112) + np.float32([x, 10]), 0.95)


LEFT, MIDDLE, RIGHT = face(5.0), face(90.0), face(200.0)


class Turning:
    """Turns MIDDLE about its own middle, each time by the next of the given degrees, and then no more."""

    def __init__(self, *degrees):
        self.degrees = list(degrees)
        self.given = []

    def __call__(self, detections):
        self.given.append([one.box for one in detections])
        turn = np.radians(self.degrees.pop(0) if self.degrees else 0)
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

        def turned(one):
            points = (one.landmarks - one.middle) @ matrix + one.middle
            return replace(one, landmarks=points.astype(np.float32), refined_score=0.9)

        return [turned(one) if one.box == MIDDLE.box else replace(one, refined_score=0.9) for one in detections]


@pytest.mark.parametrize(
    ("degrees", "times"), [([0], 1), ([7], 1), ([-7], 1), ([13], 2), ([-13, 9], 3), ([13, 9, 9, 9], 3), ([13, 3, 9], 2)]
)
def test_a_face_is_refined_again_while_that_turns_it_much(degrees, times):
    turning = Turning(*degrees)
    refined(turning, [MIDDLE])
    assert len(turning.given) == times


def test_only_faces_that_were_turned_are_refined_again():
    turning = Turning(20)
    found = refined(turning, [LEFT, MIDDLE, RIGHT])
    assert turning.given == [[LEFT.box, MIDDLE.box, RIGHT.box], [MIDDLE.box]]
    assert [one.box for one in found] == [LEFT.box, MIDDLE.box, RIGHT.box]


def test_so_many_are_refined_at_once_and_no_more():
    turning = Turning()
    refined(turning, [LEFT] * (2 * REFINED_AT_ONCE + 1))
    assert [len(given) for given in turning.given] == [REFINED_AT_ONCE, REFINED_AT_ONCE, 1]


def test_no_face_is_refined_without_a_call():
    turning = Turning()
    assert refined(turning, []) == []
    assert turning.given == []


def test_a_face_does_not_drift_to_its_neighbour():
    step = 0.8 * SAME_WITHIN * SIDE

    class Drifting(Turning):
        """And moves it to the right, each time by less than is allowed at once."""

        def __call__(self, detections):
            return [
                replace(one, landmarks=one.landmarks + np.float32([step, 0])) for one in super().__call__(detections)
            ]

    drifting = Drifting(20, 20, 20)
    (found,) = refined(drifting, [MIDDLE])
    assert 1 < len(drifting.given) <= REFINED_AT_MOST
    assert found.middle[0] == pytest.approx(MIDDLE.middle[0] + step, abs=0.01)
