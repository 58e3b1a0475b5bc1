"""What the proxy does to connections in each mode."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import pytest

from faults.proxy import Proxy

SHORT_S = 0.3


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that echoes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=echo, args=(connection,)).start()

        threading.Thread(target=serve).start()
        with Proxy(listening.getsockname()) as made:
            yield made
        listening.shutdown(socket.SHUT_RDWR)


def echo(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(1000):
            connection.sendall(data)


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as made:
        yield made


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(SHORT_S)
    try:
        connection.recv(1000)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def test_a_wire_passes_data_and_the_end_of_file(proxy: Proxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        one.sendall(b"one")
        other.sendall(b"other")
        assert one.recv(1000) == b"one"
        assert other.recv(1000) == b"other"
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1000) == b"", "the end arrives as well, and comes back"


def test_data_is_delayed_each_way(proxy: Proxy) -> None:
    with connected(proxy) as one:
        proxy.delays(SHORT_S)
        began = monotonic()
        one.sendall(b"slow")
        assert one.recv(1000) == b"slow"
        assert monotonic() - began >= 2 * SHORT_S


def test_dropped_data_is_lost_and_its_connection_is_cut_afterwards(proxy: Proxy) -> None:
    with connected(proxy) as before:
        proxy.drops()
        with connected(proxy) as during:
            before.sendall(b"lost")
            during.sendall(b"lost")
            assert is_silent(before)
            assert is_silent(during)
            proxy.passes()
            for each in (before, during):
                with suppress(ConnectionResetError):
                    assert each.recv(1000) == b""
    with connected(proxy) as after:
        after.sendall(b"well")
        assert after.recv(1000) == b"well"


def test_held_data_arrives_after_later_data(proxy: Proxy) -> None:
    with connected(proxy) as held:
        proxy.holds()
        held.sendall(b"held")
        assert is_silent(held)
        proxy.passes(late_s=SHORT_S)
        with connected(proxy) as after:
            after.sendall(b"well")
            assert after.recv(1000) == b"well"
            assert is_silent(after)
        assert held.recv(1000) == b"held"


def test_a_half_closed_connection_takes_requests_without_answers(proxy: Proxy) -> None:
    with connected(proxy) as one:
        proxy.half_closes()
        assert one.recv(1000) == b""
        one.sendall(b"taken")
        proxy.passes()
    with connected(proxy) as after:
        after.sendall(b"well")
        assert after.recv(1000) == b"well"


def test_new_connections_are_refused_until_accepted_again(proxy: Proxy) -> None:
    with connected(proxy) as before:
        before.sendall(b"there")
        assert before.recv(1000) == b"there"
        proxy.refuses()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        before.sendall(b"well")
        assert before.recv(1000) == b"well"
        proxy.accepts()
    with connected(proxy) as after:
        after.sendall(b"well")
        assert after.recv(1000) == b"well"


def test_a_cut_ends_connections(proxy: Proxy) -> None:
    with connected(proxy) as one:
        one.sendall(b"well")
        assert one.recv(1000) == b"well"
        proxy.cuts()
        with suppress(ConnectionResetError):
            assert one.recv(1000) == b""
