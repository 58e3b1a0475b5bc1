"""What a caller may choose of its answers: HTTP 200 for every status, and whole confidences."""

import math
import uuid
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.admission import GatewayFull
from gateway.calls.preferences import KNOWN, http_status, prefers_async, written
from gateway.http.answers import STATUS, answer
from gateway.http.middleware import errors
from gateway.http.routing import call_of
from shared import errors as domain
from shared.calls import ADD_FACE
from shared.contract import MIN_CONFIDENCE, SURE_CONFIDENCE, HttpStatus, Status
from shared.control import Key, Scope
from worker.photos import as_number
from worker.search_actions import result_of

confidences = st.floats(0, 100).map(as_number)

RAISED = {
    "unauthorized": (domain.Unauthorized("no key"), 401),
    "forbidden": (domain.Forbidden("this key may not add"), 403),
    "rate": (domain.TooFast("", 17), 429),
    "concurrency": (domain.TooManyRequests("", 1), 429),
    "full": (GatewayFull(), 503),
    "crash": (ZeroDivisionError(), 503),
    "parameter": (domain.InvalidRequest("img is missing"), 200),
}


def key(preferred: HttpStatus | None) -> Key:
    return Key(id="k", tenant="t", name="n", scopes=frozenset(Scope), created=0, http_status=preferred)


async def ask(default: HttpStatus, known: Key | None, why: str) -> tuple[web.Response, int, str, Status | None]:
    """Make an addface that ends as `why` says. Returns the response, its HTTP code, text and status."""
    statuses = []

    async def call(request: web.Request) -> web.Response:
        if known is not None:
            request[KNOWN] = known
        if why in RAISED:
            raise RAISED[why][0]
        return answer(Status.OK, "")

    @web.middleware
    async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        assert call_of(request) is not None
        statuses.append(response.get(STATUS))
        return response

    app = web.Application(middlewares=[http_status(default), counting, errors])
    app.router.add_post("/v1/addface", call, name=ADD_FACE.name)
    async with TestClient(TestServer(app)) as client, client.post("/v1/addface") as response:
        return response, response.status, await response.text(), statuses[0]


@pytest.mark.parametrize(
    ("headers", "prefers"),
    [
        ([], False),
        (["respond-async"], True),
        (["Respond-Async"], True),
        (["wait=10, respond-async"], True),
        (["return=minimal", "respond-async; x"], True),
        (["respond-asynchronously"], False),
        (["wait=respond-async"], False),
        ([""], False),
    ],
)
def test_a_preference_is_read_as_in_rfc_7240(headers: list[str], prefers: bool) -> None:
    assert prefers_async(headers) == prefers


class TestHttpStatus:
    @pytest.mark.parametrize("why", [*RAISED, "ok"])
    @pytest.mark.parametrize(
        ("default", "known", "always_200"),
        [
            ("mapped", None, False),
            ("always-200", None, True),
            ("mapped", key(None), False),
            ("always-200", key(None), True),
            ("mapped", key("always-200"), True),
            ("always-200", key("mapped"), False),
        ],
    )
    async def test_the_key_overrides_the_settings(
        self, default: HttpStatus, known: Key | None, always_200: bool, why: str
    ) -> None:
        response, code, text, counted = await ask(default, known, why)
        mapped, mapped_code, mapped_text, mapped_counted = await ask("mapped", None, why)
        assert mapped_code == (200 if why == "ok" else RAISED[why][1])
        assert code == (200 if always_200 else mapped_code)
        assert (text, counted) == (mapped_text, mapped_counted), "body and counted status are the same"
        assert response.headers.get("Retry-After") == mapped.headers.get("Retry-After")
        assert response.content_type == "application/json"

    async def test_retry_after_is_kept(self) -> None:
        response, code, *_ = await ask("always-200", None, "rate")
        assert (code, response.headers["Retry-After"]) == (200, "17")

    async def test_answers_outside_of_calls_keep_their_http_code(self) -> None:
        async def unready(_request: web.Request) -> web.Response:
            return answer(Status.FAIL, "x")

        app = web.Application(middlewares=[http_status("always-200"), errors])
        app.router.add_post("/v1/addface", unready, name=ADD_FACE.name)
        app.router.add_get("/readyz", unready)
        async with TestClient(TestServer(app)) as client:
            for method, path, code in (
                ("GET", "/v1/addface", 405),
                ("POST", "/v1/addfaces", 404),
                ("GET", "/readyz", 503),
            ):
                async with client.request(method, path) as response:
                    assert response.status == code


class TestWholeConfidences:
    def test_confidences_are_rounded_down(self) -> None:
        person = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
        for confidence, whole in ((94.6, 94), (94.999, 94), (95, 95), (80, 80), (80.001, 80), (99.999, 99), (100, 100)):
            (match,) = written([{"confidence": confidence, "name": "", "person_id": person}], "whole")
            assert match == {"confidence": whole, "name": "", "person_id": person}
            assert list(match) == ["confidence", "name", "person_id"], "the contract's order"
            assert type(match["confidence"]) is int
            compared = written({"similarity": confidence, "result": "NOT SURE"}, "whole")
            assert compared == {"similarity": whole, "result": "NOT SURE"}
            assert list(compared) == ["similarity", "result"]

    @given(st.lists(st.tuples(st.floats(80, 83).map(as_number), st.uuids()), min_size=1, max_size=50))
    def test_equal_whole_confidences_are_ordered_by_person_id(self, found: list[tuple[float, uuid.UUID]]) -> None:
        ranked = sorted(found, key=lambda match: (-match[0], str(match[1])))
        message = [{"confidence": confidence, "name": "n", "person_id": str(who)} for confidence, who in ranked]
        seen = [(-match["confidence"], match["person_id"]) for match in written(message, "whole")]
        assert seen == sorted((-math.floor(confidence), str(who)) for confidence, who in found)

    @given(confidences)
    def test_a_result_agrees_with_the_whole_similarity(self, similarity: float) -> None:
        assert result_of(math.floor(similarity)) == result_of(similarity)
        assert math.floor(similarity) <= similarity
        for border in (MIN_CONFIDENCE, SURE_CONFIDENCE):
            assert (math.floor(similarity) >= border) == (similarity >= border)

    def test_so_are_those_of_every_face_of_a_photo(self) -> None:
        matches = [
            {"confidence": 94.9, "name": "", "person_id": "2"},
            {"confidence": 94.1, "name": "", "person_id": "1"},
        ]
        first, second = written([{"box": [1], "matches": matches}, {"box": [2], "matches": []}], "whole")
        assert [(match["confidence"], match["person_id"]) for match in first["matches"]] == [(94, "1"), (94, "2")]
        assert (first["box"], second) == ([1], {"box": [2], "matches": []})

    def test_other_messages_are_unchanged(self) -> None:
        added = [{"name": "b", "person_id": "2"}, {"name": "a", "person_id": "1"}]
        assert written(added, "whole") is added
        assert written("successfully deleted face", "whole") == "successfully deleted face"
        match = [{"confidence": 94.6, "name": "", "person_id": "1"}]
        assert written(match, "decimals") is match
