"""Requests with an Idempotency-Key: repetitions have one effect and the first answer."""

import base64
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis import Redis

from portraits import astronaut_png, faceless_png, hopper_jpeg
from processes import gateway_on, wait_for
from service import Service
from shared.control import DEFAULT, Control
from shared.jobs import QUEUE
from shared.redis_clients import connect
from shared.usage import DAYS, day_key

DAY_S = 86_400


@pytest.fixture
async def facedb(service: Service) -> str:
    name = uuid.uuid4().hex
    async with connect(service.broker) as redis:
        await Control(redis).create_facedb(DEFAULT, name)
    return name


@pytest.fixture
def send(service: Service, facedb: str) -> Callable[..., httpx.Response]:
    """Send a call under an Idempotency-Key."""

    def post(key: str, call: str, image: bytes | None = None, **data: str) -> httpx.Response:
        files = {} if image is None else {"img": image}
        data = {"facedb": facedb, **data}
        return service.http.post(f"/v1/{call}", data=data, files=files, headers={"Idempotency-Key": key})

    return post


def found(send: Callable[..., httpx.Response]) -> list[dict]:
    answer = send(uuid.uuid4().hex, "searchface", hopper_jpeg()).json()
    return answer["message"] if answer["status"] == "OK" else []


def test_a_repeated_add_has_the_first_answer_and_adds_nothing(send: Callable[..., httpx.Response]) -> None:
    first, second = (send("k1", "addface", hopper_jpeg()) for _ in range(2))
    assert first.json()["status"] == "OK"
    assert second.text == first.text
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert [match["person_id"] for match in found(send)] == [first.json()["message"][0]["person_id"]]


def test_simultaneous_repetitions_add_once(send: Callable[..., httpx.Response]) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: send("at-once", "addface", hopper_jpeg()).text, range(8)))
    assert len(set(answers)) == 1
    assert json.loads(answers[0])["message"][0]["name"] == "ID0"
    assert len(found(send)) == 1


def test_one_of_many_simultaneous_repetitions_is_charged(send: Callable[..., httpx.Response]) -> None:
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(lambda _: send("charged-once", "searchface", hopper_jpeg()), range(20)))
    answers += [send("charged-once", "searchface", hopper_jpeg())]
    answered = [answer for answer in answers if answer.json()["status"] == "NO_SIMILAR_FACE"]
    assert len(answered) > 1
    # Answers without that header are metered: tests/unit/gateway/test_metering.py.
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answered) == 1


def test_a_repeated_delete_is_ok_again_and_another_delete_is_not(send: Callable[..., httpx.Response]) -> None:
    person_id = send("a", "addface", hopper_jpeg()).json()["message"][0]["person_id"]
    with ThreadPoolExecutor(8) as callers:
        keys = [f"delete-{number % 4}" for number in range(8)]
        answers = callers.map(lambda key: (key, send(key, "delface", person_id=person_id).json()["status"]), keys)
        assert len({key for key, status in answers if status == "OK"}) == 1
    assert found(send) == []


@pytest.mark.parametrize(
    ("call", "image", "status"),
    [("searchface", hopper_jpeg(), "NO_SIMILAR_FACE"), ("addface", faceless_png(), "FACE_DETECT_FAILED")],
)
def test_a_repetition_of_an_unsuccessful_request_has_the_first_answer(
    send: Callable[..., httpx.Response], call: str, image: bytes, status: str
) -> None:
    key = uuid.uuid4().hex
    assert send(key, call, image).json()["status"] == status
    send("the-same-person", "addface", hopper_jpeg())
    again = send(key, call, image)
    assert again.json()["status"] == status
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    "other",
    [
        {"name": "other"},
        {"name": ""},
        {"image": astronaut_png()},
        {"call": "searchface"},
        {"facedb": "default"},
    ],
)
def test_another_request_under_a_used_key_is_refused(
    send: Callable[..., httpx.Response], other: dict[str, str | bytes]
) -> None:
    key = uuid.uuid4().hex
    first = {"call": "addface", "image": hopper_jpeg()}
    assert send(key, **first).json()["status"] == "OK"
    refused = send(key, **(first | other))
    assert refused.status_code == 200
    assert refused.json() == {
        "status": "INVALID_REQUEST",
        "message": "Idempotency-Key was used before, for a request with other parameters; take a new one",
    }
    assert len(found(send)) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_an_invalid_key_is_refused(send: Callable[..., httpx.Response], key: str) -> None:
    refused = send(key, "addface", hopper_jpeg()).json()
    assert refused["status"] == "INVALID_REQUEST"
    assert refused["message"].startswith("Idempotency-Key must be 1 to 255 visible ASCII characters")


def test_two_keys_are_refused(service: Service) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    answer = service.http.post("/v1/delface", data={"person_id": "x"}, headers=headers).json()
    assert answer["status"] == "INVALID_REQUEST"
    assert "given once" in answer["message"]


def test_replayed_answers_are_not_metered_and_records_expire_after_a_day(
    service: Service, send: Callable[..., httpx.Response]
) -> None:
    def metered(redis: Redis) -> int:
        (day,) = redis.smembers(DAYS)
        return sum(int(count) for name, count in redis.hgetall(day_key(day.decode())).items() if b"NO_SIMILAR" in name)

    with Redis.from_url(service.broker) as redis:
        key = uuid.uuid4().hex
        send("before" + key, "searchface", hopper_jpeg())
        before = metered(redis)
        for _ in range(5):
            send(key, "searchface", hopper_jpeg())
        send("after" + key, "searchface", hopper_jpeg())
        wait_for(lambda: metered(redis) >= before + 2)
        records = redis.keys("fs:once:*")
        assert records
        assert all(0 < redis.ttl(record) <= DAY_S for record in records)


def test_a_repetition_after_a_fail_has_the_origin_of_the_first(valkey_url: str) -> None:
    nobody = {"person_id": str(uuid.uuid4())}
    with (
        gateway_on(valkey_url, deadline_s=1) as client,
        Redis.from_url(valkey_url) as redis,
        ThreadPoolExecutor(1) as caller,
    ):
        origins = set()
        for _ in range(2):
            answer = caller.submit(client.post, "/v1/delface", data=nobody, headers={"Idempotency-Key": "k"})
            _, message = redis.brpop([QUEUE], 10)  # as a worker that is then killed
            origins.add(origin(message))
            assert answer.result().json()["status"] == "FAIL"
            redis.delete(QUEUE)
        assert len(origins) == 1


def origin(message: bytes) -> str:
    """Return the origin of a job, read from its message."""
    body = json.loads(base64.b64decode(json.loads(message)["body"]))
    return body[1]["once"]["origin"]
