"""A tenant of its own for what must not meet the faces of other tests."""

import asyncio
import uuid
from typing import Any

from redis.asyncio import Redis

from shared.control import Control


def new_tenant(broker: str, **keys: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Name and API keys of a new tenant with an empty facedb. keys: by name, what Control.create_key is to know."""

    async def create() -> tuple[str, dict[str, str]]:
        tenant = uuid.uuid4().hex
        async with Redis.from_url(broker) as redis:
            control = Control(redis)
            await control.create_tenant(tenant)
            secrets = {name: (await control.create_key(tenant, name, **options))[1] for name, options in keys.items()}
        return tenant, secrets

    return asyncio.run(create())
