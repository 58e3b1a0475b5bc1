"""What a Qdrant server answers, as the callers see it."""

import json

import httpx
import pytest
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from shared.errors import OperatorError
from worker.store.base import StoreError, StoreUnavailable
from worker.store.qdrant_calls import Missing, answer, connect, refusal


def body(reason: str) -> bytes:
    return json.dumps({"status": {"error": reason}, "time": 0.1}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, StoreError),
        (401, StoreError),
        (403, StoreError),
        (404, Missing),
        (408, StoreUnavailable),
        (409, StoreError),
        (422, StoreError),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
def test_a_status_code_becomes_the_error_it_amounts_to(code: int, kind: type[StoreError]) -> None:
    error = refusal(code, body("Wrong input: expected dim: 128, got 3"))
    assert type(error) is kind
    assert str(error) == f"Qdrant answers {code}: Wrong input: expected dim: 128, got 3"


def test_what_the_server_quotes_is_cut() -> None:
    error = refusal(400, body('invalid type: string "AdaLovelace", expected a map; got [0.1, 0.2] at line 1'))
    assert str(error) == "Qdrant answers 400: invalid type: string ..., expected a map; got ... at line 1"


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"status": "error"}', b"\xff"])
def test_an_answer_that_is_not_qdrants_has_no_reason(raw: bytes) -> None:
    assert str(refusal(502, raw)) == "Qdrant answers 502: no reason given"


@pytest.mark.parametrize(
    "raised",
    [
        ResponseHandlingException(httpx.ConnectError("refused")),
        ResponseHandlingException(httpx.ReadTimeout("late")),
        ResourceExhaustedResponse("slow down", 3),
    ],
)
def test_no_answer_is_unavailable(raised: Exception) -> None:
    def call() -> None:
        raise raised

    with pytest.raises(StoreUnavailable):
        answer(call)


def test_the_raw_answer_does_not_come_along() -> None:
    def call() -> None:
        raise UnexpectedResponse(400, "Bad Request", body('"AdaLovelace"'), httpx.Headers())

    with pytest.raises(StoreError) as seen:
        answer(call)
    assert seen.value.__cause__ is None
    assert seen.value.__suppress_context__


@pytest.mark.parametrize("url", [None, "", "ftp://qdrant", "http://qdrant:port"])
def test_a_bad_url_is_the_operators(url: str | None) -> None:
    with pytest.raises(OperatorError, match="QDRANT_URL"):
        connect(url, None, timeout=1)
