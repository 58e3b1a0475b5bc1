"""Paths and handlers. A handler translates between HTTP and the contract and calls one function; it decides nothing."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import wraps
from typing import Final

from aiohttp import web

from gateway.access.authentication import require
from gateway.app_keys import ADMISSION, AUTH, BODY_MEMORY, IDEMPOTENCY, JOBS, LIMITS, METRICS, SETTINGS
from gateway.body import encoded_images, uploads
from gateway.body.memory import BODY_RESERVATION
from gateway.body.reading import defer_continue
from gateway.calls import parameters
from gateway.calls.metering import CALLER
from gateway.calls.parameters import (
    DelFaceParameters,
    FaceCompareParameters,
    M,
    SearchFaceParameters,
    add_face_parameters,
)
from gateway.calls.preferences import KNOWN, written
from gateway.dispatch.deadline import Deadline, within
from gateway.dispatch.idempotency import checked
from gateway.dispatch.jobs import JobRequest
from gateway.http.answers import answer, replayed
from gateway.http.headers import API_KEY, QUALITY
from gateway.http.middleware import IDENTIFIER
from shared.contract import Call, Faces, Flaw, Status
from shared.control import Caller, Scope
from shared.idempotency import HEADER as IDEMPOTENCY_KEY
from shared.jobs import AddJob, CompareJob, DeleteJob, Once, Outcome, SearchJob

DEADLINE: Final = web.RequestKey("deadline", Deadline)

routes = web.RouteTableDef()

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def _call(call: Call, scope: Scope) -> Callable[[Callable[[web.Request, Caller], Awaitable[JobRequest]]], _Handler]:
    """The route of a call, named after it, and what is the same for all. What they begin with, in the contract's order:
    a place in this gateway, a key with the scope, a share of the places for its tenant, the key's limits, all of it
    held until the outcome is known. Then the handler says what the request wants, and it is done, once under its
    Idempotency-Key if it has one. All of it has one deadline.
    """

    def decorate(handler: Callable[[web.Request, Caller], Awaitable[JobRequest]]) -> _Handler:
        @wraps(handler)
        async def handle(request: web.Request) -> web.Response:
            async with AsyncExitStack() as held:
                held.enter_context(request.app[ADMISSION].place())
                async with within(request.app[SETTINGS].deadline_s) as request[DEADLINE]:
                    with request.app[METRICS].stages.time("limits"):
                        key = request[KNOWN] = await request.app[AUTH].key(request.headers.get(API_KEY))
                        require(scope, key)
                        request[CALLER] = key
                        held.enter_context(request.app[ADMISSION].share(key.tenant_id))
                        await held.enter_async_context(request.app[LIMITS].hold(key))
                    request[BODY_RESERVATION] = held.enter_context(request.app[BODY_MEMORY].request(key))
                    identifier = checked(request.headers.getall(IDEMPOTENCY_KEY, []))
                    return await _done(request, key, await handler(request, key), identifier)

        routes.post(f"/v1/{call}", name=call, expect_handler=defer_continue)(handle)
        return handle

    return decorate


async def _done(request: web.Request, key: Caller, wanted: JobRequest, identifier: str | None) -> web.Response:
    """Do it and answer; under an Idempotency-Key, answer as before if that is how it ended before."""
    settings = request.app[SETTINGS]
    once: Once | Outcome | None = None
    if identifier is not None:
        once = await request.app[IDEMPOTENCY].begin(key.tenant_id, identifier, wanted, request[IDENTIFIER])
    if isinstance(once, Outcome):
        outcome, make = once, replayed
    else:
        moment = request[DEADLINE].moment
        outcome = await request.app[JOBS].do(key.tenant_id, request[IDENTIFIER], wanted, moment, once)
        request[DEADLINE].met()
        make = answer
        if once is not None and outcome.status is not Status.FAIL:
            make = answer if await request.app[IDEMPOTENCY].is_first(once) else replayed
    response = make(outcome.status, written(outcome.message, key.confidence or settings.confidence))
    # Only a request that goes beyond the contract is told that there are several faces.
    if outcome.reason is Flaw.SEVERAL or (outcome.reason is not None and settings.quality_header):
        response.headers[QUALITY] = outcome.reason
    return response


async def _given(model: type[M], request: web.Request) -> M:
    with request.app[METRICS].stages.time("upload"), request[DEADLINE].paused():
        given = parameters.check(
            model, await uploads.read(request, *model.images, hold=request[BODY_RESERVATION].resize)
        )
        request[BODY_RESERVATION].resize(given.images_size)
        return given


@_call(Call.ADD_FACE, Scope.ADD)
async def add_face(request: web.Request, key: Caller) -> JobRequest:
    given = await _given(add_face_parameters(request.app[SETTINGS].names), request)
    collection = await request.app[AUTH].collection(key, given.facedb)
    encoded_images.check(given.img, request.app[SETTINGS].max_pixels)
    which = {} if given.faces is Faces.ALL else {"faces": given.faces}
    return JobRequest(AddJob, collection, {"name": given.name, **which}, (given.img,))


@_call(Call.SEARCH_FACE, Scope.SEARCH)
async def search_face(request: web.Request, key: Caller) -> JobRequest:
    given = await _given(SearchFaceParameters, request)
    collection = await request.app[AUTH].collection(key, given.facedb)
    encoded_images.check(given.img, request.app[SETTINGS].max_pixels)
    return JobRequest(SearchJob, collection, encoded=(given.img,))


@_call(Call.DELETE_FACE, Scope.DELETE)
async def delete_face(request: web.Request, key: Caller) -> JobRequest:
    given = await _given(DelFaceParameters, request)
    collection = await request.app[AUTH].collection(key, given.facedb)
    return JobRequest(DeleteJob, collection, {"person_id": str(given.as_uuid())})


@_call(Call.COMPARE_FACES, Scope.SEARCH)
async def compare_faces(request: web.Request, _key: Caller) -> JobRequest:
    given = await _given(FaceCompareParameters, request)
    both = (given.img1, given.img2)
    encoded_images.check_all(both, request.app[SETTINGS].max_pixels)
    return JobRequest(CompareJob, encoded=both)
