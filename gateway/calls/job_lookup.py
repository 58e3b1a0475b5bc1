"""`GET /v1/jobs/{job_id}`: what became of an asynchronous job. It is free of charge."""

from contextlib import AsyncExitStack
from typing import Final

from aiohttp import web

from gateway.access.authentication import require
from gateway.app_keys import ADMISSION, ASYNCHRONOUS, SETTINGS
from gateway.calls.admitting import admit
from gateway.calls.preferences import RESPOND_ASYNC, outcome_response
from gateway.dispatch.deadline import within
from gateway.http.answers import UNMETERED, answer, of_job
from gateway.http.headers import JOB_ID, PREFERENCE_APPLIED
from gateway.http.routing import call_named
from shared.calls import GET_JOB
from shared.contract import Status

UNKNOWN_JOB: Final = "job_id: there is no such job, or it ended more than an hour ago"

POLL_S: Final = 1
"""Retry-After of a job that has no outcome yet."""


def route() -> web.RouteDef:
    """Return the route of the look-up."""
    return web.get(GET_JOB.path, get_job, name=GET_JOB.name, allow_head=False)


def accepted(job_id: str) -> web.Response:
    """Return the response to a request that became that job. What is metered is the outcome."""
    headers = {"Location": GET_JOB.path.format(job_id=job_id), PREFERENCE_APPLIED: RESPOND_ASYNC}
    response = of_job(job_id, {}, headers)
    response[UNMETERED] = True
    return response


async def get_job(request: web.Request) -> web.Response:
    """Answer with the outcome as the call would have been answered, or with 202 while there is none. A job of another
    tenant is unknown; another key of the tenant needs the scope of the job's call.
    """
    app, job_id = request.app, request.match_info["job_id"]
    async with AsyncExitStack() as held:
        held.enter_context(app[ADMISSION].place())
        async with within(app[SETTINGS].deadline_s):
            key = await admit(request, held, None, in_time=False)
            found = await app[ASYNCHRONOUS].find(key.tenant_id, job_id)
            call = None if found is None else call_named(app, found.call)
            if found is None or call is None:
                return answer(Status.INVALID_REQUEST, UNKNOWN_JOB, 404)
            require(call.scope, key)
            if found.outcome is None:
                return of_job(job_id, {"state": "waiting"}, {"Retry-After": str(POLL_S)})
            response = outcome_response(found.outcome, key, app[SETTINGS])
            response.headers[JOB_ID] = job_id
            return response
