"""How many jobs a worker does at the same time, and how many vision processes it has."""

import pytest

from shared import settings
from shared.settings import Settings
from worker.runtime import vision_processes


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "cores", lambda: 4)


@pytest.mark.parametrize(("count", "threads"), [(1, 2), (2, 3), (4, 5), (5, 7), (16, 20)])
def test_on_a_cpu_there_is_one_for_each_core_and_one_more_for_every_four(
    monkeypatch: pytest.MonkeyPatch, count: int, threads: int
) -> None:
    monkeypatch.setattr(settings, "cores", lambda: count)
    assert Settings().threads == threads


def test_without_vision_processes_there_is_one_for_each_core() -> None:
    assert Settings(vision_processes=0).threads == 4
    assert not Settings(vision_processes=0).has_vision_processes


def test_vision_processes_are_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.sys, "platform", "darwin")
    assert Settings().threads == 4
    assert not Settings(vision_processes=3).has_vision_processes


def test_each_job_at_once_has_a_vision_process_unless_told() -> None:
    assert vision_processes(Settings()) == 5 + 2, "those of fair queueing too"
    assert vision_processes(Settings(worker_threads=3)) == 3 + 1
    assert vision_processes(Settings(worker_threads=3, vision_processes=2)) == 2


def test_on_a_gpu_there_are_two_batches_more_so_that_batches_can_form() -> None:
    assert Settings(device="cuda").threads == 4 + 2 * 8
    assert Settings(device="cuda", batch_size=16).threads == 4 + 2 * 16


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_setting_takes_precedence(device: str) -> None:
    assert Settings(device=device, worker_threads=3).threads == 3
