"""One envelope for every answer, and one table from errors to HTTP."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.access.admission import GatewayFull
from gateway.body.memory import BodyMemoryFull
from gateway.http.answers import answer, error_answer
from gateway.http.headers import REQUEST_ID
from gateway.http.middleware import errors, request_id
from shared import errors as domain
from shared.contract import MESSAGES, Status


@pytest.mark.parametrize(
    ("error", "http_status"),
    [
        (domain.InvalidRequest("img is missing"), 200),
        (domain.Unauthorized("X-API-Key"), 401),
        (domain.ImageTooLarge(), 200),
        (domain.ImageUnreadable("secret reason"), 200),
        (domain.FaceNotDetected(), 200),
        (domain.NoSimilarFace(), 200),
        (domain.PersonUnknown(), 200),
        (domain.Unavailable("secret reason"), 503),
        (domain.Forbidden("this key may not add"), 403),
        (domain.TooManyRequests("secret reason", 1), 429),
        (GatewayFull("secret reason"), 503),
        (BodyMemoryFull("secret reason"), 503),
    ],
)
def test_each_error_has_its_status_and_its_exact_message(error: domain.ContractError, http_status: int) -> None:
    response = error_answer(error)
    assert response.status == http_status
    assert response.content_type == "application/json"
    message = error.reason if isinstance(error, domain.InvalidRequest) else MESSAGES[error.status]
    assert json.loads(response.text or "") == {"status": error.status.value, "message": message}
    assert "secret" not in (response.text or "")
    assert response.headers.get("Retry-After") == ("1" if http_status in (429, 503) else None)


def test_a_limit_has_its_own_retry_after() -> None:
    assert error_answer(domain.TooManyRequests("", 17)).headers["Retry-After"] == "17"


def test_the_json_is_that_of_the_contract_byte_for_byte() -> None:
    response = answer(Status.OK, [{"name": "ID0", "person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"}])
    assert response.text == (
        '{"status": "OK", "message": [{"name": "ID0", "person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"}]}'
    )


class TestMiddleware:
    @pytest.mark.parametrize(
        ("raised", "http_status", "status"),
        [
            (web.HTTPNotFound(), 404, "INVALID_REQUEST"),
            (web.HTTPMethodNotAllowed("GET", {"POST"}), 405, "INVALID_REQUEST"),
            (web.HTTPRequestEntityTooLarge(1, 2), 413, "INVALID_REQUEST"),
            (domain.Unavailable("broker"), 503, "FAIL"),
            (ZeroDivisionError("password=hunter2"), 503, "FAIL"),
        ],
    )
    async def test_every_exception_becomes_contract_json(
        self, raised: Exception, http_status: int, status: str
    ) -> None:
        async def handler(_request: web.Request) -> web.Response:
            raise raised

        response = await errors(make_mocked_request("POST", "/v1/addface", app=web.Application()), handler)
        assert isinstance(response, web.Response)
        body = json.loads(response.text or "")
        assert (response.status, body["status"]) == (http_status, status)
        assert "hunter2" not in (response.text or "")

    async def test_refusals_by_limits_are_not_logged_as_failures(self, capsys: pytest.CaptureFixture[str]) -> None:
        for raised in (domain.TooManyRequests("", 1), GatewayFull(), BodyMemoryFull(), domain.Unavailable("broker")):

            async def handler(_request: web.Request, error: Exception = raised) -> web.Response:
                raise error

            await errors(make_mocked_request("POST", "/v1/addface", app=web.Application()), handler)
        assert capsys.readouterr().out.count("request_failed") == 1

    async def test_every_answer_has_a_request_id_of_its_own(self) -> None:
        async def handler(_request: web.Request) -> web.Response:
            return answer(Status.OK, "")

        ids = {(await request_id(make_mocked_request("GET", "/"), handler)).headers[REQUEST_ID] for _ in range(3)}
        assert len(ids) == 3
