"""Messages between a worker and its vision processes."""

import json
import socket
import struct
import threading
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.processes.messages import MAX_DATA_BYTES, MAX_FIELDS_BYTES, Message, MessageError, MessageSocket


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@given(
    st.text(min_size=1), st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats(allow_nan=False)))
)
def test_a_message_arrives_as_it_was_sent(kind, fields):
    fields = {name: value for name, value in fields.items() if name not in {"self", "kind", "data"}}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        MessageSocket(ours).send(kind, b"bytes", **fields)
        assert MessageSocket(theirs).receive() == Message(kind, fields, b"bytes")


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, 3_000_000])
def test_bytes_of_any_length_arrive(ends, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sender = threading.Thread(target=MessageSocket(ends[0]).send, args=("image", data))
    sender.start()
    message = MessageSocket(ends[1]).receive()
    sender.join()
    assert message.data == data


def test_messages_are_received_one_by_one(ends):
    for number in range(3):
        MessageSocket(ends[0]).send("number", number=number)
    receiver = MessageSocket(ends[1])
    assert [receiver.receive().fields["number"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    "begun", [b"", b"\0\0", struct.pack("!II", 20, 0) + b"[", struct.pack("!II", 9, 5) + b'["k", {}]1']
)
def test_a_closed_connection_is_the_end_wherever_it_breaks(ends, begun):
    ends[0].sendall(begun)
    ends[0].close()
    with pytest.raises(EOFError):
        MessageSocket(ends[1]).receive()


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON",
        b"[" * 100_000,
        b'"kind"',
        b'["kind"]',
        b'["kind", []]',
        b"[1, {}]",
        b'["a", {}, 1]',
        b"3",
        b'{"a": 1, "b": 2}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_an_error(ends, text):
    ends[0].sendall(struct.pack("!II", len(text), 0) + text)
    with pytest.raises(MessageError):
        MessageSocket(ends[1]).receive()


@pytest.mark.parametrize("lengths", [(MAX_FIELDS_BYTES + 1, 0), (0, MAX_DATA_BYTES + 1)])
def test_a_length_that_no_message_has_is_an_error_before_any_memory_is_taken(ends, lengths):
    ends[0].sendall(struct.pack("!II", *lengths))
    with pytest.raises(MessageError):
        MessageSocket(ends[1]).receive()


def test_sending_to_a_closed_connection_is_an_error(ends):
    ends[1].close()
    with closing(MessageSocket(ends[0])) as sender, pytest.raises(OSError, match="Broken pipe"):
        sender.send("kind", b"x" * 100)


def test_fields_are_plain_json(ends):
    MessageSocket(ends[0]).send("kind", a=[1, None, True])
    assert json.loads(ends[1].recv(1000)[8:]) == ["kind", {"a": [1, None, True]}]
