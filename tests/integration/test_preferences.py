"""Keys with answer options, on the whole running service."""

import asyncio
import base64
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from contract.tenants import new_tenant
from portraits import astronaut_png, darken, hopper_jpeg, reencode, rotate
from processes import gateway_on, wait_for
from service import Service
from shared.control import Scope
from shared.usage import Period, Usage, read

PAGE = "https://shop.example"

Post = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def post(service: Service) -> Post:
    """Make a call of one tenant with the key of that name."""
    _, keys = new_tenant(
        service.broker,
        plain={},
        whole={"confidence": "whole"},
        strict={"http_status": "always-200", "scopes": frozenset({Scope.SEARCH}), "confidence": "whole"},
        slow={"http_status": "always-200", "rate": 0.001},
    )

    def send(key: str, call: str, once: str | None = None, /, **parameters: Any) -> httpx.Response:
        data = {n: base64.b64encode(v).decode() if isinstance(v, bytes) else v for n, v in parameters.items()}
        headers = {"X-API-Key": keys.get(key, "unknown")} | ({"Idempotency-Key": once} if once else {})
        return service.http.post(f"/v1/{call}", data=data, headers=headers)

    return send


def test_a_key_with_always_200_gets_200_for_every_status(post: Post) -> None:
    refused = post("strict", "addface", img=hopper_jpeg())
    assert (refused.status_code, refused.json()) == (
        200,
        {"status": "INVALID_REQUEST", "message": "this key may not add"},
    )
    assert post("slow", "delface", person_id="1").json()["status"] == "PERSON_ID_NOT_EXIST"
    limited = post("slow", "delface", person_id="1")
    assert (limited.status_code, limited.json()["status"]) == (200, "FAIL")
    assert int(limited.headers["Retry-After"]) > 1


def test_the_settings_apply_without_a_valid_key(post: Post) -> None:
    assert post("unknown", "searchface", img=hopper_jpeg()).status_code == 401


def test_whole_confidences_are_rounded_down(post: Post) -> None:
    for image in (hopper_jpeg(), reencode(darken(rotate(hopper_jpeg(), 4), 0.7), 60)):
        assert post("plain", "addface", img=image, name="Grace").json()["status"] == "OK"
    exact, whole = (post(name, "searchface", img=hopper_jpeg()).json()["message"] for name in ("plain", "strict"))
    assert exact[0]["confidence"] == 100
    assert exact[1]["confidence"] != math.floor(exact[1]["confidence"])
    assert whole == [match | {"confidence": math.floor(match["confidence"])} for match in exact]
    assert '"confidence": 100,' in post("whole", "searchface", img=hopper_jpeg()).text, "without a point"


def test_whole_similarities_are_rounded_down_and_the_result_is_the_same(post: Post) -> None:
    pair = {"img1": hopper_jpeg(), "img2": reencode(darken(rotate(hopper_jpeg(), 4), 0.7), 60)}
    exact, whole = (post(name, "facecompare", **pair).json()["message"] for name in ("plain", "whole"))
    assert whole == exact | {"similarity": math.floor(exact["similarity"])}
    same = post("whole", "facecompare", img1=astronaut_png(), img2=astronaut_png())
    assert same.json()["message"] == {"similarity": 100, "result": "SAME PERSON"}


def test_a_replayed_outcome_is_written_with_the_keys_current_options(post: Post) -> None:
    pair = {"img1": hopper_jpeg(), "img2": reencode(rotate(hopper_jpeg(), 7), 50)}
    first, again, third = (post(name, "facecompare", "c", **pair) for name in ("whole", "plain", "whole"))
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == third.headers["Idempotent-Replayed"] == "true"
    similarity = again.json()["message"]["similarity"]
    assert similarity != math.floor(similarity)
    assert first.text == third.text
    assert first.json()["message"]["similarity"] == math.floor(similarity)


def requests_of(url: str, tenant: str) -> int:
    """Return the number of its counted requests."""

    async def rows() -> list[Usage]:
        async with Redis.from_url(url) as client:
            return await read(client, Period(), tenant)

    return sum(row.count for row in asyncio.run(rows()))


@pytest.fixture(scope="module")
def other(service: Service) -> Iterator[httpx.Client]:
    """A second gateway of the service with other settings; the same worker does its jobs."""
    images = service.broker.replace("broker.sock", "images.sock")
    settings = {"names": "free", "http_status": "always-200", "confidence": "whole", "cors_origins": PAGE}
    with gateway_on(service.broker, api_key=service.key, images_url=images, **settings) as client:
        yield client


