"""Every example answer of docs/contract.md, one test each: keys, their order, types and texts.

All is compared to the letter except ids.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from portraits import astronaut_png, faceless_png, hopper_jpeg, reencode, side_by_side
from processes import gateway
from shared.contract import MAX_IMAGE_BYTES

Call = Callable[..., httpx.Response]

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def require(response: httpx.Response, example: str, http_status: int = 200) -> None:
    """Require that the answer is the example, byte for byte except for ids."""
    assert response.status_code == http_status
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    pattern = re.escape(example).replace(re.escape("<uuid>"), UUID)
    assert re.fullmatch(pattern, response.text), response.text


@pytest.fixture(scope="module")
def without_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A real gateway and a real broker, without a worker."""
    with gateway(tmp_path_factory.mktemp("without_workers"), deadline_s=0.3) as client:
        yield client


class TestAddFace:
    def test_one_face(self, call: Call) -> None:
        require(
            call("addface", img=b64(hopper_jpeg())),
            '{"status": "OK", "message": [{"name": "ID0", "person_id": "<uuid>"}]}',
        )

    def test_two_faces(self, call: Call) -> None:
        call("addface", img=b64(hopper_jpeg()))
        require(
            call("addface", img=b64(side_by_side(hopper_jpeg(), astronaut_png()))),
            '{"status": "OK", "message": '
            '[{"name": "ID1", "person_id": "<uuid>"}, {"name": "ID2", "person_id": "<uuid>"}]}',
        )

    def test_no_face(self, call: Call) -> None:
        require(
            call("addface", img=b64(faceless_png())),
            '{"status": "FACE_DETECT_FAILED", "message": "check input image and retry"}',
        )

    def test_server_error(self, without_workers: httpx.Client) -> None:
        require(
            without_workers.post("/v1/addface", data={"img": b64(hopper_jpeg())}),
            '{"status": "FAIL", "message": "please try again later"}',
            503,
        )

    def test_text_in_place_of_an_image(self, call: Call) -> None:
        require(
            call("addface", img=b64(b"just some text")),
            '{"status": "IMAGE_INVALID_FORMAT", "message": "image format not support"}',
        )

    def test_an_image_that_is_too_large(self, call: Call) -> None:
        require(
            call("addface", img=b64(hopper_jpeg().ljust(MAX_IMAGE_BYTES + 1, b"\0"))),
            '{"status": "IMAGE_INVALID_SIZE", "message": "image larger than 2M"}',
        )


class TestSearchFace:
    def test_similar_faces(self, call: Call) -> None:
        call("addface", img=b64(hopper_jpeg()), name="NAME")
        call("addface", img=b64(reencode(hopper_jpeg(), 30)), name="")
        response = call("searchface", img=b64(hopper_jpeg()))
        first, second = json.loads(response.text)["message"]
        assert 80 <= second["confidence"] < 100
        require(
            response,
            '{"status": "OK", "message": [{"confidence": 100, "name": "NAME", "person_id": "<uuid>"}, '
            f'{{"confidence": {second["confidence"]}, "name": "", "person_id": "<uuid>"}}]}}',
        )
        assert list(first) == list(second) == ["confidence", "name", "person_id"]

    def test_no_similar_face(self, call: Call) -> None:
        call("addface", img=b64(astronaut_png()))
        require(
            call("searchface", img=b64(hopper_jpeg())),
            '{"status": "NO_SIMILAR_FACE", "message": "no similar face in db"}',
        )

    def test_no_face(self, call: Call) -> None:
        require(
            call("searchface", img=b64(faceless_png())),
            '{"status": "FACE_DETECT_FAILED", "message": "check input image and retry"}',
        )

    def test_an_image_of_another_format(self, call: Call) -> None:
        require(
            call("searchface", img=b64(b"GIF89a, no less")),
            '{"status": "IMAGE_INVALID_FORMAT", "message": "image format not support"}',
        )

    def test_an_image_that_is_too_large(self, call: Call) -> None:
        require(
            call("searchface", img=b64(bytes(MAX_IMAGE_BYTES + 1))),
            '{"status": "IMAGE_INVALID_SIZE", "message": "image larger than 2M"}',
        )

    def test_server_error(self, without_workers: httpx.Client) -> None:
        require(
            without_workers.post("/v1/searchface", data={"img": b64(hopper_jpeg())}),
            '{"status": "FAIL", "message": "please try again later"}',
            503,
        )


