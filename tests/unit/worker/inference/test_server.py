"""Vision processes and the inference process, over real connections; plain functions take the place of models."""

import socket
import threading

import numpy as np
import pytest

from worker.inference.batches import Batches
from worker.inference.client import InferenceGoneError, RemoteSession
from worker.inference.server import Connections
from worker.inference.wire import InferenceError, Model

LONG_S = 3600


class Means:
    """Gives the mean of each image, fails on white ones, and records how many requests shared each call."""

    def __init__(self):
        self.calls = []
        self.begun, self.may_go = threading.Event(), threading.Event()
        self.may_go.set()

    def __call__(self, requests):
        self.calls.append(len(requests))
        self.begun.set()
        self.may_go.wait(30)
        if any((request == 255).all() for request in requests):
            raise MemoryError("out of memory")
        return [request.mean(axis=(1, 2, 3), dtype=np.float32) for request in requests]


@pytest.fixture
def models():
    """A detector and an embedder whose batches wait for announced callers for as long as it takes."""
    calls = {model: Means() for model in (Model.DETECTOR, Model.EMBEDDER)}
    batches = {model: Batches(call, 8, LONG_S, 1) for model, call in calls.items()}
    yield calls, batches
    for one in batches.values():
        one.close()


@pytest.fixture
def connect(models):
    connections, ours = Connections(models[1]), []

    def make():
        end, theirs = socket.socketpair()
        connections.add(theirs)
        ours.append(end)
        return end

    yield make
    for end in ours:
        end.close()


def images(value, rows=1):
    return np.full((rows, 4, 4, 3), value, np.uint8)


def test_each_model_answers_for_itself(models, connect):
    connection = connect()
    for model in models[0]:
        (output,) = RemoteSession(connection, model).run(images(7, 3)).values()
        assert output.tolist() == [7, 7, 7]
    assert [call.calls for call in models[0].values()] == [[1], [1]]


def test_callers_that_announced_themselves_share_an_inference_that_one_of_them_counts(models, connect):
    counted = []
    connections = [connect() for _ in range(4)]
    sessions = [RemoteSession(connection, Model.DETECTOR, counted.append) for connection in connections]
    for connection, session in zip(connections, sessions, strict=True):
        session.announce()
        # What comes after the announcement on the same connection is answered: the announcement has been read.
        RemoteSession(connection, Model.EMBEDDER).run(images(0))
    outputs = {}

    def run(number):
        outputs[number] = sessions[number].run(images(number))["output"].tolist()

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outputs == {number: [number] for number in range(4)}
    assert models[0][Model.DETECTOR].calls == [4]
    assert counted == [4]


def test_an_error_is_that_of_its_caller_alone(connect):
    good, bad = (RemoteSession(connect(), Model.DETECTOR) for _ in range(2))
    with pytest.raises(InferenceError, match="out of memory"):
        bad.run(images(255))
    assert good.run(images(1))["output"].tolist() == [1]
    assert bad.run(images(2))["output"].tolist() == [2]


def test_a_caller_that_goes_withdraws_its_announcement(connect):
    leaver, stayer = connect(), RemoteSession(connect(), Model.DETECTOR)
    RemoteSession(leaver, Model.DETECTOR).announce()
    leaver.close()
    assert stayer.run(images(3))["output"].tolist() == [3]


def test_a_caller_that_withdraws_is_not_waited_for(connect):
    leaver, stayer = (RemoteSession(connect(), Model.DETECTOR) for _ in range(2))
    leaver.announce()
    leaver.withdraw()
    assert stayer.run(images(3))["output"].tolist() == [3]


def test_a_caller_that_goes_while_its_images_are_run_stops_nobody(models, connect):
    call = models[0][Model.DETECTOR]
    call.may_go.clear()
    leaver, stayer = connect(), RemoteSession(connect(), Model.DETECTOR)

    def run():
        with pytest.raises(InferenceGoneError):
            RemoteSession(leaver, Model.DETECTOR).run(images(1))

    thread = threading.Thread(target=run)
    thread.start()
    assert call.begun.wait(30)
    leaver.shutdown(socket.SHUT_RDWR)
    call.may_go.set()
    assert stayer.run(images(3))["output"].tolist() == [3]
    thread.join(30)


def test_a_connection_that_sends_nonsense_is_closed_and_others_are_not(connect):
    broken, stayer = connect(), RemoteSession(connect(), Model.EMBEDDER)
    broken.sendall(b"\xff" * 8)
    assert broken.recv(1) == b""
    assert stayer.run(images(3))["output"].tolist() == [3]


def test_a_connection_that_asks_for_a_model_that_is_not_there_is_closed_and_others_are_not(connect):
    wrong, stayer = connect(), RemoteSession(connect(), Model.EMBEDDER)
    with pytest.raises(InferenceGoneError):
        RemoteSession(wrong, Model.SECOND_EMBEDDER).run(images(1))
    assert stayer.run(images(3))["output"].tolist() == [3]


def test_a_closed_model_refuses_and_says_so(models, connect):
    models[1][Model.EMBEDDER].close()
    with pytest.raises(InferenceError, match="closed"):
        RemoteSession(connect(), Model.EMBEDDER).run(images(3))
