"""Images with several faces: how many are added at once, and which."""

import base64
import re
from collections.abc import Callable

import cv2
import pytest

from portraits import astronaut_png, crowd, hopper_jpeg, pixels, png, side_by_side
from service import Service

HEADER = "X-Face-Quality"
SEVERAL = {"status": "FACE_DETECT_FAILED", "message": "check input image and retry"}


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


HOPPER = b64(hopper_jpeg())
BOTH = b64(side_by_side(astronaut_png(), hopper_jpeg()))
"""Two people, of whom the second has the larger face."""

BESIDE_A_BLUR = b64(side_by_side(png(cv2.GaussianBlur(pixels(astronaut_png()), (0, 0), 6)), hopper_jpeg()))


class TestNumber:
    def test_more_faces_than_a_batch_are_added(self, call: Callable) -> None:
        added = call("addface", img=b64(crowd(40))).json()
        assert [face["name"] for face in added["message"]] == [f"ID{number}" for number in range(40)]
        assert len({face["person_id"] for face in added["message"]}) == 40

    @pytest.mark.parametrize("faces", [101, 300])
    def test_more_than_a_hundred_faces_are_refused_with_the_reason(self, call: Callable, faces: int) -> None:
        answer = call("addface", img=b64(crowd(faces)))
        assert (answer.status_code, answer.json()["status"]) == (200, "INVALID_REQUEST")
        sentence = r"img shows (\d+) faces; at most 100 can be added at once: send parts of it, or faces=largest"
        match = re.fullmatch(sentence, answer.json()["message"])
        assert match
        assert int(match[1]) == pytest.approx(faces, abs=3)
        assert call("searchface", img=b64(astronaut_png())).json()["status"] == "NO_SIMILAR_FACE"

    def test_the_largest_of_any_number_can_be_added_and_searched(self, call: Callable) -> None:
        image = b64(crowd(300))
        (added,) = call("addface", img=image, faces="largest").json()["message"]
        (found,) = call("searchface", img=image).json()["message"]
        assert (found["person_id"], found["confidence"]) == (added["person_id"], 100)


class TestSelection:
    @pytest.mark.parametrize("faces", [{}, {"faces": "all"}])
    def test_all_faces_are_added_by_default(self, call: Callable, faces: dict[str, str]) -> None:
        assert len(call("addface", img=BOTH, name="x", **faces).json()["message"]) == 2

    def test_the_largest_face_is_the_one_that_a_search_uses(self, call: Callable) -> None:
        (added,) = call("addface", img=BOTH, faces="largest").json()["message"]
        assert added["name"] == "ID0"
        for image in (BOTH, HOPPER):
            (found,) = call("searchface", img=image).json()["message"]
            assert found["person_id"] == added["person_id"]
            assert found["confidence"] == 100 if image is BOTH else found["confidence"] >= 95
        assert call("searchface", img=b64(astronaut_png())).json()["status"] == "NO_SIMILAR_FACE"

    def test_one_refuses_several_faces_with_the_header_in_any_settings(self, call: Callable) -> None:
        answer = call("addface", img=BOTH, faces="one")
        assert (answer.json(), answer.headers[HEADER]) == (SEVERAL, "several")
        assert call("searchface", img=HOPPER).json()["status"] == "NO_SIMILAR_FACE"

    @pytest.mark.parametrize("image", [HOPPER, BESIDE_A_BLUR], ids=["alone", "beside a face that is left out"])
    def test_one_adds_the_only_suitable_face(self, call: Callable, image: str) -> None:
        answer = call("addface", img=image, faces="one")
        assert len(answer.json()["message"]) == 1
        assert HEADER not in answer.headers

    def test_an_unknown_selection_is_refused(self, call: Callable) -> None:
        for word in ("", "One", "first"):
            answer = call("addface", img=BOTH, faces=word).json()
            assert answer == {"status": "INVALID_REQUEST", "message": "faces must be all, largest or one"}

    def test_every_kind_of_body_has_the_parameter(self, service: Service) -> None:
        image = side_by_side(astronaut_png(), hopper_jpeg())
        for body in (
            {"data": {"img": BOTH, "faces": "one"}},
            {"data": {"faces": "one"}, "files": {"img": image}},
            {"json": {"img": BOTH, "faces": "one"}},
        ):
            assert service.http.post("/v1/addface", **body).headers[HEADER] == "several"

    def test_a_repetition_has_the_same_header_and_all_equals_the_default(self, service: Service) -> None:
        def sent(key: str, **data: str) -> tuple[str, str | None]:
            answer = service.http.post("/v1/addface", data={"img": BOTH, **data}, headers={"Idempotency-Key": key})
            return answer.json()["status"], answer.headers.get(HEADER)

        assert [sent("several", faces="one") for _ in range(2)] == [("FACE_DETECT_FAILED", "several")] * 2
        assert sent("several")[0] == "INVALID_REQUEST"
        blank = {"img": b64(png(pixels(astronaut_png())[:20, :20]))}
        assert [sent("blank", **blank, **faces)[0] for faces in ({}, {"faces": "all"})] == ["FACE_DETECT_FAILED"] * 2
