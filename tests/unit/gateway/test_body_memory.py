"""Memory for bodies: requests never hold more than the total, always leave some for the next, and return what they
held.
"""

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body.memory import BodyMemory, BodyMemoryFull
from gateway.metrics import Metrics
from shared.contract import Status
from shared.control import Key, Scope
from shared.observability.tracing import NoTraces

TOTAL = 1200


def key(name: str, tenant: str) -> Key:
    return Key(id=name, tenant=tenant, name=name, scopes=frozenset(Scope), created=0, rate=None, concurrency=None)


ANN, ANNS_OTHER, BOB = key("ann", "a"), key("anns-other", "a"), key("bob", "b")


def fill(memory: BodyMemory, *keys: Key) -> int:
    """Return how many bytes requests of these keys hold when each takes one more byte in turn until none gets any."""
    before = memory.held
    with ExitStack() as stack:
        requests = [stack.enter_context(memory.request(each)) for each in keys]
        sizes = [0] * len(keys)
        grown = True
        while grown:
            grown = False
            for number, request in enumerate(requests):
                with suppress(BodyMemoryFull):
                    request.resize(sizes[number] + 1)
                    sizes[number] += 1
                    grown = True
        return memory.held - before


@pytest.mark.parametrize(
    ("keys", "share"),
    [
        ([ANN], 1 / 2),
        ([ANN] * 40, 1 / 2),
        ([ANN, BOB], 2 / 3),
        ([ANN, ANNS_OTHER], 2 / 3),
        ([key(f"ann-{n}", "a") for n in range(40)], 2 / 3),
    ],
)
def test_one_caller_never_holds_all(keys: Sequence[Key], share: float) -> None:
    assert fill(BodyMemory(TOTAL), *keys) == share * TOTAL


@pytest.mark.parametrize(
    ("first", "newcomer", "share"), [(ANN, BOB, 1 / 4), (ANN, ANNS_OTHER, 1 / 6), (BOB, ANN, 1 / 4)]
)
def test_a_newcomer_gets_a_share_of_the_rest(first: Key, newcomer: Key, share: float) -> None:
    memory = BodyMemory(TOTAL)
    with memory.request(first) as held:
        held.resize(fill(memory, first))
        assert fill(memory, newcomer) == pytest.approx(share * TOTAL, abs=1)


def test_a_refused_request_keeps_what_it_holds_and_may_grow_once_memory_is_free() -> None:
    memory = BodyMemory(TOTAL)
    with memory.request(ANN) as one, memory.request(ANN) as other:
        one.resize(400)
        other.resize(100)
        with pytest.raises(BodyMemoryFull) as refused:
            other.resize(300)
        assert refused.value.status is Status.FAIL
        assert memory.held == 500
        one.resize(200)  # to shrink is always allowed
        other.resize(300)
        assert memory.held == 500
    assert memory.held == 0


def test_memory_is_returned_after_an_error() -> None:
    memory = BodyMemory(TOTAL)
    for _ in range(10):
        with suppress(ZeroDivisionError), memory.request(ANN) as held:
            held.resize(TOTAL // 2)
            raise ZeroDivisionError
    assert memory.held == 0
    assert fill(memory, ANN) == TOTAL // 2


KEYS = [key(f"{tenant}{number}", tenant) for tenant in "abc" for number in range(3)]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, TOTAL)), max_size=60))
def test_the_held_bytes_are_exact_and_a_newcomer_gets_half_of_the_free_memory(
    sizes: list[tuple[Key, int]],
) -> None:
    memory = BodyMemory(TOTAL)
    with ExitStack() as stack:
        requests = {each: stack.enter_context(memory.request(each)) for each in KEYS}
        held = dict.fromkeys(KEYS, 0)
        for caller, size in sizes:
            with suppress(BodyMemoryFull):
                requests[caller].resize(size)
                held[caller] = size
            assert memory.held == sum(held.values()) < TOTAL
        newcomer = stack.enter_context(memory.request(key("new", "new")))
        newcomer.resize((TOTAL - memory.held) // 2)
    assert memory.held == 0


def test_refusals_are_logged_at_most_once_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    memory = BodyMemory(TOTAL)
    with memory.request(ANN) as held:
        for _ in range(5):
            with pytest.raises(BodyMemoryFull):
                held.resize(TOTAL)
        now[0] += 1
        with pytest.raises(BodyMemoryFull):
            held.resize(TOTAL)
    output = capsys.readouterr().out
    assert re.findall(r"body_memory_full +.*refused.*?=.*?(\d+)", output) == ["1", "5"]
    assert "ann" not in output


def test_metrics_have_the_held_bytes_and_the_total() -> None:
    metrics, memory = Metrics(NoTraces()), BodyMemory(TOTAL)
    metrics.watch_body_memory(lambda: memory.held, memory.total)
    with memory.request(ANN) as held:
        held.resize(300)
        assert metrics.registry.get_sample_value("facesearch_body_memory_bytes") == 300
    assert metrics.registry.get_sample_value("facesearch_body_memory_bytes") == 0
    assert metrics.registry.get_sample_value("facesearch_body_memory_max_bytes") == TOTAL
