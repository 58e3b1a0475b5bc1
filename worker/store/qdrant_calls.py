"""Calls to Qdrant: how a client is made, and what it raises as the StoreError that it amounts to."""

import json
import re
from collections.abc import Callable
from typing import TypeVar

from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from shared.errors import OperatorError
from worker.store.base import StoreError, StoreUnavailable

Answer = TypeVar("Answer")

_LOCAL_MISSING = re.compile(r"Collection \S+ not found")
_VALUES = re.compile(r'"[^"]*"|\[[^\]]*\]')


class Missing(StoreError):
    """There is no such collection."""


def connect(url: str | None, api_key: str | None, timeout: int) -> QdrantClient:
    """A client that has not sent anything yet. timeout: of one call, in seconds. Raises OperatorError on a bad URL."""
    if not url:
        raise OperatorError("QDRANT_URL is not set; give one, or set FACESEARCH_STORE=edge")
    # The key goes as a header and the version is not compared: the client prints warnings about either otherwise.
    headers = {"api-key": api_key} if api_key else None
    try:
        return QdrantClient(url=url, headers=headers, timeout=timeout, check_compatibility=False)
    except ValueError as error:
        raise OperatorError(f"QDRANT_URL is no URL: {error}") from None


def answer(call: Callable[[], Answer]) -> Answer:
    """What the call returns. Raises Missing, StoreUnavailable or StoreError.

    Raised `from None`: the client's own exception holds the server's raw body, which may quote the request.
    """
    try:
        return call()
    except ResponseHandlingException as error:
        raise StoreUnavailable(f"Qdrant does not answer: {type(error.source).__name__}") from None
    except ResourceExhaustedResponse:
        raise StoreUnavailable("Qdrant answers 429: too many requests") from None
    except UnexpectedResponse as error:
        raise refusal(error.status_code or 0, error.content) from None
    except ValueError as error:  # how the client's local mode refuses
        kind = Missing if _LOCAL_MISSING.fullmatch(str(error)) else StoreError
        raise kind(_without_values(str(error))) from None


def refusal(code: int, body: bytes) -> StoreError:
    """What an answer of the server other than 2xx amounts to. Its text has the server's reason."""
    try:
        reason = str(json.loads(body)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        reason = "no reason given"
    text = f"Qdrant answers {code}: {_without_values(reason)}"
    if code == 404:
        return Missing(text)
    # 5xx: overloaded, out of disk, a shard without replicas. None of them is about the request.
    return StoreUnavailable(text) if code >= 500 or code in {408, 429} else StoreError(text)


def _without_values(reason: str) -> str:
    """The server quotes what it could not read, which may be a name or a vector."""
    return _VALUES.sub("...", reason)[:200]
