"""A call is a row of the table, a model of its parameters, a job and an action: with these four a new call is served
from end to end by a real gateway and a real worker.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from facesearch.embedded.up import listen
from portraits import hopper_jpeg
from processes import API_KEY, empty_redis, end, two_free_ports, wait_for, works
from shared.contract import MESSAGES, Status
from shared.usage import Period, Usage, read
from toy_call import TABLE, WEIGH_IMAGE

SCRIPT = Path(__file__).parents[1] / "toy_call.py"
PHOTO = base64.b64encode(hopper_jpeg()).decode()
WEIGHT = f"{len(hopper_jpeg())} bytes"


@dataclass
class Toy:
    """A gateway and a worker that serve the toy call. Their metrics are on two ports."""

    http: httpx.Client
    broker: str
    gateway_metrics: int
    worker_metrics: int

    def post(self, **parameters: str) -> tuple[int, dict]:
        answer = self.http.post(WEIGH_IMAGE.path, data=parameters)
        return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("toy")
    port = two_free_ports()
    with empty_redis(folder) as broker, listen("127.0.0.1", 0) as listening:
        fd = listening.fileno()
        own = {"REDIS_URL": broker, "FACESEARCH_DATA_DIR": str(folder / "data"), "FACESEARCH_API_KEY": API_KEY}
        common = {**os.environ, **own, "FACESEARCH_DEADLINE_S": "120"}
        commands = {("gateway", str(fd)): port, ("worker",): port + 1}
        running = [
            subprocess.Popen(
                [sys.executable, SCRIPT, *command],
                env={**common, "FACESEARCH_METRICS_PORT": str(metrics)},
                pass_fds=[fd],
            )
            for command, metrics in commands.items()
        ]
        try:
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            wait_for(lambda: works(address), 90)
            with httpx.Client(base_url=address, headers={"X-API-Key": API_KEY}, timeout=150) as http:
                yield Toy(http, broker, port, port + 1)
        finally:
            with ExitStack() as stack:
                for process in running:
                    process.terminate()  # all at once
                    stack.callback(end, process)


def metric(port: int, name: str, **labels: str) -> float:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).raise_for_status().text
    return next(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    )


def test_the_call_is_answered_by_its_action(toy: Toy) -> None:
    assert toy.post(photo=PHOTO) == (200, {"status": "OK", "message": WEIGHT})
    assert toy.post(photo=PHOTO, unit="bits")[1]["message"] == f"{8 * len(hopper_jpeg())} bits"


def test_the_call_is_refused_like_every_call(toy: Toy) -> None:
    sentence = "photo is missing or empty; it must be the base64 of a jpeg, png or bmp image of at most 2M"
    assert toy.post(img=PHOTO)[1] == {"status": "INVALID_REQUEST", "message": sentence}
    assert toy.post(photo=PHOTO, unit="stones")[1]["message"] == "unit must be bytes or bits"
    assert toy.post(photo=base64.b64encode(b"text").decode())[1]["status"] == "IMAGE_INVALID_FORMAT"
    small = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1" + bytes(9)).decode()
    assert toy.post(photo=small)[1] == {"status": "FACE_DETECT_FAILED", "message": MESSAGES[Status.FACE_DETECT_FAILED]}
    assert toy.http.post(f"{WEIGH_IMAGE.path}?unit=bits", data={"photo": PHOTO}).json()["message"] == (
        "unit belongs in the body, not in the query string"
    )
    assert toy.http.post(WEIGH_IMAGE.path, headers={"X-API-Key": "wrong"}).status_code == 401
    assert toy.http.post("/v1/nothing").json()["message"].endswith("/v1/facedbs or /v1/weighimage")


def test_the_call_has_one_effect_under_an_idempotency_key(toy: Toy) -> None:
    headers = {"Idempotency-Key": "toy"}
    answers = [toy.http.post(WEIGH_IMAGE.path, data={"photo": PHOTO}, headers=headers) for _ in range(2)]
    assert [answer.json()["message"] for answer in answers] == [WEIGHT, WEIGHT]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]


def test_the_openapi_document_describes_the_call(toy: Toy) -> None:
    document = toy.http.get("/openapi.json").json()
    operation = document["paths"]["/v1/weighimage"]["post"]
    assert (operation["summary"], operation["tags"]) == (WEIGH_IMAGE.summary, ["Scales"])
    schema = document["components"]["schemas"]["WeighImageParameters"]
    assert (list(schema["properties"]), schema["required"]) == (["photo", "unit"], ["photo"])
    example = document["components"]["examples"]["WeighImage"]["value"]
    assert toy.http.post(WEIGH_IMAGE.path, json=example).json()["status"] == "OK"
    answers = operation["responses"]["200"]["content"]["application/json"]
    assert set(answers["examples"]) == WEIGH_IMAGE.statuses - {Status.FAIL}
    assert answers["examples"]["OK"]["summary"] == "OK, charged"
    assert "`search` for searchface, facecompare, listpersons, getperson, listfacedbs and weighimage" in json.dumps(
        document
    )


def test_metrics_count_the_call(toy: Toy) -> None:
    def counts() -> tuple[float, float]:
        return (
            metric(toy.gateway_metrics, "facesearch_requests_total", call="weighimage", status="OK"),
            metric(toy.worker_metrics, "facesearch_jobs_total", task="weigh", status="OK"),
        )

    before = counts()
    toy.post(photo=PHOTO)
    assert counts() == (before[0] + 1, before[1] + 1)


def test_usage_charges_the_call_by_its_row(toy: Toy) -> None:
    async def rows() -> list[Usage]:
        async with Redis.from_url(toy.broker) as redis:
            return [row for row in await read(redis, Period(), "default", TABLE) if row.call == "weighimage"]

    def counted() -> dict[tuple[Status, bool], int]:
        return {(row.status, row.charged): row.count for row in asyncio.run(rows())}

    before = counted().get((Status.OK, True), 0)
    toy.post(photo=PHOTO)
    wait_for(lambda: counted().get((Status.OK, True), 0) > before)
    toy.post()
    wait_for(lambda: (Status.INVALID_REQUEST, False) in counted())


def test_no_image_stays_in_the_image_store(toy: Toy) -> None:
    toy.post(photo=PHOTO)
    with BlockingRedis.from_url(toy.broker) as redis:
        wait_for(lambda: not redis.keys("fs:image:*"))
