"""Errors of a Qdrant client, over REST or gRPC, as StoreErrors."""

import json
import re
from collections.abc import Callable
from typing import Final, TypeVar

import grpc
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from worker.store.base import StoreError, StoreUnavailable

Answer = TypeVar("Answer")

_LOCAL_MISSING = re.compile(r"Collection \S+ not found")
_VALUES = re.compile(r'"[^"]*"|\[[^\]]*\]')
_KEY_REFUSED: Final = "the API key is refused; set QDRANT_API_KEY to one that may read and write"

_SILENT: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_TROUBLED: Final = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNKNOWN,
}
_KEY_CODES: Final = {401, 403, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


class Missing(StoreError):
    """There is no such collection."""


class Busy(StoreUnavailable):
    """The server asks for a pause of retry_after_s seconds."""

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


def answer(call: Callable[[], Answer]) -> Answer:
    """Return the result of the call. Raises Missing, StoreUnavailable or StoreError.

    They are raised `from None`, as the client's exception holds the server's raw body, which may quote the request.
    """
    try:
        return call()
    except ResponseHandlingException as error:
        raise StoreUnavailable(f"Qdrant does not answer: {type(error.source).__name__}") from None
    except ResourceExhaustedResponse as error:
        raise Busy("Qdrant answers: too many requests", error.retry_after_s) from None
    except QdrantException:  # Retry-After is no number of seconds
        raise StoreUnavailable("Qdrant answers: too many requests") from None
    except UnexpectedResponse as error:
        raise refusal(error.status_code or 0, error.content) from None
    except grpc.RpcError as error:
        raise rpc_refusal(error) from None
    except ValueError as error:  # how the client's local mode refuses
        kind = Missing if _LOCAL_MISSING.fullmatch(str(error)) else StoreError
        raise kind(_without_values(str(error))) from None


def refusal(code: int, body: bytes) -> StoreError:
    """Return the error for a REST answer other than 2xx, with the server's reason in its text."""
    if code in _KEY_CODES:
        return StoreError(f"Qdrant answers {code}: {_KEY_REFUSED}")
    try:
        reason = str(json.loads(body)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        reason = "no reason given"
    text = f"Qdrant answers {code}: {_without_values(reason)}"
    if code == 404:
        return Missing(text)
    # 5xx: overloaded, out of disk, a shard without replicas. None of them is about the request.
    return StoreUnavailable(text) if code >= 500 or code in {408, 429} else StoreError(text)


def rpc_refusal(error: grpc.RpcError) -> StoreError:
    """Return the error for a failed gRPC call."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    if code in _SILENT:
        return StoreUnavailable(f"Qdrant does not answer: {code.name}")
    if code in _KEY_CODES:
        return StoreError(f"Qdrant answers {code.name}: {_KEY_REFUSED}")
    reason = (error.details() if isinstance(error, grpc.Call) else None) or "no reason given"
    text = f"Qdrant answers {code.name}: {_without_values(reason)}"
    if code == grpc.StatusCode.NOT_FOUND:
        return Missing(text)
    return StoreUnavailable(text) if code in _TROUBLED else StoreError(text)


def _without_values(reason: str) -> str:
    """Remove what the server quotes from the request, such as a name or a vector."""
    return _VALUES.sub("...", reason)[:200]
