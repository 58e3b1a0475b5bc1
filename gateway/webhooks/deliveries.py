"""Delivers outcomes to callers' servers: leases what is due, sends it, and settles how that went.

A delivery that fails is tried again after a growing time with jitter, for a day; then it is on the tenant's list of
dead ones. It may arrive twice, if a gateway is killed before it has settled it.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, cast

import structlog
from redis import RedisError
from yarl import URL

from gateway.metrics import WebhookMetrics
from gateway.redis_connection import Script, SharedConnection
from gateway.webhooks.sending import SEND_S, Refused
from gateway.webhooks.signing import DELIVERY, SIGNATURE, signature
from gateway.webhooks.targets import target
from shared.contract import Confidences, Message
from shared.control import WEBHOOK_SECRETS
from shared.errors import InvalidRequest
from shared.jobs import Outcome
from shared.webhook_hosts import Host
from shared.webhooks import CLAIM, DEAD_NOW, DELIVERED, RETRY, SETTLE, TRIED_S, delivery_key

log = structlog.stdlib.get_logger(__name__)

POLL_S: Final = 1.0
"""Seconds between two looks at what is due."""

AT_ONCE: Final = 32
"""Deliveries in progress in one gateway process: with a receiver that answers in 0.3 s, a hundred a second."""

OF_A_TENANT: Final = 8
"""Deliveries of one tenant in progress in one gateway process, so that a slow receiver does not hold up others."""

LEASE_S: Final = 3 * SEND_S
"""Seconds after which another gateway takes a delivery over: well above what one attempt takes."""

FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 3600.0
"""The first retry comes after 2.5 to 5 s, each further one after twice as long, up to half an hour to an hour: some 40
attempts in a day."""

_FIELDS: Final = ("url", "form", "outcome", "created", "attempts")

_CLAIM: Final = Script(CLAIM)
_SETTLE: Final = Script(SETTLE)

Send = Callable[[URL, bytes, Mapping[str, str]], Awaitable[None]]
Write = Callable[[Message, Confidences], Message]


class Deliveries:
    """The deliveries of one gateway process. hosts: where they may go. send: raises Refused. write: gives confidences
    the form that was asked for. chance: returns random numbers in [0, 1).
    """

    def __init__(
        self,
        broker: SharedConnection,
        hosts: Collection[Host],
        send: Send,
        write: Write,
        metrics: WebhookMetrics,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._broker = broker
        self._hosts = hosts
        self._send = send
        self._write = write
        self._metrics = metrics
        self._chance = chance
        self._running: set[asyncio.Task[None]] = set()
        self._tenants: Counter[str] = Counter()

    async def run(self) -> None:
        """Deliver until cancelled. What is in progress then is left to its lease."""
        try:
            while True:
                try:
                    await self.begin()
                except (RedisError, OSError) as error:
                    log.debug("webhooks_not_read", error=type(error).__name__)
                await asyncio.sleep(POLL_S)
        finally:
            for task in self._running:
                task.cancel()

    async def begin(self) -> None:
        """Lease what is due and begin to deliver it. Raises redis.RedisError and OSError."""
        busy = [tenant for tenant, count in self._tenants.items() if count >= OF_A_TENANT]
        limits = (AT_ONCE - len(self._running), OF_A_TENANT, LEASE_S)
        claimed: list[bytes] = await self._broker.run(_CLAIM, [], [*limits, *busy])
        for tenant, job_id in zip(claimed[::2], claimed[1::2], strict=True):
            task = asyncio.get_running_loop().create_task(self._deliver(tenant.decode(), job_id.decode()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _deliver(self, tenant: str, job_id: str) -> None:
        self._tenants[tenant] += 1
        try:
            found: list[bytes | None] = await self._broker.call("HMGET", delivery_key(job_id), *_FIELDS)
            fields = {name: value.decode() for name, value in zip(_FIELDS, found, strict=True) if value is not None}
            secret: bytes | None = await self._broker.call("HGET", WEBHOOK_SECRETS, tenant)
            if not fields:  # kept for as long as it may be, while no gateway delivered
                await self._settle(tenant, job_id, DELIVERED)
            elif secret is None:
                await self._give_up(tenant, job_id, "the tenant has no secret any more")
            else:
                await self._attempt(tenant, job_id, fields, secret)
        except (RedisError, OSError) as error:
            log.warning("webhook_not_settled", job_id=job_id, error=type(error).__name__)
        except Exception:
            log.exception("webhook_crashed", job_id=job_id)  # its lease ends, and it is tried again
        finally:
            self._tenants[tenant] -= 1
            if not self._tenants[tenant]:
                del self._tenants[tenant]

    async def _attempt(self, tenant: str, job_id: str, fields: Mapping[str, str], secret: bytes) -> None:
        """Send a delivery once, and settle it."""
        try:
            url = target(fields["url"], self._hosts)
            body = written_body(job_id, fields, self._write)
            await self._send(url, body, headers(job_id, body, secret))
        except InvalidRequest:
            await self._give_up(tenant, job_id, "the host is not allowed any more")
        except Refused as error:
            if time.time() - float(fields["created"]) > TRIED_S:
                await self._give_up(tenant, job_id, str(error))
            else:
                self._metrics.failed.inc()
                log.debug("webhook_failed", tenant_id=tenant, job_id=job_id, reason=str(error))
                await self._settle(tenant, job_id, RETRY, self._pause_s(int(fields["attempts"])), str(error))
        else:
            self._metrics.delivered.inc()
            self._metrics.seconds.observe(max(0.0, time.time() - float(fields["created"])))
            await self._settle(tenant, job_id, DELIVERED)

    async def _give_up(self, tenant: str, job_id: str, reason: str) -> None:
        self._metrics.dead.inc()
        log.warning("webhook_given_up", tenant_id=tenant, job_id=job_id, reason=reason)
        await self._settle(tenant, job_id, DEAD_NOW, 0, reason)

    async def _settle(self, tenant: str, job_id: str, how: str, pause_s: float = 0, reason: str = "") -> None:
        await self._broker.run(_SETTLE, [], [tenant, job_id, how, pause_s, reason])

    def _pause_s(self, failed: int) -> float:
        """Return the seconds until the next attempt, after that many failed ones before this."""
        longest: float = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(failed, 20))
        return longest * (1 + self._chance()) / 2


def written_body(job_id: str, fields: Mapping[str, str], write: Write) -> bytes:
    """Return the body of a delivery: the outcome as `GET /v1/jobs/{job_id}` answers it, with the id of the job. It is
    the same in every attempt.
    """
    outcome = Outcome.model_validate_json(fields["outcome"])
    message = write(outcome.message, cast("Confidences", fields["form"]))
    return json.dumps({"job_id": job_id, "status": outcome.status.value, "message": message}).encode()


def headers(job_id: str, body: bytes, secret: bytes) -> dict[str, str]:
    """Return the headers of one attempt, signed now."""
    signed = signature(secret, body, int(time.time()))
    return {"Content-Type": "application/json", "User-Agent": "facesearch", DELIVERY: job_id, SIGNATURE: signed}
