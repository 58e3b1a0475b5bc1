"""What a vision process answers. The test plays the worker; faces come from a table instead of the models."""

import signal
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from shared.errors import FaceNotDetected, ImageUnreadable
from worker.models.versions import PREPROCESSINGS
from worker.processes.faces import from_fields
from worker.processes.messages import MessageSocket
from worker.processes.vision_process import serve
from worker.vision.geometry import TEMPLATE, Detection
from worker.vision.memory_budget import FREE_BYTES
from worker.vision.quality import Quality
from worker.vision.service import Face

SIZES = (30.0, 60.0)


def face(number, size=60.0, preprocessing=PREPROCESSINGS[3]):
    """Return a face; its vector tells the preprocessing."""
    quality = Quality(size, 0.8, 0, 0, 1, 2)
    vector = np.eye(8, dtype=np.float32)[preprocessing.version]
    return Face(Detection((0.0, 0.0, size, size), TEMPLATE, 0.9, 0.95), vector, quality, number)


class Table:
    """A face service; the image says what happens."""

    def __init__(self, observer, memory):
        self.observer, self.memory = observer, memory

    def embed_most_prominent(self, data, preprocessing):
        if data in ERRORS:
            raise ERRORS[data]
        with self.memory.reserve(FREE_BYTES if data == b"large" else FREE_BYTES - 1), self.observer.stage("decode"):
            pass
        self.observer.found(7)
        self.observer.embedded(1)
        return face(0, preprocessing=preprocessing)

    def embed_all(self, _data, selection, preprocessing):
        numbers = selection.candidates(SIZES)
        selection.before_batch(0.5)
        return [
            face(number, preprocessing=preprocessing)
            for number in numbers
            if selection.accepts(number, face(number).quality, face(number).box)
        ]


ERRORS = {
    b"none": FaceNotDetected(),
    b"cut": ImageUnreadable("JPEG is cut off in a scan"),
    b"huge": MemoryError("Unable to allocate 3 TiB"),
    b"odd": ZeroDivisionError("never"),
}


@pytest.fixture
def worker():
    """The worker's end of a connection to a vision process, which is a thread here."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(MessageSocket(theirs), Table, 1000.0))
    thread.start()
    try:
        yield MessageSocket(ours)
    finally:
        ours.close()
        thread.join()
        theirs.close()
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextmanager
def answered(worker, kind, **fields):
    """Expect a question of that kind; the fields are those of the worker's answer."""
    message = worker.receive()
    assert message.kind == kind
    yield message.fields
    worker.send(fields.pop("say", "go"), **fields)


def test_the_most_prominent_face_and_what_was_observed_are_the_answer(worker):
    before = time.time()
    worker.send("prominent", b"image", preprocessing=3, embedder="")
    answer = worker.receive()
    assert answer.kind == "faces"
    (found,) = from_fields(answer.fields, answer.data)
    assert (found.number, found.quality) == (0, face(0).quality)
    ((name, at, seconds),) = answer.fields["stages"]
    assert (name, answer.fields["found"], answer.fields["embedded"]) == ("decode", [7], [1])
    assert before <= at <= time.time()
    assert 0 <= seconds < 60


def test_observations_are_those_of_one_image(worker):
    for _ in range(2):
        worker.send("prominent", b"image", preprocessing=3, embedder="")
        assert len(worker.receive().fields["stages"]) == 1


@pytest.mark.parametrize(
    ("image", "kind", "fields"),
    [
        (b"none", "refused", {"error": "FaceNotDetected", "reason": ""}),
        (b"cut", "refused", {"error": "ImageUnreadable", "reason": "JPEG is cut off in a scan"}),
        (b"huge", "memory", {"reason": "Unable to allocate 3 TiB"}),
    ],
)
def test_what_is_wrong_with_an_image_is_the_answer(worker, image, kind, fields):
    worker.send("prominent", image, preprocessing=3, embedder="")
    answer = worker.receive()
    assert answer.kind == kind
    assert {name: answer.fields[name] for name in fields} == fields


def test_an_unexpected_error_is_reported_with_its_traceback_and_the_next_image_is_answered(worker):
    worker.send("prominent", b"odd", preprocessing=3, embedder="")
    answer = worker.receive()
    assert answer.kind == "crash"
    assert answer.fields["traceback"].endswith("ZeroDivisionError: never\n")
    worker.send("prominent", b"image", preprocessing=3, embedder="")
    assert worker.receive().kind == "faces"


def test_the_worker_selects_the_faces(worker):
    worker.send("all", b"image", preprocessing=3, embedder="")
    with answered(worker, "candidates", answer=[0, 1]) as asked:
        assert asked == {"sizes": list(SIZES)}
    with answered(worker, "before_batch") as asked:
        assert asked == {"cpu_s": 0.5}
    with answered(worker, "accepts", answer=False) as asked:
        assert asked["number"] == 0
    with answered(worker, "accepts", answer=True) as asked:
        assert asked == {"number": 1, "quality": [60.0, 0.8, 0, 0, 1, 2], "box": list(face(1).box)}
    answer = worker.receive()
    assert [found.number for found in from_fields(answer.fields, answer.data)] == [1]


@pytest.mark.parametrize("version", PREPROCESSINGS)
def test_each_image_has_the_preprocessing_that_the_worker_asks_for(worker, version):
    worker.send("prominent", b"image", preprocessing=version, embedder="")
    answer = worker.receive()
    (found,) = from_fields(answer.fields, answer.data)
    assert found.vector.argmax() == version
    worker.send("all", b"image", preprocessing=version, embedder="")
    for question in ("candidates", "before_batch", "accepts"):
        with answered(worker, question, answer=[0]):
            pass
    answer = worker.receive()
    assert [found.vector.argmax() for found in from_fields(answer.fields, answer.data)] == [version]


def test_a_preprocessing_that_is_not_known_is_reported(worker):
    worker.send("prominent", b"image", preprocessing=1000, embedder="")
    assert worker.receive().kind == "crash"


@pytest.mark.parametrize("at", ["candidates", "before_batch", "accepts"])
def test_the_worker_may_stop_the_work_at_every_question(worker, at):
    worker.send("all", b"image", preprocessing=3, embedder="")
    for question in ("candidates", "before_batch", "accepts"):
        stops = question == at
        with answered(worker, question, **({"say": "stop"} if stops else {"answer": [0, 1]})):
            pass
        if stops:
            break
    assert worker.receive().kind == "stopped"


def test_a_large_image_waits_for_memory_and_gives_it_back(worker):
    worker.send("prominent", b"large", preprocessing=3, embedder="")
    with answered(worker, "reserve") as asked:
        assert asked == {"size": FREE_BYTES}
    assert worker.receive().kind == "release"
    assert worker.receive().kind == "faces"


def test_the_time_of_computing_is_limited_for_each_image(worker):
    worker.send("prominent", b"image", preprocessing=3, embedder="")
    worker.receive()
    left, _ = signal.getitimer(signal.ITIMER_PROF)
    assert 900 < left < 1001  # the kernel rounds up
