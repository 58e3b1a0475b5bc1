"""Errors of a Qdrant server become errors of the store."""

import json

import grpc
import httpx
import pytest
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from worker.store.base import StoreError, StoreUnavailable
from worker.store.qdrant.errors import Busy, Missing, answer, refusal


def body(reason: str) -> bytes:
    return json.dumps({"status": {"error": reason}, "time": 0.1}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, StoreError),
        (404, Missing),
        (408, StoreUnavailable),
        (409, StoreError),
        (422, StoreError),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
def test_each_http_status_code_becomes_its_error(code: int, kind: type[StoreError]) -> None:
    error = refusal(code, body("Wrong input: expected dim: 128, got 3"))
    assert type(error) is kind
    assert str(error) == f"Qdrant answers {code}: Wrong input: expected dim: 128, got 3"


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_names_its_setting(code: int) -> None:
    error = refusal(code, b"Invalid API key or JWT")
    assert type(error) is StoreError
    assert str(error).startswith(f"Qdrant answers {code}: the API key is refused; set QDRANT_API_KEY")


def test_values_that_the_server_quotes_are_removed() -> None:
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
def test_without_an_answer_the_store_is_unavailable(raised: Exception) -> None:
    def call() -> None:
        raise raised

    with pytest.raises(StoreUnavailable):
        answer(call)


def test_a_busy_server_says_when_to_retry() -> None:
    def call() -> None:
        raise ResourceExhaustedResponse("slow down", 3)

    with pytest.raises(Busy) as seen:
        answer(call)
    assert seen.value.retry_after_s == 3


def test_the_raw_answer_is_not_in_the_traceback() -> None:
    def call() -> None:
        raise UnexpectedResponse(400, "Bad Request", body('"AdaLovelace"'), httpx.Headers())

    with pytest.raises(StoreError) as seen:
        answer(call)
    assert seen.value.__cause__ is None
    assert seen.value.__suppress_context__


class Failed(grpc.RpcError, grpc.Call):
    """An error as gRPC raises it, without the parts of a call that are not read."""

    __abstractmethods__ = frozenset()

    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


def grpc_error(code: grpc.StatusCode, details: str | None = "Wrong input: expected dim: 128, got 3") -> StoreError:
    def call() -> None:
        raise Failed(code, details)

    with pytest.raises(StoreError) as seen:
        answer(call)
    assert seen.value.__cause__ is None
    assert seen.value.__suppress_context__
    return seen.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, StoreError),
        (grpc.StatusCode.NOT_FOUND, Missing),
        (grpc.StatusCode.ALREADY_EXISTS, StoreError),
        (grpc.StatusCode.FAILED_PRECONDITION, StoreError),
        (grpc.StatusCode.UNIMPLEMENTED, StoreError),
        (grpc.StatusCode.INTERNAL, StoreUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, StoreUnavailable),
        (grpc.StatusCode.ABORTED, StoreUnavailable),
        (grpc.StatusCode.DATA_LOSS, StoreUnavailable),
        (grpc.StatusCode.UNKNOWN, StoreUnavailable),
    ],
)
def test_each_grpc_status_code_becomes_its_error(code: grpc.StatusCode, kind: type[StoreError]) -> None:
    error = grpc_error(code)
    assert type(error) is kind
    assert str(error) == f"Qdrant answers {code.name}: Wrong input: expected dim: 128, got 3"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_without_an_answer_over_grpc_the_store_is_unavailable_and_no_address_shown(code: grpc.StatusCode) -> None:
    error = grpc_error(code, "failed to connect to all addresses; ipv4:192.0.2.1:6334")
    assert type(error) is StoreUnavailable
    assert str(error) == f"Qdrant does not answer: {code.name}"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_a_refused_key_over_grpc_names_its_setting(code: grpc.StatusCode) -> None:
    error = grpc_error(code)
    assert type(error) is StoreError
    assert "QDRANT_API_KEY" in str(error)


def test_values_that_the_server_quotes_over_grpc_are_removed() -> None:
    error = grpc_error(grpc.StatusCode.INVALID_ARGUMENT, 'cannot read "AdaLovelace" near [0.1, 0.2]')
    assert str(error) == "Qdrant answers INVALID_ARGUMENT: cannot read ... near ..."


def test_an_error_over_grpc_without_details_has_no_reason() -> None:
    assert str(grpc_error(grpc.StatusCode.INTERNAL, None)) == "Qdrant answers INTERNAL: no reason given"


def test_an_error_of_grpc_without_a_status_is_unavailable() -> None:
    def call() -> None:
        raise grpc.RpcError

    with pytest.raises(StoreUnavailable, match="UNKNOWN"):
        answer(call)
