"""Webhooks from end to end: a real gateway and worker call a real server over TLS, and no other."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from redis import Redis
from yarl import URL

from facesearch.cli.main import main
from gateway.webhooks.sending import Refused, Sender
from gateway.webhooks.signing import signature
from https_receiver import LOOPBACK, Receiver, receiving, webhooks_to
from portraits import faceless_png
from processes import end, two_free_ports, wait_for
from service import UNHURRIED, Service
from shared import proxies
from shared.webhooks import delivery_key

DOCUMENT = Path(__file__).parents[2] / "docs/webhooks.md"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiving(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@dataclass
class Scene:
    service: Service
    receiver: Receiver

    def command(self, *words: str) -> Result:
        return CliRunner().invoke(main, words, env={"REDIS_URL": self.service.broker}, catch_exceptions=False)

    def send(self, url: str | None = None, **headers: str) -> httpx.Response:
        to = self.receiver.url if url is None else url
        sent = {"Prefer": "respond-async", "X-Webhook-Url": to, **headers}
        return self.service.http.post("/v1/searchface", files={"img": faceless_png()}, headers=sent)


@pytest.fixture(scope="module")
def scene(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Service(tmp_path_factory.mktemp("webhooks"), {**UNHURRIED, **webhooks_to(receiver)}) as service:
        yield Scene(service, receiver)


@pytest.fixture
def secret(scene: Scene) -> str:
    made = scene.command("tenants", "webhook-secret", "default")
    assert made.exit_code == 0
    return made.stdout.strip()


@pytest.fixture(autouse=True)
def fresh(receiver: Receiver) -> None:
    receiver.got.clear()
    receiver.codes.clear()
    receiver.headers.clear()


def test_without_a_secret_no_webhook_is_taken(scene: Scene) -> None:
    assert scene.send().json() == {
        "status": "INVALID_REQUEST",
        "message": "X-Webhook-Url needs a webhook secret of the tenant, which the operator makes",
    }


def test_an_outcome_is_delivered_until_it_is_taken(scene: Scene, secret: str) -> None:
    scene.receiver.codes[:] = [500]
    job_id = scene.send().json()["message"]["job_id"]
    wait_for(lambda: len(scene.receiver.got) == 2)
    with Redis.from_url(scene.service.broker) as redis:
        wait_for(lambda: not redis.exists(delivery_key(job_id)))
    outcome = scene.service.http.get(f"/v1/jobs/{job_id}").json()
    assert outcome["status"] == "FACE_DETECT_FAILED"
    for path, headers, body in scene.receiver.got:
        assert path == "/hook?token=secret"
        assert json.loads(body) == {"job_id": job_id, **outcome}
        assert headers["X-Facesearch-Delivery"] == job_id
        at, _, mac = headers["X-Facesearch-Signature"].removeprefix("t=").partition(",v1=")
        assert hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() == mac
    said = "".join(scene.service.said)
    assert "token" not in said
    assert secret not in said


@pytest.mark.parametrize(
    ("url", "headers", "said"),
    [
        (None, {"Prefer": "wait=5"}, "X-Webhook-Url needs a POST with Prefer: respond-async"),
        ("https://example.com/", {}, "of a host that the operator allows"),
        ("http://localhost/", {}, "must be an https URL"),
        ("https://127.0.0.1/", {}, "of a host that the operator allows"),
    ],
)
def test_other_webhooks_are_refused(
    scene: Scene, secret: str, url: str | None, headers: dict[str, str], said: str
) -> None:
    assert secret
    refused = scene.send(url, **headers)
    assert (refused.status_code, refused.json()["status"]) == (200, "INVALID_REQUEST")
    assert said in refused.json()["message"]


def test_a_service_without_hosts_takes_none(service: Service) -> None:
    headers = {"Prefer": "respond-async", "X-Webhook-Url": "https://example.com/"}
    refused = service.http.post("/v1/delface", data={"person_id": "x"}, headers=headers).json()
    assert refused == {
        "status": "INVALID_REQUEST",
        "message": "X-Webhook-Url is not taken here: the operator allows no host",
    }


def test_operators_see_dead_webhooks_and_have_them_tried_again(scene: Scene, secret: str) -> None:
    assert secret
    scene.receiver.codes[:] = [302, 404]
    scene.receiver.headers["Location"] = "/elsewhere"
    with Redis.from_url(scene.service.broker) as redis:
        job_id = scene.send().json()["message"]["job_id"]
        wait_for(lambda: redis.hget(delivery_key(job_id), "why") == b"HTTP 302")
        redis.hset(delivery_key(job_id), "created", 1)  # as if that was long ago
        wait_for(lambda: redis.hexists(delivery_key(job_id), "died"))
        listed = scene.command("webhooks", "dead", "--json")
        (found,) = json.loads(listed.stdout)
        assert (found["job_id"], found["host"], found["why"], found["attempts"]) == (job_id, "localhost", "HTTP 404", 2)
        assert job_id in scene.command("webhooks", "dead").stdout
        assert "token" not in listed.stdout
        assert scene.command("webhooks", "dead", "--retry").stdout == "1 are tried again\n"
        wait_for(lambda: not redis.exists(delivery_key(job_id)))
    assert [path for path, _, _ in scene.receiver.got] == ["/hook?token=secret"] * 3, "no redirect is followed"


def test_without_the_secret_webhooks_end(scene: Scene, secret: str) -> None:
    assert secret
    assert scene.command("tenants", "webhook-secret", "default", "--remove").exit_code == 0
    assert "needs a webhook secret" in scene.send().json()["message"]
    again = scene.command("tenants", "webhook-secret", "default", "--remove")
    assert (again.exit_code, again.stderr) == (1, "facesearch: tenant default has no webhook secret\n")


def test_the_receiver_of_the_document_takes_what_is_signed_once(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "receiver.py").write_text(program)
    port, secret = two_free_ports(), "whsec_of_the_document"
    path = os.pathsep.join((str(DOCUMENT.parents[1] / "clients/python/src"), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": path, "PORT": str(port), "WEBHOOK_SECRET": secret}
    body = json.dumps({"job_id": "a", "status": "OK", "message": []}).encode()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "receiver.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        try:
            wait_for(lambda: listens(port))

            def send(signed: str) -> int:
                headers = {"X-Facesearch-Signature": signed}
                return httpx.post(f"http://127.0.0.1:{port}/", content=body, headers=headers).status_code

            right = signature(secret.encode(), body, int(time.time()))
            old = signature(secret.encode(), body, int(time.time()) - 1000)
            wrong = signature(b"another", body, int(time.time()))
            assert [send(signed) for signed in (right, right, old, wrong, "t=1")] == [204, 204, 401, 401, 401]
        finally:
            end(running)
        assert running.stdout is not None
        assert running.stdout.read() == "OK []\n"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestSender:
    """What is sent to a name that resolves to the receiver."""

    async def attempt(self, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, name: str, *, trusted: bool) -> None:
        async def resolve(_host: str, port: int, _family: socket.AddressFamily) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(receiver.certificate))
        sender = Sender(1, proxies.parse(LOOPBACK), resolve)
        try:
            await sender.send(URL(f"https://{name}:{receiver.port}/"), b"{}", {"X-Test": uuid.uuid4().hex})
        finally:
            await sender.close()

    async def test_a_trusted_certificate_of_the_host_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
    ) -> None:
        await self.attempt(monkeypatch, receiver, "localhost", trusted=True)
        assert len(receiver.got) == 1

    @pytest.mark.parametrize(("name", "trusted"), [("other.example", True), ("localhost", False)])
    async def test_any_other_is_refused_before_anything_is_sent(
        self, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, name: str, trusted: bool
    ) -> None:
        with pytest.raises(Refused, match="certificate"):
            await self.attempt(monkeypatch, receiver, name, trusted=trusted)
        assert receiver.got == []

    async def test_an_answer_with_huge_headers_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
    ) -> None:
        receiver.headers["X-Huge"] = "x" * 100_000
        with pytest.raises(Refused, match="no valid answer"):
            await self.attempt(monkeypatch, receiver, "localhost", trusted=True)

    async def test_who_does_not_listen_is_reported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        closed = Receiver(port, tmp_path / "none")
        with pytest.raises(Refused, match="no connection"):
            await asyncio.wait_for(self.attempt(monkeypatch, closed, "localhost", trusted=False), 60)
