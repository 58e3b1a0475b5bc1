"""facecompare on real photos, through the whole running service."""

import base64
import itertools
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from redis import Redis

from portraits import (
    astronaut_png,
    crop,
    darken,
    faceless_png,
    hopper_jpeg,
    pixels,
    png,
    reencode,
    rotate,
    scale,
    side_by_side,
)
from processes import gateway_on, wait_for
from service import Service
from shared.contract import MAX_IMAGE_BYTES
from shared.jobs import QUEUE

Compare = Callable[..., httpx.Response]

LARGEST = hopper_jpeg().ljust(MAX_IMAGE_BYTES, b"\0")


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.fixture
def compare(service: Service) -> Compare:
    """Compare two images, sent as base64 in a form."""

    def send(img1: bytes, img2: bytes, **headers: str) -> httpx.Response:
        data = {"img1": b64(img1), "img2": b64(img2)}
        return service.http.post("/v1/facecompare", data=data, headers=headers)

    return send


def found(response: httpx.Response) -> tuple[float, str]:
    """Return similarity and result."""
    assert response.json()["status"] == "OK", response.text
    message = response.json()["message"]
    assert list(message) == ["similarity", "result"]
    return message["similarity"], message["result"]


def mirrored(data: bytes) -> bytes:
    return png(np.ascontiguousarray(pixels(data)[:, ::-1]))


class TestComparing:
    def test_the_similarity_of_the_same_image_is_the_integer_100(self, compare: Compare) -> None:
        for image in (hopper_jpeg(), astronaut_png()):
            assert '"similarity": 100,' in compare(image, image).text
            assert found(compare(image, image)) == (100, "SAME PERSON")

    @pytest.mark.parametrize(
        "worse",
        [
            reencode(hopper_jpeg(), 30),
            darken(rotate(hopper_jpeg(), 4), 0.7),
            mirrored(hopper_jpeg()),
            crop(hopper_jpeg(), 60, 20, 400, 480),
            scale(hopper_jpeg(), 0.5),
        ],
        ids=["JPEG at 30", "darker and tilted", "mirrored", "cropped", "half as large"],
    )
    def test_another_picture_of_the_same_person_is_the_same_person(self, compare: Compare, worse: bytes) -> None:
        similarity, result = found(compare(hopper_jpeg(), worse))
        assert 95 <= similarity < 100
        assert result == "SAME PERSON"

    def test_two_people_are_different_persons(self, compare: Compare) -> None:
        similarity, result = found(compare(hopper_jpeg(), astronaut_png()))
        assert similarity < 80
        assert result == "NOT SAME PERSON"

    def test_the_order_of_the_images_does_not_matter(self, compare: Compare) -> None:
        photos = [hopper_jpeg(), astronaut_png(), reencode(hopper_jpeg(), 15)]
        for one, other in itertools.combinations(photos, 2):
            assert found(compare(one, other)) == found(compare(other, one))

    def test_similarity_has_at_most_3_decimals(self, compare: Compare) -> None:
        for quality in (95, 60, 30, 15):
            text = compare(hopper_jpeg(), reencode(hopper_jpeg(), quality)).text
            assert re.search(r'"similarity": (100|\d\d?(\.\d{1,3})?), ', text), text

    def test_similarity_is_the_confidence_of_a_search(
        self, compare: Compare, call: Callable[..., httpx.Response]
    ) -> None:
        probe = darken(rotate(hopper_jpeg(), 4), 0.7)
        call("addface", img=b64(hopper_jpeg()))
        (match,) = call("searchface", img=b64(probe)).json()["message"]
        similarity, _ = found(compare(hopper_jpeg(), probe))
        # A search compares vectors as the store keeps them.
        assert similarity == pytest.approx(match["confidence"], abs=0.01)

    def test_the_most_prominent_of_several_faces_is_compared(self, compare: Compare) -> None:
        both = side_by_side(astronaut_png(), scale(hopper_jpeg(), 0.4))
        assert found(compare(both, astronaut_png()))[1] == "SAME PERSON"
        assert found(compare(hopper_jpeg(), both))[1] == "NOT SAME PERSON"


class TestRefusing:
    def test_faults_of_either_image_are_reported_in_the_contracts_order(self, compare: Compare) -> None:
        good, none, cut = hopper_jpeg(), faceless_png(), hopper_jpeg()[:30_000]
        text, large = b"text", LARGEST + b"\0"
        for one, other, status in (
            (none, good, "FACE_DETECT_FAILED"),
            (none, none, "FACE_DETECT_FAILED"),
            (cut, good, "IMAGE_INVALID_FORMAT"),
            (none, cut, "IMAGE_INVALID_FORMAT"),
            (none, text, "IMAGE_INVALID_FORMAT"),
            (text, large, "IMAGE_INVALID_SIZE"),
            (cut, large, "IMAGE_INVALID_SIZE"),
        ):
            assert compare(one, other).json()["status"] == status
            assert compare(other, one).json()["status"] == status

    def test_img_is_not_one_of_the_two_images(self, service: Service) -> None:
        answer = service.http.post("/v1/facecompare", data={"img": b64(hopper_jpeg()), "img1": b64(hopper_jpeg())})
        assert answer.json()["status"] == "INVALID_REQUEST"
        assert answer.json()["message"].startswith("img2 is missing")

    def test_an_image_given_twice_or_in_the_query_is_refused(self, service: Service) -> None:
        files = [("img1", hopper_jpeg()), ("img2", hopper_jpeg()), ("img2", hopper_jpeg())]
        answers = [
            service.http.post("/v1/facecompare", files=files),
            service.http.post("/v1/facecompare?img2=QUFB", files=files[:2]),
        ]
        assert [answer.json()["message"] for answer in answers] == [
            "img2 is given twice",
            "img2 belongs in the body, not in the query string",
        ]


