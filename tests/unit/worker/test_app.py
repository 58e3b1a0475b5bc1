"""The Celery application: its tasks and the delivery policy that stands on them."""

import pytest

from shared.errors import OperatorError
from shared.jobs import QUEUE, AddJob, DeleteJob, SearchJob
from shared.settings import Settings
from worker.app import create_celery

SETTINGS = Settings(redis_url="unix:///nowhere.sock", visibility_timeout_s=7)


def test_every_job_has_its_task_and_none_is_lost_with_its_worker() -> None:
    app = create_celery(SETTINGS)
    for job in (AddJob, SearchJob, DeleteJob):
        task = app.tasks[job.task]
        assert task.acks_late
        assert task.reject_on_worker_lost
    assert app.conf.broker_transport_options["visibility_timeout"] == 7
    assert app.conf.task_default_queue == QUEUE
    assert app.conf.worker_prefetch_multiplier == 1


def test_only_json_is_accepted() -> None:
    assert create_celery(SETTINGS).conf.accept_content == ["json"]


def test_what_celery_loads_is_such_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere.sock")
    from worker.celery import app  # noqa: PLC0415 -- it reads the settings when it is loaded

    assert AddJob.task in app.tasks


def test_a_worker_without_a_broker_says_what_to_do() -> None:
    with pytest.raises(OperatorError, match="REDIS_URL is not set"):
        create_celery(Settings(redis_url=None))
