"""Vision processes whose models run in an inference process, on a CPU in place of a GPU: results, batches, and a
process that is killed.
"""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
import structlog

from portraits import astronaut_png, faceless_png, hopper_jpeg, pixels, png, side_by_side
from processes import wait_for
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.inference.plan import Plan
from worker.models.versions import PREPROCESSINGS
from worker.processes.models import Vision
from worker.processes.pool import VisionPool
from worker.vision.memory_budget import MemoryBudget
from worker.waits import Waits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="vision processes are for Linux"),
]

COUNT = 3


class Recorded:
    """What vision processes observed."""

    def __init__(self):
        self.faces, self.batches, self.ended = [], [], []

    def record_stage(self, name, at, seconds):
        pass

    def found(self, faces):
        self.faces.append(faces)

    def embedded(self, faces):
        self.batches.append(faces)

    def vision_process_ended(self, how):
        self.ended.append(how)


@pytest.fixture(scope="module")
def recorded():
    return Recorded()


@pytest.fixture(scope="module")
def pool(weights, recorded):
    settings, waits = Settings(), Waits()
    plan = Plan(str(weights.detector), str(weights.embedder), weights.entry.input_size, "cpu", 2, 0.002)
    vision = Vision(
        weights.detector, weights.embedder, weights.entry, settings.detection_score, settings.max_pixels, 600, plan
    )
    with closing(VisionPool(vision, COUNT, MemoryBudget(1 << 30, waits), waits, recorded)) as pool:
        yield pool


def inference_process():
    """Return the inference process of this one."""
    (found,) = (
        process for process in psutil.Process().children(recursive=True) if "worker.inference" in process.cmdline()
    )
    return found


@pytest.mark.parametrize("way", PREPROCESSINGS.values(), ids=lambda way: f"version {way.version}")
def test_faces_are_those_of_the_process_itself(pool, faces, way):
    turned = png(np.ascontiguousarray(np.rot90(pixels(astronaut_png()))))
    for photo in (hopper_jpeg(), astronaut_png(), side_by_side(astronaut_png(), hopper_jpeg()), turned):
        found = [one.embed_all(photo, preprocessing=way) for one in (pool, faces)]
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours.detection.landmarks, theirs.detection.landmarks, atol=1e-2)
            assert float(ours.vector @ theirs.vector) > 0.99999
    with pytest.raises(FaceNotDetected):
        pool.embed_most_prominent(faceless_png(), way)


def test_each_face_is_counted_in_one_batch(pool, recorded):
    before = sum(recorded.batches)
    photos = [hopper_jpeg(), side_by_side(astronaut_png(), hopper_jpeg()), astronaut_png()] * 3
    with ThreadPoolExecutor(COUNT) as threads:
        found = list(threads.map(pool.embed_all, photos))
    assert sum(recorded.batches) - before == sum(map(len, found)) == 12


def test_a_killed_inference_process_is_replaced_and_no_image_is_lost(pool, faces):
    expected = faces.embed_most_prominent(hopper_jpeg()).vector
    first = inference_process()
    with structlog.testing.capture_logs() as logs, ThreadPoolExecutor(COUNT) as threads:
        # Stopped, it owes answers for certain when it is killed.
        os.kill(first.pid, signal.SIGSTOP)
        images = [threads.submit(pool.embed_most_prominent, hopper_jpeg()) for _ in range(COUNT)]
        wait_for(lambda: all(process.is_taken for process in pool._processes.values()))
        os.kill(first.pid, signal.SIGKILL)
        for image in images:
            assert float(image.result(100).vector @ expected) > 0.99999
    assert inference_process().pid != first.pid
    events = [log["event"] for log in logs]
    assert "inference_process_ended" in events
    assert {log["how"] for log in logs if log["event"] == "inference_process_ended"} == {"SIGKILL"}
    repeated = [log["repeated"] for log in logs if log["event"] == "vision_process_ended"]
    assert repeated == [True] * COUNT
