"""The client for programs without asyncio."""

import time
import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import httpx

from facesearch_client import calls
from facesearch_client.account import TIMEOUT_S, Account, address
from facesearch_client.answers import ended, no_answer, result_of, submitted
from facesearch_client.calls import Call, Faces, Metadata, SearchedFaces, new_idempotency_key
from facesearch_client.errors import Unavailable
from facesearch_client.images import Image
from facesearch_client.jobs import Job, Pauses, Submittable, reader
from facesearch_client.results import (
    AddedFace,
    Comparison,
    CountedFacedb,
    FoundFace,
    Person,
    PersonPage,
    PersonWithFaces,
    SearchedFace,
)
from facesearch_client.retries import DEFAULT, Attempts, Retries

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

T = TypeVar("T")


class FaceSearch:
    """A facesearch service, with one key of it. Threads may share it. A `with` block closes its connections.

    url: the address of the service, such as http://127.0.0.1:8000. key: the API key, which is never logged nor shown.
    timeout_s: seconds to wait for the answer to one attempt; let it be more than the service's FACESEARCH_DEADLINE_S,
    or requests are repeated that are still being done. retries: how long requests are repeated. http: a client of
    httpx to use, for proxies and certificates for example; its owner closes it.

    Raises ValueError for an address, a key or a time that cannot be one.

    Its methods raise subclasses of FaceSearchError: Unavailable when the service could not do it in all attempts,
    ConnectionFailed of these when it was not reached; InvalidRequest for a wrong parameter, Unauthorized and Forbidden
    of these for the key; UnexpectedAnswer if the address is that of another service. With an image they also raise
    FaceNotDetected, ImageTooLarge and ImageUnreadable, OSError for a file that cannot be read, TypeError for what is no
    image, and ImportError if Pillow is needed and missing.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = DEFAULT,
        http: httpx.Client | None = None,
    ) -> None:
        self._account = Account(address(url), key, timeout_s)
        self._retries = retries
        self._is_own = http is None
        self._http = httpx.Client() if http is None else http

    def __repr__(self) -> str:
        return f"FaceSearch({self._account.url!r})"

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._is_own:
            self._http.close()

    def addface(
        self,
        image: Image,
        *,
        name: str | None = None,
        facedb: str | None = None,
        faces: Faces | None = None,
        external_id: str | None = None,
        metadata: Metadata | None = None,
        person_id: str | uuid.UUID | None = None,
        unique: float | None = None,
        details: bool = False,
        shrink: bool = False,
        idempotency_key: str | None = None,
    ) -> list[AddedFace]:
        """Add the faces of an image to a face database, and return them from left to right.

        name: text for all of them, at most 128 letters and digits unless the service allows more; None: the service
        chooses ID0, ID1 and so on. facedb: None: the key's own. faces: which are added: "all", bystanders too, which
        None means as well; the "largest"; or "one", which raises SeveralFaces if there are more. external_id,
        metadata: attached to all of them: an id of your own, 1 to 128 visible ASCII characters, and a JSON object of at
        most 4,096 bytes. person_id: add the most prominent face to this person, who has at most 100 and is found by all
        of them together, and give the person what else is given; faces may be "one" then, and unique has to be None.
        Raises PersonNotFound if the face database has none with that id. unique: a confidence from 80 to 100; a face is
        not added if somebody in the face database is so like it, also if many add at once: its `existing` is True then.
        details: say more about each: where it is in the photo, how it is shown, and what is attached. shrink: scale the
        image down to what the service takes. idempotency_key: 1 to 255 visible ASCII characters: calls with the same
        one and the same parameters have the effect of one; None: one of its own.
        """
        call = calls.addface(
            image,
            name,
            facedb,
            faces,
            external_id,
            metadata,
            person_id,
            unique=unique,
            details=details,
            shrink=shrink,
        )
        return self._do(call, idempotency_key or new_idempotency_key())

    @overload
    def searchface(
        self,
        image: Image | None = None,
        *,
        facedb: str | None = None,
        limit: int | None = None,
        min_confidence: float | None = None,
        faces: Literal["largest"] | None = None,
        person_id: str | uuid.UUID | None = None,
        details: bool = False,
        shrink: bool = False,
        idempotency_key: str | None = None,
    ) -> list[FoundFace]: ...

    @overload
    def searchface(
        self,
        image: Image,
        *,
        facedb: str | None = None,
        limit: int | None = None,
        min_confidence: float | None = None,
        faces: Literal["all"],
        details: bool = False,
        shrink: bool = False,
        idempotency_key: str | None = None,
    ) -> list[SearchedFace]: ...

    def searchface(
        self,
        image: Image | None = None,
        *,
        facedb: str | None = None,
        limit: int | None = None,
        min_confidence: float | None = None,
        faces: SearchedFaces | None = None,
        person_id: str | uuid.UUID | None = None,
        details: bool = False,
        shrink: bool = False,
        idempotency_key: str | None = None,
    ) -> list[FoundFace] | list[SearchedFace]:
        """Search a face database for the most prominent face of an image. Return the faces that are like it, the most
        similar first; an empty list if there are none. With faces="all", return every face of the image from left to
        right, each with those like it; an empty list if there are none for any of them. With a person_id in place of
        the image, search for those like that person, who is left out. Raises PersonNotFound if there is none with that
        id, and ValueError unless exactly one of image and person_id is given.

        limit: return at most that many for a face, 1 to 50; None: 50. min_confidence: the least confidence of one, 0 to
        100; None: 80. faces: None: "largest". details: say more about each, and how alike each face of a person is.
        facedb, shrink: as in addface. idempotency_key: a repetition with the same one gives the first result, and is
        charged once; None: there is none.
        """
        call = calls.searchface(image, facedb, limit, min_confidence, faces, person_id, details=details, shrink=shrink)
        return self._do(cast("Call[list[FoundFace] | list[SearchedFace]]", call), idempotency_key)

    def delface(
        self,
        person_id: str | uuid.UUID,
        *,
        facedb: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Delete an added face. Raises PersonNotFound if the face database has none with that id.

        facedb, idempotency_key: as in addface.
        """
        self._do(calls.delface(person_id, facedb), idempotency_key or new_idempotency_key())

    def facecompare(
        self,
        image1: Image,
        image2: Image,
        *,
        details: bool = False,
        shrink: bool = False,
        idempotency_key: str | None = None,
    ) -> Comparison:
        """Compare the most prominent faces of two images, whose order does not matter.

        details: say where both faces are in their photos, and how they are shown. shrink: as in addface.
        idempotency_key: as in searchface.
        """
        return self._do(calls.facecompare(image1, image2, details=details, shrink=shrink), idempotency_key)

    def listpersons(
        self,
        *,
        facedb: str | None = None,
        name: str | None = None,
        external_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> PersonPage:
        """Return persons of a face database, the one added first is first, and where the list goes on. `persons` yields
        all of them.

        facedb: None: the key's own. name, external_id: only those that have exactly this. limit: return at most that
        many, 1 to 100; None: 100. after: the `next` of the page before, with the same other arguments.
        """
        return self._do(calls.listpersons(facedb, name, external_id, limit, after), None)

    def persons(
        self, *, facedb: str | None = None, name: str | None = None, external_id: str | None = None
    ) -> Iterator[Person]:
        """Yield the persons of a face database, the one added first is first, a page at a time. Nobody comes twice, and
        nobody is missed who is there throughout, whatever is added and deleted meanwhile.

        facedb, name, external_id: as in listpersons.
        """
        after = None
        while True:
            page = self.listpersons(facedb=facedb, name=name, external_id=external_id, after=after)
            yield from page.persons
            after = page.next
            if after is None:
                return

    def getperson(self, person_id: str | uuid.UUID, *, facedb: str | None = None) -> PersonWithFaces:
        """Return a person with its faces. Raises PersonNotFound if the face database has none with that id.

        facedb: as in addface.
        """
        return self._do(calls.getperson(person_id, facedb), None)

    def updateperson(
        self,
        person_id: str | uuid.UUID,
        *,
        facedb: str | None = None,
        name: str | None = None,
        external_id: str | None = None,
        metadata: Metadata | Literal[""] | None = None,
        idempotency_key: str | None = None,
    ) -> Person:
        """Change what is attached to a person, and return the person. Raises PersonNotFound if the face database has
        none with that id, and ValueError if nothing is to be changed.

        name, external_id, metadata: None: it stays; "": it is removed. facedb, idempotency_key: as in addface.
        """
        call = calls.updateperson(person_id, facedb, name, external_id, metadata)
        return self._do(call, idempotency_key or new_idempotency_key())

    def deleteperson(
        self, person_id: str | uuid.UUID, *, facedb: str | None = None, idempotency_key: str | None = None
    ) -> None:
        """Delete a person. Raises PersonNotFound if the face database has none with that id.

        facedb, idempotency_key: as in addface.
        """
        self._do(calls.deleteperson(person_id, facedb), idempotency_key or new_idempotency_key())

    def deleteface(
        self,
        person_id: str | uuid.UUID,
        face_id: str | uuid.UUID,
        *,
        facedb: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Delete a face of a person, the last one with the person. Raises PersonNotFound if the face database has no
        such person, or the person no such face.

        facedb, idempotency_key: as in addface.
        """
        self._do(calls.deleteface(person_id, face_id, facedb), idempotency_key or new_idempotency_key())

    def listfacedbs(self) -> list[CountedFacedb]:
        """Return the face databases of the key's tenant, and how much is in each."""
        return self._do(calls.listfacedbs(), None)

    @overload
    def submit(
        self, call: Literal["addface"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> Job[list[AddedFace]]: ...

    @overload
    def submit(
        self,
        call: Literal["searchface"],
        *arguments: Any,
        faces: Literal["all"],
        webhook_url: str | None = None,
        **parameters: Any,
    ) -> Job[list[SearchedFace]]: ...

    @overload
    def submit(
        self, call: Literal["searchface"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> Job[list[FoundFace]]: ...

    @overload
    def submit(
        self, call: Literal["delface"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> Job[None]: ...

    @overload
    def submit(
        self, call: Literal["facecompare"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> Job[Comparison]: ...

    def submit(self, call: Submittable, *arguments: Any, webhook_url: str | None = None, **parameters: Any) -> Job[Any]:
        """Have a call done without waiting for it, and return its job, whose `wait` returns what the call returns. For
        what has time: the service does it within 15 minutes, and other requests are done first.

        call: its name, "addface", "searchface", "delface" or "facecompare". arguments, parameters: those of the method
        of that name. webhook_url: where the service sends the outcome, too, if its operator allows the host.
        """
        preparing = _Preparing()
        getattr(preparing, call)(*arguments, **parameters)
        prepared, key = preparing.prepared
        sent = prepared.not_waited_for(webhook_url)
        made = self._repeated(sent, key or new_idempotency_key(), submitted)
        if isinstance(made, httpx.Response):
            return Job(None, self, prepared.result, made)
        return Job(made, self, prepared.result)

    def job(self, call: Submittable, job_id: str, *, every_face: bool = False) -> Job[Any]:
        """Return a job by its id, such as one that an earlier process submitted. every_face: whether it is of a search
        with faces="all". Nothing is looked up until it is waited for.
        """
        return Job(job_id, self, reader(call, every_face=every_face))

    def _outcome(self, job_id: str, pauses: Pauses) -> httpx.Response:
        """Return the answer that has the outcome of a job. Raises TimeoutError."""
        call = calls.getjob(job_id)
        while True:
            answer = self._repeated(call, None, ended)
            if answer is not None:
                return answer
            time.sleep(pauses.next_s())

    def _do(self, call: Call[T], idempotency_key: str | None) -> T:
        return self._repeated(call, idempotency_key, lambda response: result_of(response, call.result))

    def _repeated(self, call: Call[object], idempotency_key: str | None, read: Callable[[httpx.Response], T]) -> T:
        """Return what `read` makes of the answer, after as many attempts as it takes."""
        attempts = Attempts(self._retries, call.name, idempotency_key)
        while True:
            try:
                return read(self._send(call, idempotency_key))
            except Unavailable as error:
                pause_s = attempts.pause_s(error)
            time.sleep(pause_s)

    def _send(self, call: Call[object], idempotency_key: str | None) -> httpx.Response:
        try:
            request = self._account.request(self._http, call, idempotency_key)
            return self._http.send(request, follow_redirects=False)
        except httpx.RequestError as error:
            failed = no_answer(error)
        raise failed


class _Preparing(FaceSearch):
    """Keeps the call that is asked for, with its Idempotency-Key, in place of making it. It needs no service."""

    prepared: tuple[Call[Any], str | None]

    def __init__(self) -> None:
        pass

    def _do(self, call: Call[T], idempotency_key: str | None) -> T:
        self.prepared = call, idempotency_key
        return cast("T", None)