class TestBodies:
    def test_multipart_takes_files_base64_and_a_mix(self, service: Service) -> None:
        as_file, as_text = ("p.jpg", hopper_jpeg()), (None, b64(hopper_jpeg()))
        for img1, img2 in itertools.product((as_file, as_text), repeat=2):
            answer = service.http.post("/v1/facecompare", files={"img1": img1, "img2": img2})
            assert found(answer) == (100, "SAME PERSON")

    def test_json(self, service: Service) -> None:
        body = {"img1": b64(hopper_jpeg()), "img2": b64(astronaut_png()), "facedb": None}
        assert found(service.http.post("/v1/facecompare", json=body))[1] == "NOT SAME PERSON"

    def test_both_images_may_have_the_largest_size(self, service: Service) -> None:
        whole = quote(b64(LARGEST)).replace("A", "%41")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for body in (
            {"files": {"img1": LARGEST, "img2": LARGEST}},
            {"json": {"img1": b64(LARGEST), "img2": b64(LARGEST)}},
            {"content": f"img1={whole}&img2={whole}", "headers": form},
        ):
            assert found(service.http.post("/v1/facecompare", **body)) == (100, "SAME PERSON")

    def test_other_calls_take_one_image_at_most(self, service: Service) -> None:
        whole = "%41" * len(b64(LARGEST))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"img={b64(hopper_jpeg())}&img1={whole}&name=x"
        answer = service.http.post("/v1/addface", content=body, headers=headers).json()
        assert answer["status"] == "INVALID_REQUEST"
        assert answer["message"].startswith("body is too large, all but img may take")


class TestRepeating:
    def test_a_repetition_under_an_idempotency_key_has_the_same_answer(self, compare: Compare) -> None:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        first, second = (compare(hopper_jpeg(), reencode(hopper_jpeg(), 30), **key) for _ in range(2))
        assert found(first)[1] == "SAME PERSON"
        assert second.text == first.text
        assert second.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.headers

    def test_a_repetition_without_a_face_has_the_same_answer(self, compare: Compare) -> None:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answers = [compare(hopper_jpeg(), faceless_png(), **key) for _ in range(2)]
        assert [answer.json()["status"] for answer in answers] == ["FACE_DETECT_FAILED"] * 2
        assert answers[1].headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize(
        "other", [(hopper_jpeg(), hopper_jpeg()), (astronaut_png(), hopper_jpeg())], ids=["another", "the other order"]
    )
    def test_other_images_under_the_same_key_are_refused(self, compare: Compare, other: tuple[bytes, bytes]) -> None:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        assert compare(hopper_jpeg(), astronaut_png(), **key).json()["status"] == "OK"
        refused = compare(*other, **key).json()
        assert refused["status"] == "INVALID_REQUEST"
        assert refused["message"].startswith("Idempotency-Key was used before")


class TestNothingIsKept:
    def test_both_images_expire_and_are_removed_after_the_answer(self, valkey_url: str) -> None:
        files = {"img1": hopper_jpeg(), "img2": astronaut_png()}
        with (
            gateway_on(valkey_url, deadline_s=1) as client,
            Redis.from_url(valkey_url) as redis,
            ThreadPoolExecutor(1) as caller,
        ):
            answer = caller.submit(client.post, "/v1/facecompare", files=files)
            wait_for(lambda: redis.llen(QUEUE) == 1)
            waiting = sorted(redis.keys("fs:image:*"))
            assert redis.mget(waiting) == list(files.values())
            assert all(0 < redis.ttl(key) <= 60 for key in waiting)
            assert answer.result().json()["status"] == "FAIL", "there is no worker"
            wait_for(lambda: not redis.keys("fs:image:*"))

    @pytest.mark.slow
    @pytest.mark.embedded("it reads what the servers wrote")
    def test_no_image_reaches_a_disk(self, compare: Compare, service: Service) -> None:
        found(compare(astronaut_png(), astronaut_png()))
        middle = len(astronaut_png()) // 2
        part = astronaut_png()[middle : middle + 64]
        for path in (path for path in Path(service.folder).rglob("*") if path.is_file()):
            assert part not in path.read_bytes(), path
