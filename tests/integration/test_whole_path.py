"""The calls on real photos, through the whole running service; facecompare is in test_compare.py."""

import base64
import json
import re
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from portraits import (
    astronaut_png,
    bmp,
    crop,
    darken,
    faceless_png,
    hopper_jpeg,
    jpeg,
    pixels,
    reencode,
    rotate,
    side_by_side,
)
from row_requests import row_request
from service import Service
from shared.calls import CALLS
from shared.contract import MAX_IMAGE_BYTES

Call = Callable[..., httpx.Response]


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def added(response: httpx.Response) -> list[dict[str, str]]:
    assert response.json()["status"] == "OK", response.text
    return response.json()["message"]


def found(response: httpx.Response) -> list[dict[str, object]]:
    assert response.json()["status"] == "OK", response.text
    return response.json()["message"]


class TestFinding:
    def test_a_worse_photo_of_a_person_finds_that_person_and_no_other(self, call: Call) -> None:
        (hopper,) = added(call("addface", img=b64(hopper_jpeg()), name="Grace"))
        added(call("addface", img=b64(astronaut_png()), name="Eileen"))
        probe = reencode(darken(rotate(crop(hopper_jpeg(), 60, 20, 400, 480), 5), 0.6), 60)
        (match,) = found(call("searchface", img=b64(probe)))
        assert match["person_id"] == hopper["person_id"]
        assert match["name"] == "Grace"
        assert 95 <= match["confidence"] < 100

    def test_the_confidence_of_the_same_file_is_the_integer_100(self, call: Call) -> None:
        added(call("addface", img=b64(astronaut_png())))
        response = call("searchface", img=b64(astronaut_png()))
        assert '"confidence": 100,' in response.text

    def test_confidences_have_at_most_3_decimals_and_descend(self, call: Call) -> None:
        for quality in (95, 60, 30, 15):
            added(call("addface", img=b64(reencode(hopper_jpeg(), quality))))
        response = call("searchface", img=b64(hopper_jpeg()))
        confidences = [match["confidence"] for match in found(response)]
        assert len(confidences) == 4
        assert confidences == sorted(confidences, reverse=True)
        for text in re.findall(r'"confidence": ([^,]+),', response.text):
            assert re.fullmatch(r"100|\d\d(\.\d{1,3})?", text), text

    def test_ties_are_ordered_by_person_id_and_at_most_50_are_listed(self, call: Call) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: call("addface", img=b64(hopper_jpeg())), range(53)))
        ids = {added(answer)[0]["person_id"] for answer in answers}
        assert len(ids) == 53
        assert {added(answer)[0]["name"] for answer in answers} == {f"ID{n}" for n in range(53)}
        listed = [match["person_id"] for match in found(call("searchface", img=b64(hopper_jpeg())))]
        assert len(listed) == 50
        assert listed == sorted(listed)
        assert set(listed) < ids

    def test_an_empty_facedb_has_no_matches(self, call: Call) -> None:
        assert call("searchface", img=b64(hopper_jpeg())).json()["status"] == "NO_SIMILAR_FACE"

    def test_every_image_format_has_the_same_face(self, call: Call) -> None:
        picture = pixels(astronaut_png())
        added(call("addface", img=b64(astronaut_png())))
        for image in (jpeg(picture), jpeg(picture, progressive=True), bmp(picture)):
            (match,) = found(call("searchface", img=b64(image)))
            assert match["confidence"] > 99


class TestSeveralFaces:
    def test_faces_are_added_and_named_from_left_to_right(self, call: Call) -> None:
        left, right = added(call("addface", img=b64(side_by_side(hopper_jpeg(), astronaut_png()))))
        assert (left["name"], right["name"]) == ("ID0", "ID1")
        assert found(call("searchface", img=b64(hopper_jpeg())))[0]["person_id"] == left["person_id"]
        assert found(call("searchface", img=b64(astronaut_png())))[0]["person_id"] == right["person_id"]

    def test_a_given_name_goes_to_every_face(self, call: Call) -> None:
        both = added(call("addface", img=b64(side_by_side(astronaut_png(), hopper_jpeg())), name="Crew7"))
        assert [face["name"] for face in both] == ["Crew7", "Crew7"]

    def test_an_empty_name_stays_empty_and_draws_no_number(self, call: Call) -> None:
        assert added(call("addface", img=b64(hopper_jpeg()), name=""))[0]["name"] == ""
        assert added(call("addface", img=b64(hopper_jpeg())))[0]["name"] == "ID0"


