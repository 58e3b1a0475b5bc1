"""From HTTP answers to messages and errors.

A service may answer with the HTTP code that fits the status, or with 200 whatever the status. So the status decides;
the code, or where it is always 200 the message, only tells apart what has the same status.
"""

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import httpx

from facesearch_client.errors import (
    ConnectionFailed,
    FaceNotDetected,
    FaceSearchError,
    Forbidden,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    Overloaded,
    PersonNotFound,
    RateLimited,
    SeveralFaces,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)

T = TypeVar("T")

_ERRORS: Final[Mapping[str, type[FaceSearchError]]] = {
    "FACE_DETECT_FAILED": FaceNotDetected,
    "PERSON_ID_NOT_EXIST": PersonNotFound,
    "IMAGE_INVALID_SIZE": ImageTooLarge,
    "IMAGE_INVALID_FORMAT": ImageUnreadable,
    "INVALID_REQUEST": InvalidRequest,
    "FAIL": Overloaded,
}

_BY_CODE: Final[Mapping[tuple[str, int], type[FaceSearchError]]] = {
    ("INVALID_REQUEST", 401): Unauthorized,
    ("INVALID_REQUEST", 403): Forbidden,
    ("FAIL", 429): RateLimited,
}

_BY_BEGINNING: Final[Mapping[str, type[FaceSearchError]]] = {
    "X-API-Key header is missing": Unauthorized,
    "this key may not ": Forbidden,
}
"""How the messages begin that the service gives to a key that it does not accept."""

_OF_PROXIES: Final = frozenset({502, 503, 504})
"""Codes by which a proxy says that the service behind it does not answer (RFC 9110, 15.6)."""


def result_of(response: httpx.Response, read: Callable[[Any], T]) -> T:
    """Return the result that an answer has. read: makes it of the message of OK, or of [] where a search found nobody,
    and raises ValueError for another message. Raises FaceSearchError.
    """
    status, message = _envelope(response)
    if status not in ("OK", "NO_SIMILAR_FACE"):
        raise _error(response, status, message)
    try:
        return read(message if status == "OK" else [])
    except ValueError as flaw:
        raise _unexpected(response, str(flaw)) from None


def submitted(response: httpx.Response) -> str | httpx.Response:
    """Return the id of the job that a request became; the answer itself if the service had the outcome at once. Raises
    FaceSearchError.
    """
    status, message = _envelope(response)
    if status == "OK" and isinstance(message, dict) and isinstance(message.get("job_id"), str):
        return str(message["job_id"])
    if status in ("OK", "NO_SIMILAR_FACE"):
        return response
    raise _error(response, status, message)


def ended(response: httpx.Response) -> httpx.Response | None:
    """Return the answer that has the outcome of a job, None while there is none. Raises FaceSearchError if the look-up
    failed.
    """
    if "X-Job-Id" in response.headers:
        return response
    status, message = _envelope(response)
    if status == "OK" and isinstance(message, dict) and message.get("state") == "waiting":
        return None
    raise _error(response, status, message)


def no_answer(error: httpx.RequestError) -> FaceSearchError:
    """Return the error for a request without an answer. It does not keep the original, which has the key with it."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not isinstance(error, httpx.TransportError):
        return UnexpectedAnswer(f"the answer cannot be read: {text}")
    if _refuses_certificate(error):
        # A repetition would only show it later.
        return UnexpectedAnswer(f"the certificate of the service is not accepted: {text}")
    return ConnectionFailed(f"no answer from {_place(error)}: {text}")


def _envelope(response: httpx.Response) -> tuple[str, Any]:
    """Return status and message of an answer."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("status"), str) and "message" in body:
        return body["status"], body["message"]
    if response.status_code in _OF_PROXIES:
        code = response.status_code
        failed = Unavailable(f"{_place(response)} answered HTTP {code}", http_status=code)
        failed.retry_after_s = _retry_after_s(response)
        raise failed
    if response.is_redirect:
        raise _unexpected(response, "it leads elsewhere; give the final address")
    raise _unexpected(response, "it has no status and message in JSON")


def _error(response: httpx.Response, status: str, message: Any) -> FaceSearchError:
    if status not in _ERRORS:
        return _unexpected(response, f"unknown status {status[:40]!r}")
    text = message if isinstance(message, str) else ""
    kind = _BY_CODE.get((status, response.status_code), _ERRORS[status])
    if kind is InvalidRequest:
        kind = next((each for beginning, each in _BY_BEGINNING.items() if text.startswith(beginning)), kind)
    quality = response.headers.get("X-Face-Quality")
    if kind is FaceNotDetected and quality == "several":
        kind = SeveralFaces
    error = kind(
        text,
        status=status,
        http_status=response.status_code,
        request_id=response.headers.get("X-Request-Id"),
    )
    if isinstance(error, FaceNotDetected) and not isinstance(error, SeveralFaces):
        error.quality = quality
    if isinstance(error, Unavailable):
        error.retry_after_s = _retry_after_s(response)
    return error


def _unexpected(response: httpx.Response, flaw: str) -> UnexpectedAnswer:
    """Return the error for an answer that this service would not give."""
    return UnexpectedAnswer(
        f"{_place(response)} gave an answer of HTTP {response.status_code} that is not one of facesearch: {flaw}",
        http_status=response.status_code,
        request_id=response.headers.get("X-Request-Id"),
    )


def _retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After; None without it, and for a date, which the service does not send."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _place(about: httpx.Response | httpx.RequestError) -> str:
    """Return scheme, host and port of a request."""
    url = about.request.url
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _refuses_certificate(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
