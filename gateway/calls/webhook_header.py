"""The header X-Webhook-Url of a request."""

from typing import Final

from aiohttp import web

from gateway.app_keys import ASYNCHRONOUS, SETTINGS
from gateway.calls.preferences import RESPOND_ASYNC
from gateway.dispatch.asynchronous import Webhook
from gateway.http.headers import PREFER, WEBHOOK_URL
from gateway.webhooks.targets import target
from shared.control import Caller
from shared.errors import InvalidRequest

_NEEDS: Final = f"{WEBHOOK_URL} needs a POST with {PREFER}: {RESPOND_ASYNC}"
_TWICE: Final = f"{WEBHOOK_URL} must be given once"
_NO_SECRET: Final = f"{WEBHOOK_URL} needs a webhook secret of the tenant, which the operator makes"


async def webhook_of(request: web.Request, key: Caller, is_asynchronous: bool) -> Webhook | None:
    """Return where the outcome of a request goes, None if it has no such header. Raises InvalidRequest, and Unavailable
    when it cannot be told whether the tenant has a secret.
    """
    urls = request.headers.getall(WEBHOOK_URL, [])
    if not urls:
        return None
    if not is_asynchronous:
        raise InvalidRequest(_NEEDS)
    if len(urls) > 1:
        raise InvalidRequest(_TWICE)
    settings = request.app[SETTINGS]
    url = target(urls[0], settings.allowed_webhook_hosts)
    if not await request.app[ASYNCHRONOUS].has_webhook_secret(key.tenant_id):
        raise InvalidRequest(_NO_SECRET)
    return Webhook(str(url), key.confidence or settings.confidence)
