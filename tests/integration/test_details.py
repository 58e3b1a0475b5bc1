"""What `details` says of faces, and searches for every face of a photo, on real photos through a running service."""

import base64
import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from gateway.calls.preferences import written
from portraits import (
    astronaut_png,
    crowd,
    darken,
    hopper_jpeg,
    jpeg,
    oriented,
    pixels,
    png,
    reencode,
    rotate,
    scale,
    side_by_side,
)
from service import Service

QUALITY = ["size", "sharpness", "dark", "bright", "yaw", "pitch"]
BLURRED = png(cv2.GaussianBlur(pixels(astronaut_png()), (0, 0), 6))


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


HOPPER = pixels(hopper_jpeg())
WIDTH = HOPPER.shape[1]
BOTH = side_by_side(hopper_jpeg(), astronaut_png())


@pytest.fixture
def shown(service: Service) -> Callable[[bytes, bytes], list[dict[str, Any]]]:
    """Return the faces of two photos as a comparison shows them."""

    def ask(first: bytes, second: bytes) -> list[dict[str, Any]]:
        sent = {"img1": b64(first), "img2": b64(second), "details": "1"}
        answer = service.http.post("/v1/facecompare", data=sent).json()
        assert list(answer["message"]) == ["similarity", "result", "faces"]
        faces: list[dict[str, Any]] = answer["message"]["faces"]
        assert [list(face) for face in faces] == [["box", "quality"]] * 2
        return faces

    return ask


