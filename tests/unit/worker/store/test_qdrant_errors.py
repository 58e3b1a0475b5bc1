"""What a Qdrant server answers, as the callers see it."""

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
def test_a_status_code_becomes_the_error_it_amounts_to(code: int, kind: type[StoreError]) -> None:
    error = refusal(code, body("Wrong input: expected dim: 128, got 3"))
    assert type(error) is kind
    assert str(error) == f"Qdrant answers {code}: Wrong input: expected dim: 128, got 3"


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_says_which_setting_to_mend(code: int) -> None:
    error = refusal(code, b"Invalid API key or JWT")
    assert type(error) is StoreError
    assert str(error).startswith(f"Qdrant answers {code}: the API key is refused; set QDRANT_API_KEY")


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


def test_when_to_come_again_is_remembered() -> None:
    def call() -> None:
        raise ResourceExhaustedResponse("slow down", 3)

    with pytest.raises(Busy) as seen:
        answer(call)
    assert seen.value.retry_after_s == 3


def test_the_raw_answer_does_not_come_along() -> None:
    def call() -> None:
        raise UnexpectedResponse(400, "Bad Request", body('"AdaLovelace"'), httpx.Headers())

    with pytest.raises(StoreError) as seen:
        answer(call)
    assert seen.value.__cause__ is None
    assert seen.value.__suppress_context__


class Failed(grpc.RpcError, grpc.Call):
    """As gRPC raises it. The parts of a call that nobody reads are left out."""

    __abstractmethods__ = frozenset()

    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


def over_grpc(code: grpc.StatusCode, details: str | None = "Wrong input: expected dim: 128, got 3") -> StoreError:
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
def test_so_does_a_code_of_grpc(code: grpc.StatusCode, kind: type[StoreError]) -> None:
    error = over_grpc(code)
    assert type(error) is kind
    assert str(error) == f"Qdrant answers {code.name}: Wrong input: expected dim: 128, got 3"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_no_answer_over_grpc_is_unavailable_and_tells_no_address(code: grpc.StatusCode) -> None:
    error = over_grpc(code, "failed to connect to all addresses; ipv4:192.0.2.1:6334")
    assert type(error) is StoreUnavailable
    assert str(error) == f"Qdrant does not answer: {code.name}"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_a_refused_key_is_told_over_grpc_too(code: grpc.StatusCode) -> None:
    error = over_grpc(code)
    assert type(error) is StoreError
    assert "QDRANT_API_KEY" in str(error)


def test_what_the_server_quotes_over_grpc_is_cut() -> None:
    error = over_grpc(grpc.StatusCode.INVALID_ARGUMENT, 'cannot read "AdaLovelace" near [0.1, 0.2]')
    assert str(error) == "Qdrant answers INVALID_ARGUMENT: cannot read ... near ..."


def test_no_reason_over_grpc() -> None:
    assert str(over_grpc(grpc.StatusCode.INTERNAL, None)) == "Qdrant answers INTERNAL: no reason given"


def test_an_error_of_grpc_that_is_no_call() -> None:
    def call() -> None:
        raise grpc.RpcError

    with pytest.raises(StoreUnavailable, match="UNKNOWN"):
        answer(call)
