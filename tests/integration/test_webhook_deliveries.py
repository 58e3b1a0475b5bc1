"""Deliveries on a real broker, with a stand-in for the receiver: retried for a day, then dead, and tried again."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis
from yarl import URL

from gateway.calls.preferences import written
from gateway.metrics import WebhookMetrics
from gateway.redis_connection import SharedConnection
from gateway.webhooks.deliveries import LONGEST_RETRY_S, OF_A_TENANT, Deliveries
from gateway.webhooks.sending import Refused
from shared import webhooks
from shared.contract import Status
from shared.control import WEBHOOK_SECRETS, Control
from shared.jobs import Outcome
from shared.webhook_hosts import parse
from shared.webhooks.dead import dead, revive

SECRET = b"whsec_of_a_test"
FOUND = [{"confidence": 97.5, "name": "Ada", "person_id": "a"}, {"confidence": 97.1, "name": "", "person_id": "b"}]


@dataclass
class Receiver:
    """A stand-in for a server. refuses: why it refuses all that comes."""

    refuses: str = ""
    got: list[tuple[URL, bytes, Mapping[str, str]]] = field(default_factory=list)

    async def send(self, url: URL, body: bytes, headers: Mapping[str, str]) -> None:
        self.got.append((url, body, headers))
        if self.refuses:
            raise Refused(self.refuses)


class Scene:
    """One tenant of a broker, whose outcomes are delivered."""

    def __init__(self, redis: Redis, connection: SharedConnection) -> None:
        self.redis, self.control, self.receiver = redis, Control(redis), Receiver()
        self.metrics = WebhookMetrics()
        hosts = parse("hooks.example.com")
        self.deliveries = Deliveries(connection, hosts, self.receiver.send, written, self.metrics, lambda: 0.5)

    async def queue(self, job: str, url: str = "https://hooks.example.com/x?token=1", form: str = "decimals") -> None:
        outcome = Outcome(status=Status.OK, message=FOUND).model_dump_json()
        text = f"{webhooks.COMMON}\nqueue_webhook(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])"
        await self.redis.eval(text, 0, await self.control.tenant_id("shop"), job, url, form, outcome)

    async def deliver(self) -> None:
        """Deliver what is due, once."""
        await self.deliveries.begin()
        while self.deliveries._running:
            await asyncio.wait(self.deliveries._running)
            await asyncio.sleep(0)  # for what is done when they end

    async def record(self, job: str) -> dict[str, str]:
        found = await self.redis.hgetall(webhooks.delivery_key(job))
        return {name.decode(): value.decode() for name, value in found.items()}

    async def make_due(self, job: str) -> float:
        """Let the time until the next attempt pass. Returns the seconds that it was."""
        due = webhooks.DUE + await self.control.tenant_id("shop")
        pause_s = await self.redis.zscore(due, job) - time.time()
        await self.redis.zadd(due, {job: 1})
        await self.redis.zadd("fs:webhook:tenants", {await self.control.tenant_id("shop"): 1})
        return float(pause_s)


@pytest.fixture
async def scene(redis: Redis, connection: SharedConnection) -> Scene:
    made = Scene(redis, connection)
    await made.control.create_tenant("shop")
    await redis.hset(WEBHOOK_SECRETS, await made.control.tenant_id("shop"), SECRET)
    return made


async def test_an_outcome_is_delivered_signed_and_forgotten(scene: Scene, redis: Redis) -> None:
    await scene.queue("job")
    await scene.deliver()
    ((url, body, headers),) = scene.receiver.got
    assert str(url) == "https://hooks.example.com/x?token=1"
    assert json.loads(body) == {"job_id": "job", "status": "OK", "message": FOUND}
    assert (headers["Content-Type"], headers["X-Facesearch-Delivery"]) == ("application/json", "job")
    at, _, mac = headers["X-Facesearch-Signature"].removeprefix("t=").partition(",v1=")
    assert hmac.new(SECRET, f"{at}.".encode() + body, hashlib.sha256).hexdigest() == mac
    assert abs(int(at) - time.time()) < 100
    assert await redis.keys("fs:webhook:*") == []
    assert scene.metrics.delivered._value.get() == 1
    assert sum(each.get() for each in scene.metrics.seconds._buckets) == 1


async def test_an_outcome_has_the_form_that_the_key_asks_for(scene: Scene) -> None:
    await scene.queue("job", form="whole")
    await scene.deliver()
    assert [match["confidence"] for match in json.loads(scene.receiver.got[0][1])["message"]] == [97, 97]


async def test_what_fails_is_tried_again_after_a_growing_time_with_the_same_body(scene: Scene) -> None:
    scene.receiver.refuses = "HTTP 500"
    await scene.queue("job")
    pauses = []
    for attempt in range(1, 15):
        await scene.deliver()
        assert (await scene.record("job"))["attempts"] == str(attempt)
        pauses.append(await scene.make_due("job"))
    assert pauses[:3] == pytest.approx([3.75, 7.5, 15], abs=2)
    assert pauses[-1] == pytest.approx(0.75 * LONGEST_RETRY_S, abs=2)
    assert len({body for _, body, _ in scene.receiver.got}) == 1
    scene.receiver.refuses = ""
    await scene.deliver()
    assert await scene.record("job") == {}
    assert (scene.metrics.failed._value.get(), scene.metrics.delivered._value.get()) == (14, 1)


async def test_after_a_day_it_is_dead_and_an_operator_has_it_tried_again(scene: Scene, redis: Redis) -> None:
    scene.receiver.refuses = "no connection"
    await scene.queue("job")
    await redis.hset(webhooks.delivery_key("job"), "created", time.time() - webhooks.TRIED_S - 1)
    await scene.deliver()
    (given_up,) = await dead(scene.control, "shop")
    assert (given_up.job_id, given_up.host, given_up.status) == ("job", "hooks.example.com", "OK")
    assert (given_up.why, given_up.attempts) == ("no connection", 1)
    assert scene.metrics.dead._value.get() == 1
    scene.receiver.refuses = ""
    assert await revive(scene.control, "shop") == 1
    assert await dead(scene.control, "shop") == []
    await scene.deliver()
    assert await redis.keys("fs:webhook:*") == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://hooks.example.com/", "the tenant has no secret any more"),
        ("https://other.example.com/", "the host is not allowed any more"),
    ],
)
async def test_what_may_not_be_sent_any_more_is_dead_at_once(scene: Scene, url: str, why: str) -> None:
    if "secret" in why:
        await scene.control.remove_webhook_secret("shop")
    await scene.queue("job", url)
    await scene.deliver()
    assert [each.why for each in await dead(scene.control, "shop")] == [why]
    assert scene.receiver.got == []


async def test_a_tenant_has_some_deliveries_at_once_and_no_more(scene: Scene) -> None:
    for number in range(OF_A_TENANT + 5):
        await scene.queue(f"job{number}")
    for expected in (OF_A_TENANT, OF_A_TENANT + 5):
        await scene.deliver()
        assert len(scene.receiver.got) == expected


async def test_a_dropped_tenant_leaves_no_secret(scene: Scene, redis: Redis) -> None:
    await scene.control.drop_tenant("shop")
    assert await redis.hgetall(WEBHOOK_SECRETS) == {}