def overlap(one: list[float], other: list[float]) -> float:
    """Return the common area of two boxes as a part of their joint area."""
    width, height = (min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    common = max(0.0, width) * max(0.0, height)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


class TestBoxes:
    def test_a_box_is_around_the_face(self, shown: Callable) -> None:
        hopper, astronaut = shown(hopper_jpeg(), astronaut_png())
        assert overlap(hopper["box"], [170, 90, 180, 250]) > 0.6
        assert overlap(astronaut["box"], [175, 65, 95, 125]) > 0.6
        assert all(isinstance(number, int) for number in hopper["box"])

    @pytest.mark.parametrize(("one", "other"), [(2, 3), (4, 5), (6, 7), (8, 1)])
    def test_it_is_where_the_face_is_once_the_photo_is_turned_upright(
        self, shown: Callable, one: int, other: int
    ) -> None:
        faces = shown(oriented(HOPPER, one), oriented(HOPPER, other))
        expected, _ = shown(hopper_jpeg(), hopper_jpeg())
        assert all(overlap(face["box"], expected["box"]) > 0.85 for face in faces)

    def test_photos_that_are_reduced_have_boxes_of_their_own_size(self, shown: Callable) -> None:
        expected, _ = shown(hopper_jpeg(), hopper_jpeg())
        factors = (2.5, 5)  # JPEGs are read at a half of their size, and at a quarter
        large = [jpeg(cv2.resize(HOPPER, None, fx=factor, fy=factor), 60) for factor in factors]
        for face, factor in zip(shown(*large), factors, strict=True):
            assert overlap(face["box"], [factor * number for number in expected["box"]]) > 0.85
            assert face["quality"]["size"] == pytest.approx(factor * expected["quality"]["size"], rel=0.1)

    def test_a_photo_that_lies_on_its_side_has_the_box_of_the_photo_as_it_is(self, shown: Callable) -> None:
        left, upside_down = shown(png(np.rot90(HOPPER)), png(np.rot90(HOPPER, 2)))
        expected, _ = shown(hopper_jpeg(), hopper_jpeg())
        x, y, width, height = expected["box"]
        assert overlap(left["box"], [y, WIDTH - x - width, height, width]) > 0.7
        assert overlap(upside_down["box"], [WIDTH - x - width, len(HOPPER) - y - height, width, height]) > 0.7

    def test_a_quality_is_that_of_the_face(self, shown: Callable) -> None:
        sharp, small = shown(hopper_jpeg(), scale(hopper_jpeg(), 0.5))
        assert [list(face["quality"]) for face in (sharp, small)] == [QUALITY] * 2
        width, height = sharp["box"][2:]
        assert sharp["quality"]["size"] == pytest.approx(math.sqrt(width * height), abs=1)
        assert small["quality"]["size"] == pytest.approx(sharp["quality"]["size"] / 2, rel=0.1)
        assert 0.6 < sharp["quality"]["sharpness"] < 1.2
        assert sharp["quality"]["dark"] < 0.1


class TestAdding:
    def test_every_added_face_has_its_details(self, call: Callable) -> None:
        attached = {"external_id": "e-1", "metadata": '{"floor":3}'}
        entries = call("addface", img=b64(BOTH), name="x", details="1", **attached).json()["message"]
        for entry in entries:
            assert list(entry) == [
                *("name", "person_id", "face_id", "box", "quality", "added", "external_id", "metadata", "faces")
            ]
            assert entry["face_id"] == entry["person_id"]
            assert (entry["external_id"], entry["metadata"], entry["faces"]) == ("e-1", {"floor": 3}, 1)
        first, second = (entry["box"] for entry in entries)
        assert first[0] + first[2] <= WIDTH <= second[0]

    def test_the_time_is_that_of_the_list_and_what_is_not_attached_is_left_out(self, service: Service) -> None:
        sent = {"img": b64(hopper_jpeg()), "details": "1", "faces": "largest"}
        (entry,) = service.http.post("/v1/addface", data=sent).json()["message"]
        assert list(entry) == ["name", "person_id", "face_id", "box", "quality", "added", "faces"]
        person = service.http.get(f"/v1/persons/{entry['person_id']}").json()["message"]
        service.http.delete(f"/v1/persons/{entry['person_id']}")
        assert entry["added"] == person["added"]

    def test_0_asks_for_none(self, call: Callable) -> None:
        (entry,) = call("addface", img=b64(hopper_jpeg()), details="0").json()["message"]
        assert list(entry) == ["name", "person_id"]

    @pytest.mark.parametrize("value", ["", "2", "true", "-1"])
    def test_another_value_is_refused(self, call: Callable, value: str) -> None:
        answer = call("addface", img=b64(hopper_jpeg()), details=value).json()
        assert answer["status"] == "INVALID_REQUEST"
        assert answer["message"].endswith("must be 0 or 1")


DETAILS = ["face_id", "box", "quality", "added", "external_id", "metadata", "faces", "face_confidences"]


class TestSearching:
    def test_every_match_has_the_details_of_face_and_person(self, call: Callable) -> None:
        attached = {"external_id": "e-1", "metadata": '{"floor":3}'}
        (added,) = call("addface", img=b64(hopper_jpeg()), details="1", **attached).json()["message"]
        (found,) = call("searchface", img=b64(hopper_jpeg()), details="1").json()["message"]
        assert list(found) == ["confidence", "name", "person_id", *DETAILS]
        for name in ("face_id", "box", "quality", "added", "external_id", "metadata", "faces"):
            assert found[name] == added[name]
        assert found["face_confidences"] == [{"face_id": added["face_id"], "confidence": 100}]

    def test_a_match_of_a_face_among_all_leaves_its_place_to_the_face(self, call: Callable) -> None:
        call("addface", img=b64(astronaut_png()))
        left, right = call("searchface", img=b64(BOTH), details="1", faces="all").json()["message"]
        assert (list(left), left["matches"]) == (["box", "quality", "matches"], [])
        assert list(right["matches"][0]) == [
            *("confidence", "name", "person_id", "face_id", "added", "faces", "face_confidences")
        ]

    def test_each_face_of_a_person_has_its_own_confidence(self, call: Callable) -> None:
        (first,) = call("addface", img=b64(hopper_jpeg()), details="1").json()["message"]
        other = b64(darken(rotate(hopper_jpeg(), 8), 0.5))
        (second,) = call("addface", img=other, person_id=first["person_id"], details="1").json()["message"]
        (found,) = call("searchface", img=b64(hopper_jpeg()), details="1").json()["message"]
        assert (found["person_id"], found["face_id"], found["faces"]) == (first["person_id"], first["face_id"], 2)
        own, others = found["face_confidences"]
        assert (own["face_id"], others["face_id"]) == (first["face_id"], second["face_id"])
        assert own["confidence"] == 100 > found["confidence"] > others["confidence"]

    def test_whole_confidences_are_those_of_each_face_too(self) -> None:
        faces = [{"face_id": "2", "confidence": 98.9}, {"face_id": "1", "confidence": 98.2}]
        (match,) = written([{"confidence": 98.5, "name": "", "person_id": "1", "face_confidences": faces}], "whole")
        assert match["face_confidences"] == [{"face_id": "1", "confidence": 98}, {"face_id": "2", "confidence": 98}]


class TestSearchingForAPerson:
    def test_those_like_the_person_are_found_and_not_the_person(self, call: Callable) -> None:
        ids = []
        for image in (hopper_jpeg(), reencode(hopper_jpeg(), 50), hopper_jpeg(), astronaut_png()):
            (entry,) = call("addface", img=b64(image)).json()["message"]
            ids.append(entry["person_id"])
        by_photo = call("searchface", img=b64(hopper_jpeg())).json()["message"]
        by_person = call("searchface", person_id=ids[0]).json()["message"]
        assert by_person == [match for match in by_photo if match["person_id"] != ids[0]]
        assert {match["person_id"] for match in by_person} == set(ids[1:3])
        assert call("searchface", person_id=ids[0], limit="1").json()["message"] == by_person[:1]
        (detailed,) = call("searchface", person_id=ids[0], limit="1", details="1").json()["message"]
        assert list(detailed) == [*("confidence", "name", "person_id", "face_id", "added", "faces", "face_confidences")]
        assert call("searchface", person_id=ids[3]).json()["status"] == "NO_SIMILAR_FACE"

    @pytest.mark.parametrize("person_id", ["4fbd9474-e09f-4e7d-9a2f-06fa1167f67e", "nobody"])
    def test_an_unknown_person_does_not_exist(self, call: Callable, person_id: str) -> None:
        answer = call("searchface", person_id=person_id).json()
        assert answer == {"status": "PERSON_ID_NOT_EXIST", "message": "check input person id"}

    def test_every_kind_of_body_has_it(self, service: Service) -> None:
        for body in ({"json": {"person_id": "x", "img": None}}, {"data": {"person_id": "x"}, "files": {"a": b"b"}}):
            assert service.http.post("/v1/searchface", **body).json()["status"] == "PERSON_ID_NOT_EXIST"

    def test_without_both_the_image_is_missing(self, call: Callable) -> None:
        assert call("searchface").json()["message"].startswith("img is missing or empty; it must be the base64 of")


class TestSearchingForAll:
    def test_every_face_has_its_own_matches_from_left_to_right(self, call: Callable) -> None:
        (hopper,) = call("addface", img=b64(hopper_jpeg()), name="Grace").json()["message"]
        (astronaut,) = call("addface", img=b64(astronaut_png()), name="Eileen").json()["message"]
        faces = call("searchface", img=b64(BOTH), faces="all").json()["message"]
        assert [list(face) for face in faces] == [["box", "quality", "matches"]] * 2
        assert [[match["person_id"] for match in face["matches"]] for face in faces] == [
            [hopper["person_id"]],
            [astronaut["person_id"]],
        ]
        assert [list(face["matches"][0]) for face in faces] == [["confidence", "name", "person_id"]] * 2
        assert faces[0]["box"][0] < WIDTH <= faces[1]["box"][0]

    def test_a_face_without_a_match_has_none_and_a_flawed_one_the_reason(self, call: Callable) -> None:
        call("addface", img=b64(hopper_jpeg()))
        three = side_by_side(astronaut_png(), hopper_jpeg(), BLURRED)
        faces = call("searchface", img=b64(three), faces="all", min_confidence="95").json()["message"]
        assert [len(face["matches"]) for face in faces] == [0, 1, 0]
        assert [face.get("reason") for face in faces] == [None, None, "blur"]
        assert list(faces[2]) == ["box", "quality", "reason", "matches"]

    def test_without_any_match_nobody_is_similar(self, call: Callable) -> None:
        assert call("searchface", img=b64(BOTH), faces="all").json()["status"] == "NO_SIMILAR_FACE"

    def test_if_all_faces_are_flawed_none_was_detected(self, call: Callable) -> None:
        assert call("searchface", img=b64(BLURRED), faces="all").json()["status"] == "FACE_DETECT_FAILED"

    def test_too_many_faces_are_refused_with_the_reason(self, call: Callable) -> None:
        answer = call("searchface", img=b64(crowd(121)), faces="all").json()
        assert answer["status"] == "INVALID_REQUEST"
        assert answer["message"].endswith(
            " faces; at most 100 can be searched for at once: send parts of it, or faces=largest"
        )

    def test_one_is_no_choice_of_a_search(self, call: Callable) -> None:
        answer = call("searchface", img=b64(hopper_jpeg()), faces="one").json()
        assert answer == {"status": "INVALID_REQUEST", "message": "faces must be largest or all"}
