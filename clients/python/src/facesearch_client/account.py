"""Where the service is, and the key that requests carry."""

import re
from dataclasses import dataclass, field

import httpx

from facesearch_client._version import __version__
from facesearch_client.calls import Call

CONNECT_S = 5.0
"""Seconds to wait for a connection: enough for a lost packet or two, and short of the time for an answer."""


TIMEOUT_S = 20.0
"""Default of the seconds to wait for an answer: twice the default deadline of a service."""


def address(text: str) -> httpx.URL:
    """Return the address of a service. Raises ValueError if it is none; the text is not shown, since somebody may have
    given the key in its place.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ValueError("the address of the service must be like http://127.0.0.1:8000")
    return url


@dataclass(frozen=True)
class Account:
    """A key of a service. url: the address, with or without a path. timeout_s: how long to wait for the connection, the
    body's next piece to be sent, and the answer, each.

    Raises ValueError if the key could not be sent in a header, or the time is not above 0.
    """

    url: httpx.URL
    key: str = field(repr=False)
    timeout_s: float

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]+", self.key):
            raise ValueError("the key is empty, or has white space or other characters that no key has")
        if not self.timeout_s > 0:
            raise ValueError("timeout_s must be more than 0 seconds")

    def request(
        self, http: httpx.Client | httpx.AsyncClient, call: Call[object], idempotency_key: str | None
    ) -> httpx.Request:
        """Return the request of a call."""
        headers = {"X-API-Key": self.key, "User-Agent": f"facesearch-client/{__version__}", **call.headers}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        has_body = call.method in ("POST", "PATCH")
        return http.build_request(
            call.method,
            self.url.copy_with(path=f"{self.url.path.rstrip('/')}/v1/{call.path or call.name}"),
            params=None if has_body else call.texts,
            data=call.texts if has_body else None,
            files=call.images or None,
            headers=headers,
            timeout=httpx.Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s)),
        )
