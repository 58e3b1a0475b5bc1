"""What is sent arrives; what no vision process would send is refused."""

import socket
import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.inference.wire import (
    MAX_ROWS,
    MAX_SIDE,
    MAX_TEXT,
    InferenceError,
    Kind,
    Model,
    Receiver,
    WireError,
    receive_answer,
    send_error,
    send_output,
    send_request,
)


@pytest.fixture
def ends():
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_images_arrive_as_they_were_sent(ends):
    ours, theirs = ends
    receiver = Receiver(theirs)
    for shape in ((1, 4, 6, 3), (3, 640, 480, 3), (2, 1, 1, 3)):
        sending = threading.Thread(target=send_request, args=(ours, Kind.RUN, Model.DETECTOR, noise(*shape)))
        sending.start()
        request = receiver.request()
        sending.join()
        assert (request.kind, request.model) == (Kind.RUN, Model.DETECTOR)
        np.testing.assert_array_equal(request.images, noise(*shape))


@pytest.mark.parametrize("kind", [Kind.ANNOUNCE, Kind.WITHDRAW])
def test_announcements_have_no_images(ends, kind):
    ours, theirs = ends
    send_request(ours, kind, Model.EMBEDDER)
    assert Receiver(theirs).request() == (kind, Model.EMBEDDER, None)


def test_a_closed_connection_ends_the_requests(ends):
    ours, theirs = ends
    ours.sendall(b"\x01\x00\x00")
    ours.close()
    assert Receiver(theirs).request() is None


@pytest.mark.parametrize(
    "head",
    [
        (9, 0, 1, 8, 8),
        (1, 7, 1, 8, 8),
        (1, 0, 0, 8, 8),
        (1, 0, MAX_ROWS + 1, 8, 8),
        (1, 0, 1, MAX_SIDE + 1, 8),
        (1, 0, 1, 8, 0),
    ],
)
def test_numbers_out_of_bounds_are_refused_before_anything_is_read(ends, head):
    ours, theirs = ends
    ours.sendall(struct.pack("!BBHHH", *head))
    with pytest.raises(WireError):
        Receiver(theirs).request()


@given(st.binary(min_size=8, max_size=64))
def test_no_bytes_raise_anything_but_a_wire_error(data):
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(data)
        receiver = Receiver(theirs)
        try:
            while receiver.request() is not None:
                pass
        except WireError:
            pass


@pytest.mark.parametrize("shape", [(0, 4, 4), (MAX_ROWS + 1, 4, 4), (1, MAX_SIDE + 1, 1)])
def test_images_out_of_bounds_are_an_error_of_the_caller(ends, shape):
    with pytest.raises(ValueError, match="at most"):
        send_request(ends[0], Kind.RUN, Model.DETECTOR, np.zeros((*shape, 3), np.uint8))


@pytest.mark.parametrize("shape", [(4,), (2, 128), (1, 15, 0), (3, 15, 7)])
def test_an_output_arrives_with_its_shape_and_the_rows_of_its_inference(ends, shape):
    ours, theirs = ends
    output = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    send_output(theirs, output, 6)
    answer = receive_answer(ours)
    np.testing.assert_array_equal(answer.output, output)
    assert answer.rows == 6


def test_an_error_arrives_in_one_line_of_bounded_length(ends):
    ours, theirs = ends
    send_error(theirs, ValueError("out of\nmemory " + "x" * 1000))
    with pytest.raises(InferenceError, match=r"^out of memory x+$") as caught:
        receive_answer(ours)
    assert len(str(caught.value)) == MAX_TEXT


def test_an_inference_process_that_has_gone_is_an_end_of_file(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(EOFError, match="has gone"):
        receive_answer(ours)
