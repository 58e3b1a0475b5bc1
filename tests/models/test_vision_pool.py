"""Vision processes with the real models: what they find, what they may not do, and what becomes of those that end."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog

from image_parts import large_photo
from portraits import astronaut_png, faceless_png, hopper_jpeg, pixels, side_by_side
from processes import wait_for
from shared.errors import FaceNotDetected, ImageUnreadable, OperatorError, Unavailable
from shared.settings import Settings
from worker.inference.plan import Plan
from worker.models import catalog, files
from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS
from worker.processes.models import Vision
from worker.processes.pool import VisionPool
from worker.vision.arcface import ArcFace
from worker.vision.geometry import align
from worker.vision.memory_budget import FREE_BYTES, MemoryBudget
from worker.vision.service import FaceSelection
from worker.vision.session import open_session
from worker.waits import Waits

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="vision processes are for Linux")

COUNT = 2
CAPACITY = 20 * FREE_BYTES


class Recorded:
    """What vision processes observed."""

    def __init__(self):
        self.stages, self.faces, self.batches, self.endings = [], [], [], []

    def record_stage(self, name, at, seconds):
        assert 0 <= seconds < 600
        assert at > 1e9
        self.stages.append(name)

    def found(self, faces):
        self.faces.append(faces)

    def embedded(self, faces):
        self.batches.append(faces)

    def vision_process_ended(self, how):
        self.endings.append(how)


@pytest.fixture(scope="module")
def vision(weights) -> Vision:
    settings = Settings()
    return Vision(
        weights.detector, weights.embedder, weights.entry, settings.detection_score, settings.max_pixels, cpu_s=600
    )


@contextmanager
def opened(vision, count=COUNT, recorded=None, waits=None) -> Iterator[VisionPool]:
    waits = waits or Waits()
    with closing(VisionPool(vision, count, MemoryBudget(CAPACITY, waits), waits, recorded or Recorded())) as pool:
        yield pool


@pytest.fixture(scope="module")
def shared(vision) -> Iterator[VisionPool]:
    """A pool whose processes no test ends."""
    with opened(vision) as pool:
        yield pool


@contextmanager
def stopped(pool: VisionPool) -> Iterator[list[int]]:
    """Stop all processes of a pool for the block: an image that is given to one stays unanswered. Those that then live
    go on afterwards. Yields their ids.
    """
    pids = pool.pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids
    finally:
        for pid in set(pids) & set(pool.pids):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[Future]:
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(work)


def taken(pool: VisionPool) -> list[int]:
    """Return the processes that have an image."""
    with pool._changed:
        return sorted(process.pid for process in pool._processes.values() if process.is_taken)


def status(pid: int) -> dict[str, str]:
    """Return what the system tells of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def await_confined(pid: int) -> None:
    wait_for(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE) == (0, 0))


def same(ours, theirs):
    assert (ours.number, ours.quality) == (theirs.number, theirs.quality)
    assert (ours.detection.box, ours.detection.score) == (theirs.detection.box, theirs.detection.score)
    np.testing.assert_array_equal(ours.detection.landmarks, theirs.detection.landmarks)
    np.testing.assert_array_equal(ours.vector, theirs.vector)


@pytest.mark.parametrize("way", PREPROCESSINGS.values(), ids=lambda way: f"version {way.version}")
def test_faces_are_bit_by_bit_those_of_the_service_itself(shared, faces, way):
    for photo in (hopper_jpeg(), astronaut_png(), side_by_side(astronaut_png(), hopper_jpeg())):
        found = [one.embed_all(photo, preprocessing=way) for one in (shared, faces)]
        for ours, theirs in zip(*found, strict=True):
            same(ours, theirs)
        same(*(one.embed_most_prominent(photo, way) for one in (shared, faces)))


def test_what_is_wrong_with_an_image_is_said(shared):
    with pytest.raises(FaceNotDetected):
        shared.embed_most_prominent(faceless_png())
    with pytest.raises(ImageUnreadable, match="cut off"):
        shared.embed_all(hopper_jpeg()[:-1000])
    same(shared.embed_most_prominent(hopper_jpeg()), shared.embed_most_prominent(hopper_jpeg()))


def test_an_error_of_the_selection_stops_the_work_and_the_process_goes_on(shared):
    class Refusing(FaceSelection):
        def before_batch(self, cpu_s):
            raise ZeroDivisionError(cpu_s)

    before = shared.pids
    for _ in range(COUNT + 1):
        with pytest.raises(ZeroDivisionError):
            shared.embed_all(hopper_jpeg(), Refusing())
    assert shared.embed_most_prominent(hopper_jpeg()).number == 0
    assert shared.pids == before


