"""The client for asyncio: the methods of FaceSearch, to be awaited."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import httpx

from facesearch_client import calls
from facesearch_client.account import TIMEOUT_S, Account, address
from facesearch_client.answers import ended, no_answer, result_of, submitted
from facesearch_client.calls import Call, Faces, Metadata, SearchedFaces, new_idempotency_key
from facesearch_client.errors import Unavailable
from facesearch_client.images import Image
from facesearch_client.jobs import AsyncJob, Pauses, Submittable, reader
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


class AsyncFaceSearch:
    """FaceSearch for asyncio: its arguments, results and errors are the same. An `async with` block closes its
    connections. Images are read and scaled in threads, so that other tasks go on.

    http: a client of httpx to use; its owner closes it.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = DEFAULT,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._account = Account(address(url), key, timeout_s)
        self._retries = retries
        self._is_own = http is None
        self._http = httpx.AsyncClient() if http is None else http

    def __repr__(self) -> str:
        return f"AsyncFaceSearch({self._account.url!r})"

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._is_own:
            await self._http.aclose()

    async def addface(
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
        """See FaceSearch.addface."""
        call = await asyncio.to_thread(
            calls.addface,
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
        return await self._do(call, idempotency_key or new_idempotency_key())

    @overload
    async def searchface(
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
    async def searchface(
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

    async def searchface(
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
        """See FaceSearch.searchface."""
        call = await asyncio.to_thread(
            calls.searchface,
            image,
            facedb,
            limit,
            min_confidence,
            faces,
            person_id,
            details=details,
            shrink=shrink,
        )
        return await self._do(cast("Call[list[FoundFace] | list[SearchedFace]]", call), idempotency_key)

    async def delface(
        self,
        person_id: str | uuid.UUID,
        *,
        facedb: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """See FaceSearch.delface."""
        await self._do(calls.delface(person_id, facedb), idempotency_key or new_idempotency_key())

    async def facecompare(
        self,
        image1: Image,
        image2: Image,
        *,
        details: bool = False,
        shrink: bool = False,
        idempotency_key: str | None = None,
    ) -> Comparison:
        """See FaceSearch.facecompare."""
        call = await asyncio.to_thread(calls.facecompare, image1, image2, details=details, shrink=shrink)
        return await self._do(call, idempotency_key)

    async def listpersons(
        self,
        *,
        facedb: str | None = None,
        name: str | None = None,
        external_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> PersonPage:
        """See FaceSearch.listpersons."""
        return await self._do(calls.listpersons(facedb, name, external_id, limit, after), None)

    async def persons(
        self, *, facedb: str | None = None, name: str | None = None, external_id: str | None = None
    ) -> AsyncIterator[Person]:
        """See FaceSearch.persons."""
        after = None
        while True:
            page = await self.listpersons(facedb=facedb, name=name, external_id=external_id, after=after)
            for person in page.persons:
                yield person
            after = page.next
            if after is None:
                return

    async def getperson(self, person_id: str | uuid.UUID, *, facedb: str | None = None) -> PersonWithFaces:
        """See FaceSearch.getperson."""
        return await self._do(calls.getperson(person_id, facedb), None)

    async def updateperson(
        self,
        person_id: str | uuid.UUID,
        *,
        facedb: str | None = None,
        name: str | None = None,
        external_id: str | None = None,
        metadata: Metadata | Literal[""] | None = None,
        idempotency_key: str | None = None,
    ) -> Person:
        """See FaceSearch.updateperson."""
        call = calls.updateperson(person_id, facedb, name, external_id, metadata)
        return await self._do(call, idempotency_key or new_idempotency_key())

    async def deleteperson(
        self, person_id: str | uuid.UUID, *, facedb: str | None = None, idempotency_key: str | None = None
    ) -> None:
        """See FaceSearch.deleteperson."""
        await self._do(calls.deleteperson(person_id, facedb), idempotency_key or new_idempotency_key())

    async def deleteface(
        self,
        person_id: str | uuid.UUID,
        face_id: str | uuid.UUID,
        *,
        facedb: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """See FaceSearch.deleteface."""
        await self._do(calls.deleteface(person_id, face_id, facedb), idempotency_key or new_idempotency_key())

    async def listfacedbs(self) -> list[CountedFacedb]:
        """See FaceSearch.listfacedbs."""
        return await self._do(calls.listfacedbs(), None)

    @overload
    async def submit(
        self, call: Literal["addface"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> AsyncJob[list[AddedFace]]: ...

    @overload
    async def submit(
        self,
        call: Literal["searchface"],
        *arguments: Any,
        faces: Literal["all"],
        webhook_url: str | None = None,
        **parameters: Any,
    ) -> AsyncJob[list[SearchedFace]]: ...

    @overload
    async def submit(
        self, call: Literal["searchface"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> AsyncJob[list[FoundFace]]: ...

    @overload
    async def submit(
        self, call: Literal["delface"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> AsyncJob[None]: ...

    @overload
    async def submit(
        self, call: Literal["facecompare"], *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> AsyncJob[Comparison]: ...

    async def submit(
        self, call: Submittable, *arguments: Any, webhook_url: str | None = None, **parameters: Any
    ) -> AsyncJob[Any]:
        """See FaceSearch.submit."""
        preparing = _Preparing()
        await getattr(preparing, call)(*arguments, **parameters)
        prepared, key = preparing.prepared
        sent = prepared.not_waited_for(webhook_url)
        made = await self._repeated(sent, key or new_idempotency_key(), submitted)
        if isinstance(made, httpx.Response):
            return AsyncJob(None, self, prepared.result, made)
        return AsyncJob(made, self, prepared.result)

    def job(self, call: Submittable, job_id: str, *, every_face: bool = False) -> AsyncJob[Any]:
        """See FaceSearch.job."""
        return AsyncJob(job_id, self, reader(call, every_face=every_face))

    async def _outcome(self, job_id: str, pauses: Pauses) -> httpx.Response:
        """Return the answer that has the outcome of a job. Raises TimeoutError."""
        call = calls.getjob(job_id)
        while True:
            answer = await self._repeated(call, None, ended)
            if answer is not None:
                return answer
            await asyncio.sleep(pauses.next_s())

    async def _do(self, call: Call[T], idempotency_key: str | None) -> T:
        return await self._repeated(call, idempotency_key, lambda response: result_of(response, call.result))

    async def _repeated(
        self, call: Call[object], idempotency_key: str | None, read: Callable[[httpx.Response], T]
    ) -> T:
        """Return what `read` makes of the answer, after as many attempts as it takes."""
        attempts = Attempts(self._retries, call.name, idempotency_key)
        while True:
            try:
                return read(await self._send(call, idempotency_key))
            except Unavailable as error:
                pause_s = attempts.pause_s(error)
            await asyncio.sleep(pause_s)

    async def _send(self, call: Call[object], idempotency_key: str | None) -> httpx.Response:
        try:
            request = self._account.request(self._http, call, idempotency_key)
            return await self._http.send(request, follow_redirects=False)
        except httpx.RequestError as error:
            failed = no_answer(error)
        raise failed


class _Preparing(AsyncFaceSearch):
    """Keeps the call that is asked for, with its Idempotency-Key, in place of making it. It needs no service."""

    prepared: tuple[Call[Any], str | None]

    def __init__(self) -> None:
        pass

    async def _do(self, call: Call[T], idempotency_key: str | None) -> T:
        self.prepared = call, idempotency_key
        return cast("T", None)
