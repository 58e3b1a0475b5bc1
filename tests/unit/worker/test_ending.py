"""How jobs end, with a stand-in for the broker; tests/integration/test_ending.py has a real one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from celery.app.task import Context
from redis import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from shared.asynchronous import IMAGES
from shared.broker import RESULT_PREFIX
from shared.contract import Status
from shared.fair_queue import DONE, TENANT
from shared.jobs import Outcome, SearchJob
from shared.settings import Settings
from worker.app import create_celery
from worker.delivery.ending import Endings, stored

JOB = SearchJob(job_id=f"{'0' * 12}.{'0' * 32}", deadline=2e9, collection="a.b.00000000")
OUTCOME = Outcome(status=Status.OK, message=[{"confidence": 97.5, "name": "Zoë", "person_id": "1"}])


class Broker:
    """A stand-in for connections to a broker that records the calls of scripts. refuses: what the script that ends a
    job raises. away: whether every script fails.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Sequence[str], Sequence[Any]]] = []
        self.refuses: Exception | None = None
        self.away = False

    def script(self, text: str) -> Any:
        def call(keys: Sequence[str], args: Sequence[Any]) -> None:
            if self.away:
                raise RedisConnectionError
            if self.refuses and text != DONE:
                raise self.refuses
            self.calls.append((text, keys, args))

        return call


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def acknowledged() -> set[str]:
    return set()


@pytest.fixture
def endings(broker: Broker, acknowledged: set[str]) -> Endings:
    return Endings(broker, 15, acknowledged)


def test_one_script_ends_a_job(endings: Endings, broker: Broker, acknowledged: set[str]) -> None:
    with endings.job(JOB, {TENANT: "shop"}, "tag") as ending:
        ending.outcome = OUTCOME
        assert broker.calls == []
    ((script, keys, (tenant, job_id, seconds, tag, text, keep_s)),) = broker.calls
    assert script.endswith(DONE)
    assert (keys, tenant, job_id, tag, keep_s) == ([RESULT_PREFIX + JOB.job_id], "shop", JOB.job_id, "tag", 15)
    assert Outcome.model_validate(json.loads(text)["result"]) == OUTCOME
    assert seconds >= 0
    assert ending.complete
    assert acknowledged == {"tag"}


def test_an_asynchronous_job_is_put_back_under_another_tag(
    endings: Endings, broker: Broker, acknowledged: set[str]
) -> None:
    headers = {TENANT: "shop", IMAGES: 1}
    with endings.job(JOB, headers, "tag") as ending:
        ending.outcome, ending.is_put_back = OUTCOME, True
    ((script, keys, (tenant, job_id, _, tag, another)),) = broker.calls
    assert script.startswith(DONE)
    assert (keys, tenant, job_id, tag, ending.complete) == ([], "shop", JOB.job_id, "tag", True)
    assert tag not in another
    assert acknowledged == {"tag"}
    broker.refuses = OutOfMemoryError("full")
    with endings.job(JOB, headers, "tag") as ending:
        ending.outcome, ending.is_put_back = OUTCOME, True
    assert not ending.complete, "its outcome counts"


def test_a_job_without_an_outcome_is_reported_as_done_and_left_to_celery(
    endings: Endings, broker: Broker, acknowledged: set[str]
) -> None:
    with pytest.raises(ZeroDivisionError), endings.job(JOB, {TENANT: "shop"}, "tag") as ending:
        raise ZeroDivisionError
    ((script, _, (*turn, _seconds)),) = broker.calls
    assert (script, turn) == (DONE, ["shop", JOB.job_id])
    assert not ending.complete
    assert not acknowledged


@pytest.mark.parametrize("error", [OutOfMemoryError("full"), RedisConnectionError("away")])
def test_an_outcome_that_the_script_cannot_store_is_left_to_celery(
    endings: Endings, broker: Broker, acknowledged: set[str], error: Exception
) -> None:
    broker.refuses = error
    with endings.job(JOB, {TENANT: "shop"}, "tag") as ending:
        ending.outcome = OUTCOME
    assert [script for script, *_ in broker.calls] == [DONE]
    assert not ending.complete
    assert not acknowledged


@pytest.mark.parametrize("headers", [{}, {TENANT: None}, {TENANT: ["shop"]}])
def test_a_job_of_a_gateway_without_a_fair_queue_is_left_to_celery(
    endings: Endings, broker: Broker, headers: Mapping[str, Any]
) -> None:
    with endings.job(JOB, headers, "tag") as ending:
        ending.outcome = OUTCOME
    assert broker.calls == []
    assert not ending.complete


def test_without_a_broker_a_job_is_done_and_a_warning_logged(
    endings: Endings, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.away = True
    with endings.job(JOB, {TENANT: "shop"}, "tag") as ending:
        ending.outcome = OUTCOME
    assert not ending.complete
    assert "turn_not_ended" in capsys.readouterr().out


def test_an_outcome_is_stored_as_celery_stores_it() -> None:
    backend = create_celery(Settings(redis_url="unix:///nowhere.sock")).backend
    meta = backend._get_result_meta(OUTCOME.model_dump(mode="json"), "SUCCESS", None, Context())
    theirs, ours = json.loads(backend.encode(meta)), json.loads(stored(JOB.job_id, OUTCOME))
    assert {**ours, "date_done": ""} == {**theirs, "date_done": "", "task_id": JOB.job_id}
    assert backend.decode_result(stored(JOB.job_id, OUTCOME))["status"] == "SUCCESS"
