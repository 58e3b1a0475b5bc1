"""When requests are repeated."""

import itertools
import math

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mock_service import Do, answered

from facesearch_client import (
    NO_RETRIES,
    ConnectionFailed,
    FaceSearchError,
    InvalidRequest,
    Overloaded,
    Retries,
    Unavailable,
)

IMAGE = b"\xff\xd8\xff an image"
SECONDS = st.floats(0, 1e6)
PATIENT = {"retries": Retries(for_s=1000)}


class TestPauses:
    @given(SECONDS, SECONDS, SECONDS, st.integers(1, 10_000), st.none() | SECONDS, SECONDS, st.floats(0, 1))
    def test_a_pause_is_within_its_bounds_and_no_attempt_begins_after_the_time(
        self,
        for_s: float,
        first_s: float,
        longest_s: float,
        failures: int,
        retry_after_s: float | None,
        elapsed_s: float,
        share: float,
    ) -> None:
        pause_s = Retries(for_s, first_s, longest_s).pause_s(failures, retry_after_s, elapsed_s, share)
        if pause_s is None:
            return
        assert elapsed_s + pause_s < for_s
        asked_s = retry_after_s or 0.0
        assert asked_s <= pause_s <= asked_s + longest_s

    def test_the_bound_of_the_pauses_doubles_up_to_the_longest(self) -> None:
        retries = Retries(for_s=math.inf, first_s=1, longest_s=5)
        assert [retries.pause_s(failures, None, 0, 1) for failures in (1, 2, 3, 4, 2000)] == [1, 2, 4, 5, 5]
        assert retries.pause_s(3, None, 0, 0.25) == 1
        assert retries.pause_s(3, 10, 0, 0.25) == 11

    @given(st.integers(1, 100), st.none() | SECONDS, SECONDS, st.floats(0, 1))
    def test_without_retries_there_is_no_second_attempt(
        self, failures: int, retry_after_s: float | None, elapsed_s: float, share: float
    ) -> None:
        assert NO_RETRIES.pause_s(failures, retry_after_s, elapsed_s, share) is None

    @pytest.mark.parametrize("times", [{"for_s": -1}, {"first_s": -1}, {"longest_s": -1}, {"for_s": math.nan}])
    def test_times_are_not_negative(self, times: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="times of Retries must be 0 or more seconds"):
            Retries(**times)


class TestCalls:
    @pytest.mark.parametrize(
        ("name", "arguments"),
        [("addface", [IMAGE]), ("searchface", [IMAGE]), ("delface", ["1"])],
    )
    def test_what_may_succeed_later_is_repeated_with_the_same_body_and_key(
        self, do: Do, pauses: list[float], name: str, arguments: list[object]
    ) -> None:
        seen: list[tuple[bytes, str | None]] = []

        def answer(request: httpx.Request) -> httpx.Response:
            boundary = request.headers["Content-Type"].partition("boundary=")[2] or "none"
            body = request.read().replace(boundary.encode(), b"boundary")
            seen.append((body, request.headers.get("Idempotency-Key")))
            match len(seen):
                case 1:
                    raise httpx.RemoteProtocolError("disconnected", request=request)
                case 2:
                    return answered("FAIL", code=503, headers={"Retry-After": "2"})
                case 3:
                    return httpx.Response(502)
            return answered("OK", [])

        do(answer, name, *arguments, options=PATIENT)
        assert len(seen) == 4
        assert len(set(seen)) == 1
        assert len(pauses) == 3
        assert 0 <= pauses[0] <= 0.25
        assert 2 <= pauses[1] <= 2.5
        assert 0 <= pauses[2] <= 1

    def test_what_will_not_succeed_is_not_repeated(self, do: Do) -> None:
        asked = itertools.count()

        def refuse(_: httpx.Request) -> httpx.Response:
            next(asked)
            return answered("INVALID_REQUEST", "facedb does not exist")

        with pytest.raises(InvalidRequest):
            do(refuse, "addface", IMAGE, options=PATIENT)
        assert next(asked) == 1

    def test_a_service_that_asks_for_too_much_time_is_not_waited_for(self, do: Do, pauses: list[float]) -> None:
        busy = answered("FAIL", code=429, headers={"Retry-After": "3600"})
        with pytest.raises(Overloaded) as caught:
            do(lambda _: busy, "searchface", IMAGE, options=PATIENT)
        assert (caught.value.retry_after_s, pauses) == (3600, [])

    def test_the_last_error_has_the_key_under_which_the_call_can_be_repeated(self, do: Do) -> None:
        sent: list[str] = []

        def fail(request: httpx.Request) -> httpx.Response:
            sent.append(request.headers["Idempotency-Key"])
            raise httpx.ReadTimeout("", request=request)

        with pytest.raises(ConnectionFailed) as caught:
            do(fail, "addface", IMAGE)
        assert [caught.value.idempotency_key] == sent

    def test_a_search_without_a_key_has_none_to_repeat_it(self, do: Do) -> None:
        with pytest.raises(Unavailable) as caught:
            do(lambda _: httpx.Response(503), "searchface", IMAGE)
        assert caught.value.idempotency_key is None
        assert isinstance(caught.value, FaceSearchError)
