"""Which of several gateway processes should take the next connection."""

from pathlib import Path

from gateway.http.balance import Balance
from gateway.http.connections import Connections


def test_a_process_lets_those_with_fewer_connections_go_first(tmp_path: Path) -> None:
    first, second, third = (Balance(tmp_path / "held", number, 3) for number in (1, 2, 3))
    assert not any(each.others_have_fewer() for each in (first, second, third)), "all may take the first one"
    first.report(2)
    second.report(1)
    third.report(1)
    assert first.others_have_fewer()
    assert not second.others_have_fewer()
    assert not third.others_have_fewer()


def test_a_process_that_starts_again_begins_with_none(tmp_path: Path) -> None:
    first, second = (Balance(tmp_path / "held", number, 2) for number in (1, 2))
    first.report(3)
    second.report(3)
    assert not first.others_have_fewer()
    Balance(tmp_path / "held", 2, 2)
    assert first.others_have_fewer()


class Open:
    def drop(self) -> None:
        raise AssertionError("it is not idle")


def test_connections_are_reported_as_they_come_and_go(tmp_path: Path) -> None:
    own, other = (Balance(tmp_path / "held", number, 2) for number in (1, 2))
    connections, connection = Connections(balance=own), Open()
    connections.add(connection, None)
    assert connections.others_have_fewer()
    other.report(1)
    assert not connections.others_have_fewer()
    connections.remove(connection)
    assert other.others_have_fewer()


def test_a_process_says_whether_it_would_refuse_a_connection_that_others_could_take() -> None:
    connections, connection = Connections(1), Open()
    assert not connections.would_refuse
    connections.add(connection, None)
    assert connections.would_refuse
    connections.set_idle(connection)
    assert not connections.would_refuse, "it may be dropped for a new one"


def test_connections_of_a_process_alone_are_left_to_nobody() -> None:
    connections = Connections()
    connections.add(Open(), None)
    assert not connections.others_have_fewer()
