"""The part of the OpenAPI document about asynchronous calls: header, response 202, and the path of jobs."""

from collections.abc import Sequence
from typing import Final

from gateway.calls.job_lookup import UNKNOWN_JOB
from gateway.calls.preferences import RESPOND_ASYNC
from gateway.http.headers import JOB_ID as JOB_ID_HEADER
from gateway.http.headers import PREFER, PREFERENCE_APPLIED, WEBHOOK_URL
from gateway.openapi.answers import envelope, example, of, ok
from gateway.openapi.requests import Json
from shared.calls import GET_JOB, Call, Tag
from shared.contract import Status
from shared.jobs import JOB_ID

JOBS: Final = Tag("Jobs", "What became of requests that were not waited for.")

ACCEPTED: Final = "Accepted"
"""The name of the response 202."""

LOCATION: Final = "Location"

PREFERENCE: Final[Json] = {
    "name": PREFER,
    "in": "header",
    "description": f"`{RESPOND_ASYNC}`: do not wait for the outcome. A request that is not refused is answered with "
    "202 and the id of its job, and done within 15 minutes. Other preferences are ignored.",
    "schema": {"type": "string"},
}

WEBHOOK: Final[Json] = {
    "name": WEBHOOK_URL,
    "in": "header",
    "description": f"With `{PREFER}: {RESPOND_ASYNC}`: an https URL of a host that the operator allows. The outcome is "
    "sent there with the `job_id` and the header `X-Facesearch-Signature: t=<Unix time>,v1=<HMAC-SHA256 of "
    '"<time>.<body>">`, and again for a day until the answer is 2xx. Other URLs are INVALID_REQUEST, as all are where '
    "the operator allows no host.",
    "schema": {"type": "string"},
}

HEADERS: Final = {
    LOCATION: ("Where the job is found.", {"type": "string"}),
    PREFERENCE_APPLIED: ("What was preferred and is done.", {"const": RESPOND_ASYNC}),
}
"""Headers of the response 202 to a call."""

OUTCOME_HEADERS: Final = {JOB_ID_HEADER: ("The id of the job: this is its outcome.", {"type": "string"})}

_EXAMPLE: Final = "3f9c0a52b7de.4b1f2f0c9a6e4c8d8f3b7a5e2d1c0b9a"

_WAITING: Final = (
    "The request became a job, which has no outcome yet. Where HTTP codes are always 200, so is this one, and `job_id` "
    "tells it from an outcome."
)


def accepted() -> tuple[str, Json]:
    """Return the description and the content of the response 202 to a call."""
    return _WAITING, _content({})


def schemas() -> Json:
    """Return the schemas of the messages about jobs by name."""
    job_id: Json = {"type": "string", "pattern": f"^{JOB_ID}$"}
    known = {"type": "object", "properties": {"job_id": job_id}, "required": ["job_id"]}
    waiting = {**known, "properties": {"job_id": job_id, "state": {"const": "waiting"}}}
    return {
        "Job": envelope(Status.OK, {**known, "additionalProperties": False}),
        "WaitingJob": envelope(Status.OK, {**waiting, "required": ["job_id", "state"], "additionalProperties": False}),
    }


def path(calls: Sequence[Call], refusals: Json, headers: Json) -> Json:
    """Return the path of jobs. refusals: the responses of other codes. headers: of its own responses."""
    asynchronous = [call for call in calls if call.may_be_asynchronous]
    outcomes = [*map(ok, asynchronous), *(of(status) for status in Status if status is not Status.OK)]
    done = {"OK": example(Status.OK, asynchronous[0].result_example)}
    unknown = {"INVALID_REQUEST": example(Status.INVALID_REQUEST, UNKNOWN_JOB)}
    parameter = {
        "name": "job_id",
        "in": "path",
        "required": True,
        "description": "the id of the job",
        "schema": {"type": "string", "examples": [_EXAMPLE]},
    }
    return {
        GET_JOB.path: {
            "get": {
                "operationId": GET_JOB.name,
                "tags": [JOBS.name],
                "summary": "Look up what became of a request",
                "description": f"Needs the scope of the call that became the job, which a call with `{PREFER}: "
                f"{RESPOND_ASYNC}` does. An outcome is kept for an hour. A job that is not done within 15 minutes ends "
                "as FAIL. Free of charge.",
                "parameters": [parameter],
                "responses": {
                    "200": {
                        "description": "The outcome, as the call would have been answered. One of FAIL, with 503, has "
                        f"the header {JOB_ID_HEADER}, too.",
                        "headers": headers | {JOB_ID_HEADER: {"$ref": f"#/components/headers/{JOB_ID_HEADER}"}},
                        "content": {"application/json": {"schema": {"anyOf": outcomes}, "examples": done}},
                    },
                    "202": {"description": _WAITING, "headers": headers, "content": _content({"state": "waiting"})},
                    "404": {
                        "description": "The tenant has no such job, or it ended more than an hour ago.",
                        "headers": headers,
                        "content": {"application/json": {"schema": of(Status.INVALID_REQUEST), "examples": unknown}},
                    },
                    **refusals,
                },
            }
        }
    }


def _content(more: Json) -> Json:
    schema = {"$ref": f"#/components/schemas/{'WaitingJob' if more else 'Job'}"}
    return {
        "application/json": {"schema": schema, "examples": {"OK": example(Status.OK, {"job_id": _EXAMPLE, **more})}}
    }