def test_images_are_worked_on_at_once(shared):
    with stopped(shared), ThreadPoolExecutor(COUNT + 1) as threads:
        images = [threads.submit(shared.embed_most_prominent, hopper_jpeg()) for _ in range(COUNT + 1)]
        wait_for(lambda: taken(shared) == shared.pids)
        for pid in shared.pids:
            os.kill(pid, signal.SIGCONT)
        first, *others = [image.result() for image in images]
    for other in others:
        same(first, other)


def test_a_process_has_no_file_but_its_connection_and_no_secret(vision, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://:password@host")
    monkeypatch.setenv("FACESEARCH_API_KEY", "secret")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")  # faces would differ in their last bits without it
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with opened(vision) as pool:
        for pid in pool.pids:
            assert status(pid)["Threads"] == "1"
            await_confined(pid)
            files = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
            assert len(files) == 4, "standard input, output and error, and"
            assert sum(name.startswith("socket:") for name in files) == 1
            for each in (pid, int(status(pid)["PPid"])):
                environment = Path(f"/proc/{each}/environ").read_bytes()
                assert b"FACESEARCH" not in environment
                assert b"password" not in environment
                assert {b"OPENBLAS_CORETYPE=Haswell", b"OPENBLAS_NUM_THREADS=1"} <= set(environment.split(b"\0"))


def test_the_fork_server_has_one_thread(shared):
    assert status(int(status(shared.pids[0])["PPid"]))["Threads"] == "1"


def test_an_idle_process_that_is_killed_is_replaced(vision):
    recorded = Recorded()
    with opened(vision, recorded=recorded) as pool:
        pool.embed_most_prominent(hopper_jpeg())
        before = pool.pids
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(pool.pids) == COUNT and not set(pool.pids) & set(before))
        assert pool.embed_most_prominent(hopper_jpeg()).number == 0
        assert recorded.endings == ["killed"] * COUNT


def test_the_image_of_a_killed_process_goes_to_another_one(vision, faces):
    with opened(vision) as pool, stopped(pool), in_thread(lambda: pool.embed_most_prominent(hopper_jpeg())) as image:
        wait_for(lambda: len(taken(pool)) == 1)
        (victim,) = taken(pool)
        for pid in set(pool.pids) - {victim}:
            os.kill(pid, signal.SIGCONT)
        os.kill(victim, signal.SIGKILL)
        same(image.result(60), faces.embed_most_prominent(hopper_jpeg()))
        assert victim not in pool.pids


def test_images_survive_the_kill_of_all_processes_one_after_the_other(vision, faces):
    def embed(_: int):
        return pool.embed_most_prominent(hopper_jpeg())

    with opened(vision, 3) as pool, stopped(pool) as before, ThreadPoolExecutor(2) as threads:
        images = [threads.submit(embed, number) for number in range(2)]
        wait_for(lambda: len(taken(pool)) == 2)
        for pid in sorted(before, key=taken(pool).__contains__, reverse=True):  # an idle one last
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: pid not in pool.pids)
        expected = faces.embed_most_prominent(hopper_jpeg())
        for image in images:
            same(image.result(60), expected)


def test_an_image_that_is_interrupted_twice_is_given_up(vision):
    ended: set[int] = set()
    with (
        opened(vision, 1) as pool,
        structlog.testing.capture_logs() as logged,
        in_thread(lambda: pool.embed_all(large_photo())) as image,
    ):
        while len(ended) < 2 and not image.done():
            for pid in set(taken(pool)) - ended:
                os.kill(pid, signal.SIGKILL)
                ended.add(pid)
        assert isinstance(image.exception(60), Unavailable)
    assert [(record["how"], record["repeated"]) for record in logged] == [("SIGKILL", True), ("SIGKILL", False)]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_fails_its_own_image_and_no_other(vision, number):
    recorded = Recorded()
    with opened(vision, recorded=recorded) as pool, stopped(pool):
        with in_thread(lambda: pool.embed_most_prominent(hopper_jpeg())) as image:
            wait_for(lambda: len(taken(pool)) == 1)
            (victim,) = taken(pool)
            with in_thread(lambda: pool.embed_most_prominent(hopper_jpeg())) as other:
                wait_for(lambda: len(taken(pool)) == 2)
                os.kill(victim, number)
                for pid in set(pool.pids) - {victim}:
                    os.kill(pid, signal.SIGCONT)
                os.kill(victim, signal.SIGCONT)
                assert other.result(60).number == 0
            assert isinstance(image.exception(60), Unavailable)
        wait_for(lambda: len(pool.pids) == COUNT)
        assert recorded.endings == ["crashed"]


