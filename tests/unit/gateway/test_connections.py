"""Which idle connection is closed for a new one, and when a new one is refused."""

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.http.connections import MIN_IDLE_S, RESERVED_DESCRIPTORS, Connections, connection_limit
from gateway.metrics import ConnectionMetrics
from gateway.throttled_log import CONNECTIONS_EVERY_S


class Caller:
    """A connection that notes when it is dropped."""

    def __init__(self) -> None:
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limited_to(most: int, per_address: int | None = None, trusted: Sequence[str] = ()) -> tuple[Connections, Clock]:
    clock = Clock()
    networks = [ipaddress.ip_network(text) for text in trusted]
    return Connections(most, per_address, networks, clock=clock), clock


def enter(connections: Connections, host: str = "192.0.2.1") -> Caller | str:
    """Open a connection from a host, which waits for its first request. Returns it, or the reason of its refusal."""
    group = connections.group((host, 50_000))
    refusal = connections.make_room(group)
    if refusal is not None:
        return refusal
    caller = Caller()
    connections.add(caller, group)
    connections.set_idle(caller)
    return caller


def admitted(connections: Connections, host: str = "192.0.2.1") -> Caller:
    caller = enter(connections, host)
    assert isinstance(caller, Caller)
    return caller


class TestTotalLimit:
    def test_the_connection_that_is_idle_longest_is_closed_for_a_new_one(self) -> None:
        connections, clock = limited_to(3, 9)
        first, second, third = (admitted(connections) for _ in range(3))
        connections.set_busy(first)
        clock.now = 5
        connections.set_idle(first)
        clock.now = 10
        admitted(connections)
        assert [first.dropped, second.dropped, third.dropped] == [False, True, False]

    def test_a_busy_connection_is_never_closed(self) -> None:
        connections, clock = limited_to(2, 9)
        for caller in (admitted(connections), admitted(connections)):
            connections.set_busy(caller)
        clock.now = 1000
        assert enter(connections) == "full"

    def test_a_connection_that_was_opened_or_answered_just_now_is_not_closed(self) -> None:
        connections, clock = limited_to(1, 9)
        caller = admitted(connections)
        clock.now = MIN_IDLE_S - 0.1
        assert enter(connections, "192.0.2.2") == "full"
        connections.set_busy(caller)
        clock.now = 60
        connections.set_idle(caller)
        assert enter(connections, "192.0.2.2") == "full"
        clock.now = 60 + MIN_IDLE_S
        admitted(connections, "192.0.2.2")
        assert caller.dropped

    def test_a_closed_connection_frees_its_place_and_may_be_reported_twice(self) -> None:
        connections, _ = limited_to(1)
        caller = admitted(connections)
        for _ in range(2):
            connections.remove(caller)
            connections.set_idle(caller)
        assert connections.drop_idle(1) == 0
        admitted(connections)

    def test_only_as_many_idle_connections_are_closed_as_requested(self) -> None:
        connections, clock = limited_to(5, 9)
        callers = [admitted(connections) for _ in range(5)]
        clock.now = 10
        assert connections.drop_idle(3) == 3
        assert [caller.dropped for caller in callers] == [True, True, True, False, False]
        assert connections.drop_idle(3) == 2


class TestLimitPerAddress:
    def test_an_address_has_half_of_all_connections_by_default(self) -> None:
        connections, _ = limited_to(10)
        for _ in range(5):
            admitted(connections)
        assert enter(connections) == "address"
        admitted(connections, "192.0.2.2")

    def test_an_address_at_its_limit_loses_an_idle_connection_of_its_own(self) -> None:
        connections, clock = limited_to(10, 2)
        other = admitted(connections, "192.0.2.2")
        busy, idle = admitted(connections), admitted(connections)
        connections.set_busy(busy)
        clock.now = 10
        admitted(connections)
        assert [other.dropped, busy.dropped, idle.dropped] == [False, False, True]

    def test_a_network_of_ipv6_counts_as_one_address(self) -> None:
        connections, _ = limited_to(10, 1)
        admitted(connections, "2001:db8::1")
        assert enter(connections, "2001:db8::ffff:1") == "address"
        admitted(connections, "2001:db8:0:1::1")

    def test_an_ipv4_mapped_address_counts_as_its_ipv4_address(self) -> None:
        connections, _ = limited_to(10, 1)
        admitted(connections, "192.0.2.1")
        assert enter(connections, "::ffff:192.0.2.1") == "address"

    def test_a_link_local_address_with_a_zone_is_accepted(self) -> None:
        connections, _ = limited_to(10, 1)
        admitted(connections, "fe80::1%eth0")

    @pytest.mark.parametrize("proxy", ["10.0.0.7", "::ffff:10.0.0.7", "fd00::7"])
    def test_a_trusted_proxy_has_only_the_total_limit(self, proxy: str) -> None:
        connections, _ = limited_to(3, 1, ["10.0.0.0/24", "fd00::/8"])
        for _ in range(3):
            admitted(connections, proxy)
        assert enter(connections, proxy) == "full"

    def test_a_unix_socket_has_no_address(self) -> None:
        connections, _ = limited_to(3, 1)
        assert connections.group("") is None
        assert connections.group(b"") is None


