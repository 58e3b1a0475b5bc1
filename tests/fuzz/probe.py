"""A probe: the bytes of a request and the answers that it may get."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fuzz.bodies import Body
from shared.calls import Call

NOBODY = "00000000-0000-4000-8000-000000000000"
"""A person_id that no face has."""


@dataclass(frozen=True)
class Probe:
    """Bytes to send and the answers that they may get.

    call: the call that it certainly reaches, if any. statuses: those it may answer; empty for any. code: the only HTTP
    code, 0 for any. ends: hang up instead of waiting. silent: the connection may end without an answer.
    """

    kind: str
    raw: bytes
    call: Call | None = None
    statuses: Collection[str] = ()
    code: int = 0
    head: bool = False
    ends: bool = False
    silent: bool = False


def request(
    call: Call | str,
    key: str,
    content: Body,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: str = "",
) -> bytes:
    """Return a whole request. call: a call, or a path below /v1/. method: by default the call's, or else POST. A header
    of None is left out.
    """
    kind, data = content
    path = f"/v1/{call}" if isinstance(call, str) else call.path.format(**dict.fromkeys(call.path_parameters, NOBODY))
    method = method or ("POST" if isinstance(call, str) else call.method)
    given = {"Host": "fuzz", "X-API-Key": key, "Content-Type": kind, "Content-Length": str(len(data))} | (headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"{method} {path}{query} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace") + data