class TestDeleting:
    def test_a_deleted_person_is_gone_and_cannot_be_deleted_again(self, call: Call) -> None:
        (face,) = added(call("addface", img=b64(hopper_jpeg())))
        assert call("delface", person_id=face["person_id"]).json()["status"] == "OK"
        assert call("searchface", img=b64(hopper_jpeg())).json()["status"] == "NO_SIMILAR_FACE"
        assert call("delface", person_id=face["person_id"]).json()["status"] == "PERSON_ID_NOT_EXIST"

    def test_exactly_one_of_concurrent_deletes_succeeds(self, call: Call) -> None:
        (face,) = added(call("addface", img=b64(hopper_jpeg())))
        with ThreadPoolExecutor(12) as pool:
            answers = pool.map(lambda _: call("delface", person_id=face["person_id"]), range(24))
            statuses = sorted(answer.json()["status"] for answer in answers)
        assert statuses == ["OK"] + ["PERSON_ID_NOT_EXIST"] * 23

    def test_an_id_of_another_facedb_does_not_exist_here(self, call: Call, service: Service) -> None:
        (face,) = added(call("addface", img=b64(hopper_jpeg())))
        elsewhere = service.http.post("/v1/delface", data={"person_id": face["person_id"]})
        assert elsewhere.json()["status"] == "PERSON_ID_NOT_EXIST"
        assert found(call("searchface", img=b64(hopper_jpeg())))

    @pytest.mark.parametrize("person_id", ["1", "not-a-uuid", "4fbd9474-e09f-4e7d-9a2f-06fa1167f67", "🙂"])
    def test_an_invalid_id_does_not_exist(self, call: Call, person_id: str) -> None:
        assert call("delface", person_id=person_id).json()["status"] == "PERSON_ID_NOT_EXIST"


