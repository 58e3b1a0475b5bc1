"""The routes of the calls, and their one handler, which works by the row of its call in shared/calls.py."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from aiohttp import web

from gateway.app_keys import ADMISSION, ASYNCHRONOUS, AUTH, BODY_MEMORY, IDEMPOTENCY, JOBS, METRICS, SETTINGS
from gateway.body import encoded_images, query, uploads
from gateway.body.memory import BODY_RESERVATION
from gateway.body.reading import defer_continue
from gateway.body.uploads import Parameters
from gateway.calls import parameters
from gateway.calls.admitting import admit
from gateway.calls.job_lookup import accepted
from gateway.calls.logged import FACEDB, GIVEN
from gateway.calls.preferences import Make, outcome_response, prefers_async
from gateway.calls.webhook_header import webhook_of
from gateway.dispatch.asynchronous import Webhook
from gateway.dispatch.deadline import Deadline, within
from gateway.dispatch.idempotency import parse_header
from gateway.dispatch.jobs import JobRequest
from gateway.http.answers import answer, replayed
from gateway.http.headers import PREFER
from gateway.http.middleware import IDENTIFIER
from shared.calls import Call, FieldNames, field_names
from shared.contract import Status
from shared.control import Caller
from shared.idempotency import HEADER as IDEMPOTENCY_KEY
from shared.idempotency import record
from shared.jobs import CountFacedbsJob, FacedbJob, Once, Outcome, SentCalibration

DEADLINE: Final = web.RequestKey("deadline", Deadline)

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def routes(calls: Sequence[Call]) -> list[web.RouteDef]:
    """Return the routes of the calls, named after them."""
    known = field_names(calls)
    return [
        web.route(
            call.method,
            call.path,
            _handler(call, known),
            name=call.name,
            expect_handler=defer_continue,
            # A HEAD would be done like a GET, and not counted.
            **({"allow_head": False} if call.method == "GET" else {}),
        )
        for call in calls
    ]


def _handler(call: Call, known: FieldNames) -> _Handler:
    """Return the handler of a call.

    Before it reads the parameters it takes, in the contract's order: a place in this gateway, a key with the scope, a
    share of the places for the key's tenant, and the key's limits. It holds all of them until the outcome is known. The
    job is done once under an Idempotency-Key, unless it changes nothing. All of it has one deadline.
    """

    async def handle(request: web.Request) -> web.Response:
        app = request.app
        is_asynchronous = call.may_be_asynchronous and prefers_async(request.headers.getall(PREFER, []))
        async with AsyncExitStack() as held:
            held.enter_context(app[ADMISSION].place())
            async with within(app[SETTINGS].deadline_s) as request[DEADLINE]:
                key = await admit(request, held, call.scope, in_time=not is_asynchronous)
                request[BODY_RESERVATION] = held.enter_context(app[BODY_MEMORY].request(key))
                identifier = None
                if not call.is_reading:
                    identifier = parse_header(request.headers.getall(IDEMPOTENCY_KEY, []))
                webhook = await webhook_of(request, key, is_asynchronous)
                job_request = await _job_request(call, known, request, key)
                if is_asynchronous:
                    return await _accept(request, call, key, job_request, identifier, webhook)
                return await _answer(request, key, job_request, identifier)

    return handle


async def _job_request(call: Call, known: FieldNames, request: web.Request, key: Caller) -> JobRequest:
    """Read and check the request: first its parameters, then its face database, then its images."""
    app = request.app
    model = call.parameters_for(app[SETTINGS].names)
    resize = request[BODY_RESERVATION].resize
    with app[METRICS].stages.time("upload"), request[DEADLINE].paused():
        given = request[GIVEN] = parameters.check(model, await _sent(call, known, request))
        resize(sum(map(len, given.encoded)))
    fields: dict[str, Any] = {}
    collection = calibration = None
    if issubclass(call.job, FacedbJob):
        facedb = await app[AUTH].facedb(key, getattr(given, "facedb"))  # noqa: B009 -- not every model has it
        request[FACEDB] = facedb.name
        collection, table = facedb.collection, facedb.table
        if table is not None and given.compares:
            calibration = SentCalibration(identity=table.identity, points=table.points)
    elif issubclass(call.job, CountFacedbsJob):
        fields["facedbs"] = [each.model_dump() for each in await app[AUTH].facedbs(key)]
    encoded_images.check_all(given.encoded, app[SETTINGS].max_pixels)
    return JobRequest(call.job, collection, given.job_fields() | fields, given.encoded, calibration)


async def _sent(call: Call, known: FieldNames, request: web.Request) -> Parameters:
    """Return the parameters as they were sent."""
    if call.has_body:
        hold, removable = request[BODY_RESERVATION].resize, call.parameters.removable
        sent = await uploads.read(request, *call.image_parameters, known=known, removable=removable, hold=hold)
    else:
        sent = query.read_query(request, call.parameters.model_fields.keys())
    query.add_path_parameters(request, call.path_parameters, sent)
    return sent


async def _answer(request: web.Request, key: Caller, job_request: JobRequest, identifier: str | None) -> web.Response:
    """Have the job done and answer; a request under an Idempotency-Key that has an outcome is answered with that."""
    app = request.app
    once = await _once(request, key, job_request, identifier)
    if isinstance(once, Outcome):
        return outcome_response(once, key, app[SETTINGS], replayed)
    moment = request[DEADLINE].unix_time
    outcome = await app[JOBS].do(key.tenant_id, request[IDENTIFIER], job_request, moment, once)
    request[DEADLINE].lift()
    make: Make = answer
    if once is not None and outcome.status is not Status.FAIL:
        make = answer if await app[IDEMPOTENCY].is_first(once) else replayed
    return outcome_response(outcome, key, app[SETTINGS], make)


async def _accept(
    request: web.Request,
    call: Call,
    key: Caller,
    job_request: JobRequest,
    identifier: str | None,
    webhook: Webhook | None,
) -> web.Response:
    """Answer with the id of the job, which nobody waits for. A request under an Idempotency-Key that has an outcome is
    answered with the job that it is of, or with the outcome itself if there is no such job.
    """
    jobs = request.app[ASYNCHRONOUS]
    once = await _once(request, key, job_request, identifier)
    if isinstance(once, Outcome):
        job_id = await jobs.of_record(record(key.tenant_id, str(identifier)))
        return outcome_response(once, key, request.app[SETTINGS], replayed) if job_id is None else accepted(job_id)
    return accepted(await jobs.submit(key, call, request[IDENTIFIER], job_request, once, webhook))


async def _once(
    request: web.Request, key: Caller, job_request: JobRequest, identifier: str | None
) -> Once | Outcome | None:
    """Return what is known of a request under its Idempotency-Key, None if it has none."""
    if identifier is None:
        return None
    return await request.app[IDEMPOTENCY].begin(key.tenant_id, identifier, job_request, request[IDENTIFIER])