def test_a_process_that_runs_out_of_memory_fails_its_own_image_and_is_replaced(vision):
    recorded = Recorded()
    with opened(vision, recorded=recorded) as pool:
        before = pool.pids
        for pid in before:
            await_confined(pid)
            _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
            data = status(pid)["VmData"].removesuffix("kB")
            resource.prlimit(pid, resource.RLIMIT_DATA, (int(data) * 1024 + FREE_BYTES, hard))
        with pytest.raises(MemoryError):
            pool.embed_all(large_photo())
        wait_for(lambda: len(pool.pids) == COUNT and len(set(pool.pids) & set(before)) == COUNT - 1)
        assert len(pool.embed_all(large_photo())) == 1, "the new process is used next, and has no such limit"
        assert recorded.endings == ["retired"]


def test_an_image_that_computes_for_too_long_is_given_up(vision):
    recorded = Recorded()
    with opened(replace(vision, cpu_s=0.01), 1, recorded) as pool:
        with pytest.raises(Unavailable):
            pool.embed_all(large_photo())
        wait_for(lambda: pool.pids != [])
        assert recorded.endings == ["crashed"]


def test_a_fork_server_that_is_killed_is_replaced_with_all_processes(vision):
    with opened(vision) as pool:
        before = pool.pids
        os.kill(int(status(before[0])["PPid"]), signal.SIGKILL)
        wait_for(lambda: len(pool.pids) == COUNT and not set(pool.pids) & set(before))
        assert pool.embed_most_prominent(hopper_jpeg()).number == 0


def test_large_images_of_all_processes_share_one_budget_and_waiting_for_it_is_counted(vision):
    waits, threads = Waits(), []
    memory = MemoryBudget(CAPACITY, waits)

    def large() -> object:
        threads.append(threading.get_native_id())
        return pool.embed_all(large_photo())

    with closing(VisionPool(vision, COUNT, memory, waits, Recorded())) as pool, ExitStack() as held:
        held.enter_context(memory.reserve(CAPACITY))
        with in_thread(large) as image:
            wait_for(lambda: len(memory._queue) == 1)
            assert not image.done()
            held.close()
            assert len(image.result()) == 1
    assert waits.seconds(threads[0]) > 0


def test_what_a_process_observes_is_recorded(vision):
    recorded = Recorded()
    with opened(vision, 1, recorded) as pool:
        pool.embed_all(hopper_jpeg())
        with pytest.raises(FaceNotDetected):
            pool.embed_most_prominent(faceless_png())
    assert recorded.faces == [1, 0]
    assert recorded.batches == [1]
    assert recorded.stages[:2] == ["decode", "detect"]
    assert {"refine", "align", "embed"} <= set(recorded.stages)
    assert recorded.stages.count("decode") >= 2


def test_a_closed_pool_leaves_no_process_and_refuses_images(vision):
    with opened(vision) as pool:
        pids = pool.pids
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    with pytest.raises(Unavailable):
        pool.embed_most_prominent(hopper_jpeg())


def test_a_model_that_cannot_be_loaded_is_an_error_at_start(vision, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(OperatorError, match=r"cannot load the model .*models pull"):
        VisionPool(replace(vision, detector=broken), 1, MemoryBudget(CAPACITY), Waits(), Recorded())


@pytest.mark.slow
@pytest.mark.parametrize("in_inference_process", [False, True])
def test_a_second_embedder_embeds_the_images_that_are_for_it(vision, weights, in_inference_process):
    other = catalog.find("sface-2021dec-int8", "embedding")
    graph = files.pull(other, Settings().models_dir, print)
    plan = None
    if in_inference_process:
        side = weights.entry.input_size
        plan = Plan(str(weights.detector), str(weights.embedder), side, "cpu", 2, 0.002, str(graph), other.input_size)
    first = PREPROCESSINGS[PREPROCESSING_VERSION]
    second = replace(first, embedder=other.name)
    expected = ArcFace(open_session(graph), other)
    with opened(replace(vision, plan=plan, second=(graph, other)), count=1) as pool:
        for way in (first, second, first, second):
            face = pool.embed_most_prominent(hopper_jpeg(), preprocessing=way)
            (same,) = pool.embed_all(hopper_jpeg(), preprocessing=way)
            crop = align(pixels(hopper_jpeg()), face.detection.landmarks, other.input_size)
            near = float(expected.embed(crop[np.newaxis])[0] @ face.vector) > 0.99999
            assert near == (way is second)
            assert float(face.vector @ same.vector) > 0.99999
