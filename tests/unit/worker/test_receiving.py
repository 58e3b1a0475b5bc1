"""Bytes of a stream, however they arrive."""

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.receiving import receive_into


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@given(pieces=st.lists(st.binary(max_size=100_000), max_size=5))
def test_a_buffer_is_filled_from_however_many_pieces_and_no_byte_more_is_taken(pieces):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: [theirs.sendall(piece) for piece in [*pieces, b"next"]])
        sender.start()
        buffer = bytearray(sum(map(len, pieces)))
        assert receive_into(ours, buffer)
        assert buffer == b"".join(pieces)
        assert ours.recv(10) == b"next"
        sender.join()


def test_a_part_of_a_buffer_is_filled(ends):
    ours, theirs = ends
    theirs.sendall(b"bc")
    buffer = bytearray(b"a..d")
    assert receive_into(ours, memoryview(buffer)[1:3])
    assert buffer == b"abcd"


def test_a_buffer_of_no_bytes_is_full_whatever_the_other_end_does(ends):
    ours, theirs = ends
    theirs.close()
    assert receive_into(ours, bytearray())


@pytest.mark.parametrize("sent", [b"", b"ab"])
def test_a_stream_that_ends_before_the_buffer_is_full_is_noticed(ends, sent):
    ours, theirs = ends
    theirs.sendall(sent)
    theirs.close()
    assert not receive_into(ours, bytearray(3))


def test_a_connection_that_is_reset_has_ended():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        assert not receive_into(ours, bytearray(3))
