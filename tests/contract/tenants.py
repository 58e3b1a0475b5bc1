"""Tenants for tests whose faces must not meet those of other tests."""

import asyncio
import uuid
from typing import Any

from redis.asyncio import Redis

from shared.control import Control


def new_tenant(broker: str, **keys: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Create a tenant with an empty facedb. Returns its name and its API keys by name. keys: by name, the options of
    Control.create_key.
    """

    async def create() -> tuple[str, dict[str, str]]:
        tenant = uuid.uuid4().hex
        async with Redis.from_url(broker) as redis:
            control = Control(redis)
            await control.create_tenant(tenant)
            secrets = {name: (await control.create_key(tenant, name, **options))[1] for name, options in keys.items()}
        return tenant, secrets

    return asyncio.run(create())