class TestSettings:
    @pytest.fixture
    def keys(self, service: Service) -> dict[str, str]:
        return new_tenant(service.broker, plain={}, mapped={"http_status": "mapped", "confidence": "decimals"})[1]

    def test_the_settings_apply_to_keys_without_options(self, other: httpx.Client, keys: dict[str, str]) -> None:
        codes = [
            other.post("/v1/delface", headers={"X-API-Key": key}).status_code for key in ("unknown", *keys.values())
        ]
        assert codes == [200, 200, 200]
        codes = [
            other.request(method, f"/v1/persons{person}", headers={"X-API-Key": key}).status_code
            for method, person in (("GET", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x"))
            for key in ("unknown", *keys.values())
        ]
        assert codes == [200] * 12
        pair = {"img1": hopper_jpeg(), "img2": reencode(rotate(hopper_jpeg(), 7), 50)}
        whole, exact = (
            other.post("/v1/facecompare", files=pair, headers={"X-API-Key": key}).json()["message"]["similarity"]
            for key in keys.values()
        )
        assert whole == math.floor(exact) < exact

    @pytest.mark.parametrize("name", ["山田\u3000太郎", "José O'Neill", "\U0001f642" * 128])
    def test_free_names_are_returned_unchanged(
        self, service: Service, other: httpx.Client, keys: dict[str, str], name: str
    ) -> None:
        headers = {"X-API-Key": keys["plain"]}
        form = {"name": name, "img": base64.b64encode(hopper_jpeg()).decode()}
        added = other.post("/v1/addface", data=form, headers=headers)
        assert added.json()["message"][0]["name"] == name
        assert added.text.isascii(), "JSON escapes other characters"
        as_json = other.post("/v1/addface", json=form, headers=headers).json()["message"]
        with_file = other.post("/v1/addface", data={"name": name}, files={"img": hopper_jpeg()}, headers=headers)
        assert as_json[0]["name"] == with_file.json()["message"][0]["name"] == name
        # Names that one gateway allows are found through all of them.
        strict = service.http.post("/v1/searchface", files={"img": hopper_jpeg()}, headers=headers).json()["message"]
        assert {match["name"] for match in strict} == {name}
        assert len(strict) == 3
        # Whichever names a gateway allows now, one that is there can be listed by; a new one must be allowed.
        for client in (other, service.http):
            listed = client.get("/v1/persons", params={"name": name}, headers=headers).json()["message"]["persons"]
            assert {person["name"] for person in listed} == {name}
        person = f"/v1/persons/{listed[0]['person_id']}"
        assert other.patch(person, data={"name": name[:1]}, headers=headers).json()["message"]["name"] == name[:1]
        refused = service.http.patch(person, data={"name": name}, headers=headers).json()
        assert refused["message"] == "name must be at most 128 letters and digits"
        said = "".join(service.said)
        assert name not in said
        assert json.dumps(name)[1:-1] not in said

    def test_invalid_names_are_refused(self, service: Service, other: httpx.Client, keys: dict[str, str]) -> None:
        headers = {"X-API-Key": keys["plain"]}
        for client, name, sentence in (
            (other, "a\u202eb", "name must be at most 128 printable characters"),
            (other, "x" * 129, "name must be at most 128 printable characters"),
            (service.http, "José", "name must be at most 128 letters and digits"),
        ):
            refused = client.post("/v1/addface", data={"name": name}, files={"img": hopper_jpeg()}, headers=headers)
            assert refused.json() == {"status": "INVALID_REQUEST", "message": sentence}


class TestCors:
    def test_a_page_of_a_listed_origin_may_use_the_api(self, service: Service, other: httpx.Client) -> None:
        tenant, keys = new_tenant(service.broker, plain={})
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "x-api-key, content-type, idempotency-key"
        preflight = other.options("/v1/delface", headers=asked)
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        assert preflight.headers["X-Request-Id"]
        called = other.post(
            "/v1/delface", data={"person_id": "1"}, headers={"Origin": PAGE, "X-API-Key": keys["plain"]}
        )
        assert called.json()["status"] == "PERSON_ID_NOT_EXIST"
        unknown = other.post("/v1/delface", headers={"Origin": PAGE, "X-API-Key": "unknown"})
        for answer in (preflight, called, unknown):
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        wait_for(lambda: requests_of(service.broker, tenant) == 1)

    def test_without_the_setting_no_page_may_use_the_api(self, service: Service) -> None:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        preflight = service.http.options("/v1/delface", headers=asked)
        assert (preflight.status_code, preflight.json()["status"]) == (405, "INVALID_REQUEST")
        called = service.http.post("/v1/delface", headers={"Origin": PAGE})
        for answer in (preflight, called):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "Vary" not in answer.headers
