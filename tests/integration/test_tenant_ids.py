"""A tenant that was dropped and recreated under the same name is a new tenant: the two share no data."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from redis.asyncio import Redis

from portraits import hopper_jpeg
from service import Service
from shared.control import DROPPED_TENANTS, Control
from shared.control.layout import TENANT_IDS
from shared.redis_clients import connect, connect_blocking
from worker.ledger import Ledger
from worker.models.identity import Identity
from worker.store.memory import MemoryStore
from worker.upkeep.sweeper import Sweeper

IMAGE = hopper_jpeg()
SPACE = Identity("test", "0" * 64, 1, 4)


@dataclass
class Tenant:
    """A tenant of the service, which can be recreated, and its key."""

    service: Service
    control: Control
    name: str
    key: str = ""

    async def made(self) -> "Tenant":
        await self.control.create_tenant(self.name)
        _, self.key = await self.control.create_key(self.name, "k")
        return self

    async def recreated(self) -> "Tenant":
        await self.control.drop_tenant(self.name)
        return await self.made()

    def call(self, call: str, once: str | None = None, key: str = "", **files: bytes) -> httpx.Response:
        headers = {"X-API-Key": key or self.key} | ({} if once is None else {"Idempotency-Key": once})
        return self.service.http.post(f"/v1/{call}", headers=headers, files=files)


@pytest.fixture
async def redis(service: Service) -> AsyncIterator[Redis]:
    async with connect(service.broker) as client:
        yield client


@pytest.fixture
async def tenant(service: Service, redis: Redis) -> Tenant:
    return await Tenant(service, Control(redis), uuid.uuid4().hex).made()


async def test_a_recreated_tenant_has_no_former_faces(tenant: Tenant) -> None:
    assert tenant.call("addface", img=IMAGE).json()["status"] == "OK"
    assert tenant.call("searchface", img=IMAGE).json()["status"] == "OK"
    await tenant.recreated()
    assert tenant.call("searchface", img=IMAGE).json()["status"] == "NO_SIMILAR_FACE"


async def test_a_cached_former_key_is_refused(tenant: Tenant) -> None:
    former = tenant.key
    assert tenant.call("delface").json()["status"] == "INVALID_REQUEST"  # caches the key, but no facedb
    await tenant.recreated()
    assert tenant.call("addface", img=IMAGE).json()["status"] == "OK"
    assert tenant.call("searchface", key=former, img=IMAGE).json()["status"] == "INVALID_REQUEST"


async def test_a_comparison_of_the_former_tenant_is_not_replayed(tenant: Tenant) -> None:
    images = {"img1": IMAGE, "img2": IMAGE}
    assert tenant.call("facecompare", "k1", **images).json()["status"] == "OK"
    assert "Idempotent-Replayed" in tenant.call("facecompare", "k1", **images).headers
    await tenant.recreated()
    assert "Idempotent-Replayed" not in tenant.call("facecompare", "k1", **images).headers


async def test_a_tenant_without_an_id_uses_its_name_until_it_is_recreated(tenant: Tenant, redis: Redis) -> None:
    await redis.hdel(TENANT_IDS, tenant.name)
    assert tenant.call("addface", "k1", img=IMAGE).json()["status"] == "OK"
    assert "Idempotent-Replayed" in tenant.call("addface", "k1", img=IMAGE).headers
    assert await redis.keys(f"fs:once:{tenant.name}:*"), "where gateways of that release look for it"
    await tenant.recreated()
    assert tenant.call("searchface", img=IMAGE).json()["status"] == "NO_SIMILAR_FACE"
    assert "Idempotent-Replayed" not in tenant.call("addface", "k1", img=IMAGE).headers


async def test_the_records_of_a_dropped_tenant_are_removed_when_no_job_can_need_them(valkey_url: str) -> None:
    async with connect(valkey_url) as redis:
        control = Control(redis, drop_after_s=0)
        for name in ("shop", "bank"):
            await control.create_tenant(name)
        ids = {name.decode(): known.decode() for name, known in (await redis.hgetall(TENANT_IDS)).items()}
        for known in ids.values():
            async with redis.pipeline() as pipe:
                for number in range(2500):
                    pipe.hset(f"fs:once:{known}:{number:064x}", "asked", "x")
                await pipe.execute()
        await control.drop_tenant("shop")
        with connect_blocking(valkey_url) as client:
            Sweeper(Ledger(client, client), MemoryStore(SPACE)).sweep()
        assert not await redis.keys(f"fs:once*{ids['shop']}*")
        assert len(await redis.keys(f"fs:once:{ids['bank']}:*")) == 2500
        assert not await redis.exists(DROPPED_TENANTS)
