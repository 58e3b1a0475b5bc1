"""How often wrong admin keys are answered, and which addresses are reported."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.wrong_keys import ADDRESSES, BURST, LISTED, OTHERS, WrongKeys, network


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_after_a_burst_ten_attempts_a_minute_are_answered() -> None:
    clock = Clock()
    wrong = WrongKeys(clock)
    assert [wrong.record("192.0.2.1") for _ in range(BURST)] == [None] * BURST
    assert wrong.record("192.0.2.1") == 6
    clock.now += 5.5
    assert wrong.record("192.0.2.1") == 1
    clock.now += 0.6
    assert wrong.record("192.0.2.1") is None
    assert wrong.record("192.0.2.1") == 6
    answered = 0
    for _ in range(600):
        clock.now += 0.1
        answered += wrong.record("192.0.2.1") is None
    assert 9 <= answered <= 10


def test_each_address_has_its_own_limit() -> None:
    wrong = WrongKeys(Clock())
    for _ in range(2 * BURST):
        wrong.record("192.0.2.1")
    assert wrong.record("192.0.2.2") is None


def test_an_ipv6_network_is_one_address_and_so_is_an_ipv4_mapped_one() -> None:
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::1") != network("2001:db8:1:2::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("") == "unknown"


@given(st.lists(st.integers(0, 2**32 - 1), max_size=3 * ADDRESSES))
def test_memory_and_reports_are_bounded_and_every_attempt_is_counted(callers: list[int]) -> None:
    wrong = WrongKeys(Clock())
    for caller in callers:
        wrong.record(f"10.{caller >> 16 & 255}.{caller >> 8 & 255}.{caller & 255}")
    assert len(wrong._addresses) <= ADDRESSES
    listed = wrong.take_counts()
    assert len(listed) <= LISTED + 1
    assert sum(listed.values()) == len(callers)
    assert wrong.take_counts() == {}


def test_attempts_of_forgotten_addresses_are_counted() -> None:
    wrong = WrongKeys(Clock())
    for number in range(2 * ADDRESSES):
        wrong.record(f"10.0.{number >> 8}.{number & 255}")
    assert len(wrong._addresses) == ADDRESSES
    assert sum(wrong.take_counts().values()) == 2 * ADDRESSES


def test_addresses_with_the_most_attempts_are_reported() -> None:
    wrong = WrongKeys(Clock())
    tried = Counter({f"192.0.2.{number}": number for number in range(1, 10)})
    for address in tried.elements():
        wrong.record(address)
    assert wrong.take_counts() == dict(tried.most_common(LISTED)) | {OTHERS: 1 + 2 + 3 + 4}
