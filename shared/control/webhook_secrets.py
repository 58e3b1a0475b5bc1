"""The secrets by which gateways sign webhooks, one for each tenant that has any.

Receivers compute the same signature, so a secret is kept as it is and not as a hash; backups have it, too. It is shown
once, when it is made.
"""

import secrets
from typing import Final

from redis.asyncio.client import Pipeline

from shared.control.layout import TENANT_IDS, WEBHOOK_SECRETS, Connected, begin, read_tenant, tenant_id, tenant_key
from shared.control.records import Unknown

PREFIX: Final = "whsec_"
"""What secrets begin with, so that scanners of code find one that was left somewhere."""


class WebhookSecrets(Connected):
    """The part of Control for the secrets of webhooks."""

    async def renew_webhook_secret(self, tenant: str) -> str:
        """Make a new secret for a tenant, which replaces the one before at once, and return it. Raises Unknown."""
        secret = PREFIX + secrets.token_urlsafe(32)

        async def put(pipe: Pipeline) -> None:
            await read_tenant(pipe, tenant)
            identifier = tenant_id(await pipe.hget(TENANT_IDS, tenant), tenant)
            begin(pipe)
            pipe.hset(WEBHOOK_SECRETS, identifier, secret)

        await self.atomically(put, tenant_key(tenant))
        return secret

    async def remove_webhook_secret(self, tenant: str) -> None:
        """Remove the secret of a tenant, which can have no webhooks then. Raises Unknown if it has none."""
        if not await self.redis.hdel(WEBHOOK_SECRETS, await self.tenant_id(tenant)):
            raise Unknown(f"tenant {tenant} has no webhook secret")
