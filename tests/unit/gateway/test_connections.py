"""Who makes room for one more connection, and who is refused."""

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


def of(most: int, per_address: int | None = None, trusted: Sequence[str] = ()) -> tuple[Connections, Clock]:
    clock = Clock()
    networks = [ipaddress.ip_network(text) for text in trusted]
    return Connections(most, per_address, networks, clock=clock), clock


def enter(connections: Connections, host: str = "192.0.2.1") -> Caller | str:
    """A new connection from there, which waits for its first request, or why there is none."""
    group = connections.group((host, 50_000))
    refusal = connections.make_room(group)
    if refusal is not None:
        return refusal
    caller = Caller()
    connections.add(caller, group)
    connections.set_idle(caller)
    return caller


def let_in(connections: Connections, host: str = "192.0.2.1") -> Caller:
    caller = enter(connections, host)
    assert isinstance(caller, Caller)
    return caller


class TestInAll:
    def test_whoever_has_waited_longest_makes_room(self) -> None:
        connections, clock = of(3, 9)
        first, second, third = (let_in(connections) for _ in range(3))
        connections.set_busy(first)
        clock.now = 5
        connections.set_idle(first)
        clock.now = 10
        let_in(connections)
        assert [first.dropped, second.dropped, third.dropped] == [False, True, False]

    def test_whoever_is_being_answered_is_never_given_up(self) -> None:
        connections, clock = of(2, 9)
        for caller in (let_in(connections), let_in(connections)):
            connections.set_busy(caller)
        clock.now = 1000
        assert enter(connections) == "full"

    def test_whoever_has_just_come_or_was_just_answered_stays(self) -> None:
        connections, clock = of(1, 9)
        caller = let_in(connections)
        clock.now = MIN_IDLE_S - 0.1
        assert enter(connections, "192.0.2.2") == "full"
        connections.set_busy(caller)
        clock.now = 60
        connections.set_idle(caller)
        assert enter(connections, "192.0.2.2") == "full"
        clock.now = 60 + MIN_IDLE_S
        let_in(connections, "192.0.2.2")
        assert caller.dropped

    def test_what_is_gone_makes_room_and_may_be_told_again(self) -> None:
        connections, _ = of(1)
        caller = let_in(connections)
        for _ in range(2):
            connections.remove(caller)
            connections.set_idle(caller)
        assert connections.drop_idle(1) == 0
        let_in(connections)

    def test_as_many_are_given_up_as_are_asked_for(self) -> None:
        connections, clock = of(5, 9)
        callers = [let_in(connections) for _ in range(5)]
        clock.now = 10
        assert connections.drop_idle(3) == 3
        assert [caller.dropped for caller in callers] == [True, True, True, False, False]
        assert connections.drop_idle(3) == 2


class TestOfOneAddress:
    def test_it_has_half_unless_it_is_given_more(self) -> None:
        connections, _ = of(10)
        for _ in range(5):
            let_in(connections)
        assert enter(connections) == "address"
        let_in(connections, "192.0.2.2")

    def test_its_own_make_room_and_nobody_elses(self) -> None:
        connections, clock = of(10, 2)
        other = let_in(connections, "192.0.2.2")
        busy, idle = let_in(connections), let_in(connections)
        connections.set_busy(busy)
        clock.now = 10
        let_in(connections)
        assert [other.dropped, busy.dropped, idle.dropped] == [False, False, True]

    def test_one_network_of_ipv6_is_one_address(self) -> None:
        connections, _ = of(10, 1)
        let_in(connections, "2001:db8::1")
        assert enter(connections, "2001:db8::ffff:1") == "address"
        let_in(connections, "2001:db8:0:1::1")

    def test_ipv4_is_the_same_on_a_socket_of_both(self) -> None:
        connections, _ = of(10, 1)
        let_in(connections, "192.0.2.1")
        assert enter(connections, "::ffff:192.0.2.1") == "address"

    def test_addresses_of_a_link_are_understood(self) -> None:
        connections, _ = of(10, 1)
        let_in(connections, "fe80::1%eth0")

    @pytest.mark.parametrize("proxy", ["10.0.0.7", "::ffff:10.0.0.7", "fd00::7"])
    def test_a_trusted_proxy_is_bound_by_all_alone(self, proxy: str) -> None:
        connections, _ = of(3, 1, ["10.0.0.0/24", "fd00::/8"])
        for _ in range(3):
            let_in(connections, proxy)
        assert enter(connections, proxy) == "full"

    def test_a_unix_socket_has_no_address(self) -> None:
        connections, _ = of(3, 1)
        assert connections.group("") is None
        assert connections.group(b"") is None


class TestHowMany:
    @pytest.mark.parametrize(
        ("descriptors", "most"),
        [(1024, 1024 - RESERVED_DESCRIPTORS), (20_000, 4096), (1_048_576, 4096), (256, 128), (64, 32)],
    )
    def test_the_descriptors_bound_them(self, descriptors: int, most: int) -> None:
        assert connection_limit(descriptors, 4096) == most

    @given(
        st.lists(st.tuples(st.sampled_from(["enter", "work", "wait", "leave", "later"]), st.integers(0, 20))),
        st.integers(1, 6),
        st.integers(1, 6),
    )
    def test_there_are_never_more(self, steps: list[tuple[str, int]], most: int, per_address: int) -> None:
        connections, clock = of(most, per_address)
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


class TestWhatIsSaid:
    def test_one_line_says_that_there_are_many_before_anybody_is_refused(self) -> None:
        connections, clock = of(10, 99)
        with capture_logs() as lines:
            for _ in range(8):
                let_in(connections)
            assert lines == []
            let_in(connections)
            assert [(line["event"], line["log_level"]) for line in lines] == [("connections_many", "warning")]
            let_in(connections)
            for _ in range(100):
                assert enter(connections) == "full"
            assert len(lines) == 1
            clock.now = CONNECTIONS_EVERY_S
            let_in(connections)
        _, line = lines
        assert {name: line[name] for name in ("held", "most", "given_up", "refused", "refused_by_address")} == {
            "held": 9,
            "most": 10,
            "given_up": 1,
            "refused": 100,
            "refused_by_address": 0,
        }

    def test_everything_is_counted(self) -> None:
        registry = CollectorRegistry()
        clock = Clock()
        connections = Connections(2, 1, counts=ConnectionMetrics(registry), clock=clock)
        let_in(connections)
        enter(connections)
        let_in(connections, "192.0.2.2")
        enter(connections, "192.0.2.3")
        clock.now = 10
        let_in(connections, "192.0.2.3")
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
