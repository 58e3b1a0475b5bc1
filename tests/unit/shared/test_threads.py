"""How many jobs a worker does at the same time."""

import pytest

from shared import settings
from shared.settings import Settings


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "cores", lambda: 4)


def test_on_a_cpu_there_is_one_for_each_core() -> None:
    assert Settings().threads == 4


def test_on_a_gpu_there_are_two_batches_more_so_that_batches_can_form() -> None:
    assert Settings(device="cuda").threads == 4 + 2 * 8
    assert Settings(device="cuda", batch_size=16).threads == 4 + 2 * 16


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_setting_takes_precedence(device: str) -> None:
    assert Settings(device=device, worker_threads=3).threads == 3
