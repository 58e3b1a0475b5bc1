"""The service that photos are added to, over HTTP."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import aiohttp
from pydantic import SecretStr

from shared.calls import ADD_FACE, LIST_PERSONS
from shared.contract import Faces, Status
from shared.idempotency import HEADER

CONNECT_S: Final = 10.0
ANSWER_S: Final = 60.0
"""Seconds in which a service answers, six times its default deadline. After a longer one, a repetition under the same
Idempotency-Key waits for the same outcome.
"""

LONGEST_WAIT_S: Final = 3600.0
"""Most seconds that a Retry-After is believed."""

_REMEDIES: Final = {
    "X-API-Key": "name a file with a key of this service with --key-file",
    "this key may not": "`facesearch keys create` makes one that may, and --key-file names it",
    "facedb does not exist": "`facesearch facedbs create` makes it, and --facedb names another",
    "X-Admin-Key": "that is the admin API: name the address of the calls with --url",
}
"""What to do after a refusal, by the beginnings of messages."""

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP codes of answers that are not the service's own, after which the same request may succeed. Proxies send them."""


@dataclass(frozen=True)
class Answer:
    """An answer of the service. message: that of the contract. flaw: of the faces, if the service names one.
    retry_after_s: what it asks to wait, with FAIL only. limited: whether a limit of the key is the reason. replayed:
    whether it repeats an earlier answer.
    """

    status: Status
    message: Any
    flaw: str | None = None
    retry_after_s: float = 0.0
    limited: bool = False
    replayed: bool = False

    @property
    def refusal(self) -> str:
        """Why the service refuses more than one photo, and what to do, where that is known."""
        message = str(self.message)
        return next(
            (f"{message}; {remedy}" for begin, remedy in _REMEDIES.items() if message.startswith(begin)), message
        )

    @property
    def is_of_a_photo(self) -> bool:
        """Whether a photo was looked at for it."""
        return self.status is Status.FACE_DETECT_FAILED or (self.status is Status.OK and isinstance(self.message, list))

    @property
    def person_ids(self) -> Sequence[str]:
        """The ids of the faces that were added, of an OK."""
        return [str(face["person_id"]) for face in self.message]


class NoAnswer(Exception):
    """There was no answer, and there may be one later. Its text says why."""


class NoService(Exception):
    """What answered is no face-search service, now or later. Its text says why."""


class Service:
    """A client of one service, to be entered before use. url: its origin. facedb: "" for the key's own default."""

    def __init__(self, url: str, key: SecretStr, facedb: str) -> None:
        self._url = url
        self._key = key
        self._facedb = facedb

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S),
            headers={"X-API-Key": self._key.get_secret_value()},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def add(
        self,
        image: bytes,
        name: str,
        faces: Faces,
        idempotency_key: str | None,
        person_id: str | None = None,
        attributes: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """Return the answer to an add. person_id: of the person who gets the face, and keeps its name. attributes: of a
        new person, as Photo.attributes. Raises NoAnswer, NoService.
        """
        form = aiohttp.FormData({"faces": faces.value} | ({"facedb": self._facedb} if self._facedb else {}))
        # With a name, a person who was renamed meanwhile would get the former name again.
        form.add_field(*(("name", name) if person_id is None else ("person_id", person_id)))
        for parameter, text in attributes.items():
            form.add_field(parameter, text)
        # Without the photo's own file name, which the service has no use for.
        form.add_field("img", io.BytesIO(image), filename="img", content_type="application/octet-stream")
        headers = {} if idempotency_key is None else {HEADER: idempotency_key}
        return await self._answer("POST", ADD_FACE.path, data=form, headers=headers)

    async def persons_with(self, external_id: str) -> Answer:
        """Return the answer to a list of persons with an external_id, which has one of them if there is any. Raises
        NoAnswer, NoService.
        """
        wanted = {"external_id": external_id, "limit": "1"} | ({"facedb": self._facedb} if self._facedb else {})
        return await self._answer("GET", LIST_PERSONS.path, params=wanted)

    async def _answer(self, method: str, path: str, **request: Any) -> Answer:
        try:
            # A redirect would take the key elsewhere.
            url = f"{self._url}{path}"
            async with self._session.request(method, url, allow_redirects=False, **request) as response:
                return _answer(response, await response.read())
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            raise NoService(_reason(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(_reason(error)) from None


def _answer(response: aiohttp.ClientResponse, body: bytes) -> Answer:
    try:
        content = json.loads(body)
        status, message = Status(content["status"]), content["message"]
    except (ValueError, KeyError, TypeError):
        what = f"an answer that is not a face-search service's (HTTP {response.status})"
        raise NoAnswer(what) if response.status in _PASSING else NoService(what) from None
    if status is Status.INVALID_REQUEST and str(message).startswith("body "):
        # We send bodies that are well formed: this one arrived too slowly, or not as it was sent.
        raise NoAnswer(str(message))
    return Answer(
        status,
        message,
        flaw=response.headers.get("X-Face-Quality"),
        retry_after_s=_seconds(response.headers.get("Retry-After")) if status is Status.FAIL else 0.0,
        limited=status is Status.FAIL and response.status == 429,
        replayed="Idempotent-Replayed" in response.headers,
    )


def _seconds(text: str | None) -> float:
    """Return the seconds of a Retry-After. Our services send whole seconds, and never a date."""
    return min(float(text), LONGEST_WAIT_S) if text is not None and text.isascii() and text.isdigit() else 0.0


def _reason(error: BaseException) -> str:
    """Return why there was no answer, in a few words without the URL."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, OSError):
        code = error.os_error.errno
        return os.strerror(code) if code else type(error.os_error).__name__
    return type(error).__name__
