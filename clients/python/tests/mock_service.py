"""Both clients with a handler in place of a service (a mock: tests/integration/test_client.py has the real one)."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from facesearch_client import NO_RETRIES, AsyncFaceSearch, FaceSearch

KEY = "fs_the-secret-key"
ADDRESS = "http://faces.test:8000"

Handler = Callable[[httpx.Request], httpx.Response]
Options = dict[str, Any]
Do = Callable[..., Any]


def answered(
    status: str, message: object = "", code: int = 200, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Return an answer of the service."""
    return httpx.Response(code, text=json.dumps({"status": status, "message": message}), headers=headers)


def do_sync(handler: Handler, name: str, /, *arguments: Any, options: Options | None = None, **named: Any) -> Any:
    with httpx.Client(transport=httpx.MockTransport(handler)) as http:
        service = FaceSearch(ADDRESS, KEY, http=http, **({"retries": NO_RETRIES} | (options or {})))
        return getattr(service, name)(*arguments, **named)


def do_async(handler: Handler, name: str, /, *arguments: Any, options: Options | None = None, **named: Any) -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as http:
            service = AsyncFaceSearch(ADDRESS, KEY, http=http, **({"retries": NO_RETRIES} | (options or {})))
            return await getattr(service, name)(*arguments, **named)

    return asyncio.run(run())