class TestRefusing:
    @pytest.mark.parametrize("name", ["addface", "searchface"])
    def test_invalid_images_are_refused(self, call: Call, name: str) -> None:
        padded = hopper_jpeg().ljust(MAX_IMAGE_BYTES, b"\0")
        for image, status in (
            (faceless_png(), "FACE_DETECT_FAILED"),
            (b"some text", "IMAGE_INVALID_FORMAT"),
            (hopper_jpeg()[:30_000], "IMAGE_INVALID_FORMAT"),
            (padded + b"\0", "IMAGE_INVALID_SIZE"),
            (padded, "OK" if name == "addface" else "NO_SIMILAR_FACE"),
        ):
            if status == "NO_SIMILAR_FACE":
                assert call(name, img=b64(image)).json()["status"] in (status, "OK")
            else:
                assert call(name, img=b64(image)).json()["status"] == status

    def test_an_unknown_facedb_is_refused(self, service: Service) -> None:
        answer = service.http.post("/v1/searchface", data={"img": b64(hopper_jpeg()), "facedb": "nobodys"})
        assert answer.json() == {"status": "INVALID_REQUEST", "message": "facedb does not exist"}

    def test_parameters_are_checked_before_the_facedb_and_the_facedb_before_the_image(self, service: Service) -> None:
        post = service.http.post
        both = {"facedb": "nobodys", "name": "a b", "img": b64(b"text")}
        assert "name" in post("/v1/addface", data=both).json()["message"]
        del both["name"]
        assert "facedb" in post("/v1/addface", data=both).json()["message"]

    @pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}, {"X-API-Key": "x" * 5000}])
    def test_a_missing_or_unknown_key_is_refused(self, service: Service, headers: dict[str, str]) -> None:
        for each in CALLS:
            to_send = row_request(each, {"img": "x"})
            answer = httpx.request(
                to_send.method, service.address + to_send.target, headers=headers, data=to_send.form or None
            )
            assert answer.status_code == 401
            assert answer.json()["status"] == "INVALID_REQUEST"

    def test_unknown_paths_and_wrong_methods_are_refused(self, service: Service) -> None:
        for answer, http_status in (
            (service.http.post("/v1/nothing"), 404),
            (service.http.post("/"), 405),
            (service.http.get("/index.html"), 404),
            (service.http.get("/v1/addface"), 405),
            (service.http.delete("/v1/delface"), 405),
        ):
            assert answer.status_code == http_status
            assert answer.json()["status"] == "INVALID_REQUEST"

    def test_a_far_too_large_body_is_refused_while_it_is_read(self, service: Service) -> None:
        url = httpx.URL(service.address)
        head = (
            "POST /v1/addface HTTP/1.1\r\nHost: h\r\n"
            f"X-API-Key: {service.key}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\nimg=%s\r\n" % (12_000_004, b"A" * 12_000_000)
        with socket.create_connection((url.host, url.port), timeout=20) as connection:
            connection.sendall(head.encode() + chunk)  # nothing more: the body has no end
            answer = connection.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 200")
        assert "IMAGE_INVALID_SIZE" in answer


class TestOtherBodies:
    def test_multipart_takes_a_file_or_base64(self, service: Service) -> None:
        for files in ({"img": ("p.jpg", hopper_jpeg())}, {"img": (None, b64(hopper_jpeg()))}):
            (face,) = added(service.http.post("/v1/addface", data={"name": "m"}, files=files))
            assert face["name"] == "m"
            assert service.http.post("/v1/delface", data={"person_id": face["person_id"]}).json()["status"] == "OK"

    def test_json_is_accepted(self, service: Service) -> None:
        body = {"img": b64(hopper_jpeg()), "name": "j", "facedb": None}
        (face,) = added(service.http.post("/v1/addface", json=body))
        assert service.http.post("/v1/delface", json={"person_id": face["person_id"]}).json()["status"] == "OK"

    def test_another_content_type_is_refused(self, service: Service) -> None:
        answer = service.http.post("/v1/addface", content=b"img=x", headers={"Content-Type": "text/plain"})
        assert answer.json()["status"] == "INVALID_REQUEST"


class TestHealth:
    def test_a_service_is_healthy_and_ready(self, service: Service) -> None:
        assert service.http.get("/healthz").json() == {"status": "OK", "message": "alive"}
        assert service.http.get("/readyz").json() == {"status": "OK", "message": {"gateway": "ok"}}
        parts = ("gateway", "broker", "memory", "results", "worker", "store", "disk", "facedbs")
        assert service.http.get("/readyz?verbose=1").json() == {"status": "OK", "message": dict.fromkeys(parts, "ok")}


@pytest.mark.slow
@pytest.mark.embedded("it reads what the servers wrote")
def test_no_image_reaches_a_disk(call: Call, service: Service) -> None:
    added(call("addface", img=b64(hopper_jpeg())))
    call("searchface", img=b64(hopper_jpeg()))
    middle = len(hopper_jpeg()) // 2
    part = hopper_jpeg()[middle : middle + 64]
    files = [path for path in Path(service.folder).rglob("*") if path.is_file()]
    assert any("aof" in path.name for path in files)
    for path in files:
        content = path.read_bytes()
        assert part not in content, path
        assert b64(part)[4:-4].encode() not in content, path


def test_no_name_key_or_image_reaches_a_log(call: Call, service: Service) -> None:
    name = f"N{uuid.uuid4().hex}"
    added(call("addface", img=b64(hopper_jpeg()), name=name))
    call("addface", img=b64(b"text"), name=name)
    log = "".join(service.said)
    assert name not in log
    assert service.key not in log
    assert json.dumps(b64(hopper_jpeg()))[1:40] not in log