class TestLimit:
    @pytest.mark.parametrize(
        ("descriptors", "most"),
        [(1024, 1024 - RESERVED_DESCRIPTORS), (20_000, 4096), (1_048_576, 4096), (256, 128), (64, 32)],
    )
    def test_it_leaves_descriptors_for_everything_else(self, descriptors: int, most: int) -> None:
        assert connection_limit(descriptors, 4096) == most

    @given(
        st.lists(st.tuples(st.sampled_from(["enter", "work", "wait", "leave", "later"]), st.integers(0, 20))),
        st.integers(1, 6),
        st.integers(1, 6),
    )
    def test_neither_limit_is_ever_exceeded(self, steps: list[tuple[str, int]], most: int, per_address: int) -> None:
        connections, clock = limited_to(most, per_address)
        inside: dict[Caller, str] = {}
        for step, number in steps:
            some = list(inside)[number % len(inside)] if inside else None
            match step:
                case "enter":
                    host = f"192.0.2.{number % 3}"
                    entered = enter(connections, host)
                    if isinstance(entered, Caller):
                        inside[entered] = host
                case "later":
                    clock.now += number / 10
                case "work" if some is not None:
                    connections.set_busy(some)
                case "wait" if some is not None:
                    connections.set_idle(some)
                case "leave" if some is not None:
                    connections.remove(some)
                    del inside[some]
            inside = {caller: host for caller, host in inside.items() if not caller.dropped}
            hosts = list(inside.values())
            assert len(hosts) <= most
            assert all(hosts.count(host) <= per_address for host in hosts)


class TestReports:
    def test_one_warning_comes_before_the_first_refusal_and_the_next_counts_refusals(self) -> None:
        connections, clock = limited_to(10, 99)
        with capture_logs() as lines:
            for _ in range(8):
                admitted(connections)
            assert lines == []
            admitted(connections)
            assert [(line["event"], line["log_level"]) for line in lines] == [("connections_many", "warning")]
            admitted(connections)
            for _ in range(100):
                assert enter(connections) == "full"
            assert len(lines) == 1
            clock.now = CONNECTIONS_EVERY_S
            admitted(connections)
        _, line = lines
        assert {name: line[name] for name in ("held", "most", "given_up", "refused", "refused_by_address")} == {
            "held": 9,
            "most": 10,
            "given_up": 1,
            "refused": 100,
            "refused_by_address": 0,
        }

    def test_metrics_count_connections_refusals_and_closed_ones(self) -> None:
        registry = CollectorRegistry()
        clock = Clock()
        connections = Connections(2, 1, counts=ConnectionMetrics(registry), clock=clock)
        admitted(connections)
        enter(connections)
        admitted(connections, "192.0.2.2")
        enter(connections, "192.0.2.3")
        clock.now = 10
        admitted(connections, "192.0.2.3")
        values = {
            "facesearch_connections": 2,
            "facesearch_connections_max": 2,
            'facesearch_connections_refused_total{"address"}': 1,
            'facesearch_connections_refused_total{"full"}': 1,
            'facesearch_connections_dropped_total{"idle"}': 1,
            'facesearch_connections_dropped_total{"slow_reader"}': 0,
        }
        for written, value in values.items():
            name, _, reason = written.removesuffix('"}').partition('{"')
            assert registry.get_sample_value(name, {"reason": reason} if reason else {}) == value