class TestFaceCompare:
    """The answer of the sibling API, except for its number."""

    def test_the_same_person(self, call: Call) -> None:
        response = call("facecompare", img1=b64(hopper_jpeg()), img2=b64(reencode(hopper_jpeg(), 30)))
        similarity = response.json()["message"]["similarity"]
        assert 95 <= similarity < 100
        require(response, f'{{"status": "OK", "message": {{"similarity": {similarity}, "result": "SAME PERSON"}}}}')

    def test_the_same_image(self, call: Call) -> None:
        require(
            call("facecompare", img1=b64(hopper_jpeg()), img2=b64(hopper_jpeg())),
            '{"status": "OK", "message": {"similarity": 100, "result": "SAME PERSON"}}',
        )

    def test_two_people(self, call: Call) -> None:
        response = call("facecompare", img1=b64(hopper_jpeg()), img2=b64(astronaut_png()))
        similarity = response.json()["message"]["similarity"]
        assert 0 < similarity < 80
        require(response, f'{{"status": "OK", "message": {{"similarity": {similarity}, "result": "NOT SAME PERSON"}}}}')

    @pytest.mark.parametrize(
        ("wrong", "answer"),
        [
            (faceless_png(), '{"status": "FACE_DETECT_FAILED", "message": "check input image and retry"}'),
            (b"text", '{"status": "IMAGE_INVALID_FORMAT", "message": "image format not support"}'),
            (bytes(MAX_IMAGE_BYTES + 1), '{"status": "IMAGE_INVALID_SIZE", "message": "image larger than 2M"}'),
        ],
    )
    def test_either_image_may_be_refused(self, call: Call, wrong: bytes, answer: str) -> None:
        require(call("facecompare", img1=b64(wrong), img2=b64(hopper_jpeg())), answer)
        require(call("facecompare", img1=b64(hopper_jpeg()), img2=b64(wrong)), answer)

    @pytest.mark.parametrize("missing", ["img1", "img2"])
    def test_both_images_are_required(self, call: Call, missing: str) -> None:
        images = {name: b64(hopper_jpeg()) for name in ("img1", "img2") if name != missing}
        require(
            call("facecompare", **images),
            f'{{"status": "INVALID_REQUEST", "message": "{missing} is missing or empty; it must be the base64 of a '
            'jpeg, png or bmp image of at most 2M"}',
        )

    def test_server_error(self, without_workers: httpx.Client) -> None:
        require(
            without_workers.post("/v1/facecompare", data={"img1": b64(hopper_jpeg()), "img2": b64(hopper_jpeg())}),
            '{"status": "FAIL", "message": "please try again later"}',
            503,
        )


class TestDelFace:
    def test_deleted(self, call: Call) -> None:
        (added,) = call("addface", img=b64(hopper_jpeg())).json()["message"]
        require(
            call("delface", person_id=added["person_id"]),
            '{"status": "OK", "message": "successfully deleted face"}',
        )

    def test_unknown_person(self, call: Call) -> None:
        require(
            call("delface", person_id="4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"),
            '{"status": "PERSON_ID_NOT_EXIST", "message": "check input person id"}',
        )

    def test_server_error(self, without_workers: httpx.Client) -> None:
        require(
            without_workers.post("/v1/delface", data={"person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"}),
            '{"status": "FAIL", "message": "please try again later"}',
            503,
        )
