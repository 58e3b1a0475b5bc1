"""CORS: which web pages may call, the answers to preflight requests, and the headers of every other answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from gateway.http.answers import answer
from gateway.http.cors import MAX_AGE_S, cors
from gateway.http.middleware import errors, request_id
from shared import errors as domain
from shared.calls import ADD_FACE
from shared.contract import Status
from shared.origins import parse

PAGE = "https://shop.example"
ASKED = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
RAISED = {
    "unauthorized": domain.Unauthorized("no key"),
    "rate": domain.TooFast("", 17),
    "away": domain.Unavailable("broker"),
    "crash": ZeroDivisionError(),
}


@asynccontextmanager
async def calls(origins: str) -> AsyncIterator[tuple[TestClient, list[str]]]:
    """Yield a client of an application with one call, and the methods of the requests that were counted."""
    counted: list[str] = []

    async def call(request: web.Request) -> web.Response:
        why = request.headers.get("X-Do")
        if why is not None:
            raise RAISED[why]
        return answer(Status.OK, "")

    @web.middleware
    async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
        counted.append(request.method)
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[request_id, cors(parse(origins)), counting, errors])
    app.router.add_post("/v1/addface", call, name=ADD_FACE.name)
    app.router.add_get("/openapi.json", call)
    for method in ("PATCH", "DELETE"):  # each a route of its own name, as in gateway/calls/handlers.py
        app.router.add_route(method, "/v1/persons/{person_id}", call, name=method)
    async with TestClient(TestServer(app)) as client:
        yield client, counted


def listed(response: ClientResponse, name: str) -> set[str]:
    """Return the values of a header that is a list."""
    return set(response.headers[name].split(", "))


class TestPreflight:
    @pytest.mark.parametrize("origins", [PAGE, f"https://other.example {PAGE}", "*"])
    async def test_a_preflight_is_answered_and_not_counted(self, origins: str) -> None:
        async with calls(origins) as (client, counted):
            response = await client.options("/v1/addface", headers=ASKED)
            assert (response.status, await response.read()) == (204, b"")
            assert response.headers["Access-Control-Allow-Origin"] == ("*" if origins == "*" else PAGE)
            assert listed(response, "Access-Control-Allow-Methods") == {"POST"}
            assert {"X-API-Key", "Content-Type", "Idempotency-Key", "Prefer"} < listed(
                response, "Access-Control-Allow-Headers"
            )
            assert response.headers["Access-Control-Max-Age"] == str(MAX_AGE_S)
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert response.headers.get("Vary") == (None if origins == "*" else "Origin")
            assert response.headers["X-Request-Id"]
            assert counted == []

    async def test_allowed_methods_are_those_of_the_path(self) -> None:
        async with calls(PAGE) as (client, _):
            response = await client.options("/openapi.json", headers=ASKED)
            assert listed(response, "Access-Control-Allow-Methods") == {"GET", "HEAD"}
            response = await client.options("/v1/persons/x", headers=ASKED | {"Access-Control-Request-Method": "PATCH"})
            assert listed(response, "Access-Control-Allow-Methods") == {"PATCH", "DELETE"}

    @pytest.mark.parametrize(
        ("path", "changed", "status"),
        [
            ("/v1/addface", {"Origin": "https://evil.example"}, 405),
            ("/v1/addface", {"Origin": "https://shop.example:8443"}, 405),
            ("/v1/addface", {"Origin": "https://shop.example.evil.example"}, 405),
            ("/v1/addface", {"Origin": "HTTPS://SHOP.EXAMPLE"}, 405),
            ("/v1/addface", {"Origin": "null"}, 405),
            ("/v1/addface", {"Origin": None}, 405),
            ("/v1/addface", {"Access-Control-Request-Method": None}, 405),
            ("/v1/nothing", {}, 404),
        ],
    )
    async def test_other_requests_with_options_are_answered_as_without_cors(
        self, path: str, changed: dict[str, Any], status: int
    ) -> None:
        async with calls(PAGE) as (client, counted):
            headers = {name: value for name, value in (ASKED | changed).items() if value is not None}
            response = await client.options(path, headers=headers)
            assert response.status == status
            assert (await response.json())["status"] == "INVALID_REQUEST"
            assert "Access-Control-Allow-Methods" not in response.headers
            assert ("Access-Control-Allow-Origin" in response.headers) == (headers.get("Origin") == PAGE)
            assert counted == ["OPTIONS"]


class TestAnswers:
    @pytest.mark.parametrize("why", [*RAISED, None])
    @pytest.mark.parametrize("origins", [PAGE, "*"])
    async def test_a_page_of_an_allowed_origin_may_read_every_answer(self, origins: str, why: str | None) -> None:
        async with calls(origins) as (client, _):
            headers = {"Origin": PAGE} | ({} if why is None else {"X-Do": why})
            response = await client.post("/v1/addface", headers=headers)
            assert response.status == {"unauthorized": 401, "rate": 429, "away": 503, "crash": 503, None: 200}[why]
            assert response.headers["Access-Control-Allow-Origin"] == ("*" if origins == "*" else PAGE)
            shown = {"X-Request-Id", "Retry-After", "Idempotent-Replayed", "X-Face-Quality"}
            shown |= {"Location", "Preference-Applied", "X-Job-Id"}
            assert listed(response, "Access-Control-Expose-Headers") == shown
            assert "Access-Control-Allow-Credentials" not in response.headers

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/addface", 405), ("POST", "/v1/none", 404)])
    async def test_a_page_may_read_answers_outside_of_calls(self, method: str, path: str, status: int) -> None:
        async with calls(PAGE) as (client, _):
            response = await client.request(method, path, headers={"Origin": PAGE})
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, PAGE)

    async def test_other_origins_get_no_headers_and_caches_are_told_to_vary(self) -> None:
        async with calls(PAGE) as (client, _):
            for headers in ({}, {"Origin": "https://evil.example"}):
                response = await client.post("/v1/addface", headers=headers)
                assert response.status == 200
                assert response.headers["Vary"] == "Origin"
                assert not [name for name in response.headers if name.startswith("Access-Control")]


class TestOrigins:
    @pytest.mark.parametrize(
        ("text", "origins"),
        [
            ("https://shop.example", {"https://shop.example"}),
            (" https://a.example,http://localhost:3000 ", {"https://a.example", "http://localhost:3000"}),
            ("HTTPS://Shop.Example", {"https://shop.example"}),
            ("https://a:443,http://b:80,https://c:80", {"https://a", "http://b", "https://c:80"}),
            ("http://127.0.0.1:8080 http://[::1]:8080", {"http://127.0.0.1:8080", "http://[::1]:8080"}),
            ("capacitor://localhost", {"capacitor://localhost"}),
            ("*", {"*"}),
        ],
    )
    def test_origins_are_normalised_as_browsers_send_them(self, text: str, origins: set[str]) -> None:
        assert parse(text) == origins

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("shop.example", "entry 1 is no origin; write scheme://host"),
            ("https://a.example/", "entry 1 is no origin"),
            ("https://a.example,https://b.example/app", "entry 2 is no origin"),
            ("https://*.example", "entry 1 is no origin"),
            ("https://user:secret@a.example", "entry 1 is no origin"),
            ("https://a.example:0", "entry 1 is no origin"),
            ("https://a.example:65536", "entry 1 is no origin"),
            ("https://a.example:", "entry 1 is no origin"),
            ("https://[::g]", "entry 1 is no origin"),
            ("https://bücher.example", "entry 1 is no origin"),
            ("null", "entry 1 is no origin"),
            ("*,https://a.example", "it is either *, which is every origin, or a list"),
            (" , ", "there is no origin in it"),
        ],
    )
    def test_an_error_names_the_entry_and_does_not_quote_it(self, text: str, sentence: str) -> None:
        with pytest.raises(ValueError, match=r"^") as error:
            parse(text)
        assert str(error.value).startswith(sentence)
        assert "secret" not in str(error.value)
