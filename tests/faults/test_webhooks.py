"""What came to a receiver is judged by what callers were told of their jobs."""

import json
from pathlib import Path
from typing import Any

import pytest

from faults.webhooks import Webhooks
from gateway.webhooks.signing import signature
from https_receiver import Receiver

SECRET = "whsec_of_a_test"  # noqa: S105 -- it is of this test alone
FOUND = [{"person_id": "a"}]
JOBS = {"j1": ("OK", FOUND), "j2": ("FAIL", "please try again later")}


@pytest.fixture
def webhooks() -> Webhooks:
    return Webhooks(Receiver(port=1, certificate=Path()), SECRET)


def arrives(webhooks: Webhooks, job_id: str, status: str, message: Any, **changed: str) -> None:
    body = json.dumps({"job_id": job_id, "status": status, "message": message}).encode()
    headers = {
        "X-Facesearch-Signature": signature(SECRET.encode(), body, 1),
        "X-Facesearch-Delivery": changed.get("delivery", job_id),
    }
    sent = body.replace(b"OK", b"KO") if changed.get("body") else body
    webhooks.receiver.got.append((changed.get("path", "/load"), headers, sent))


def test_each_job_comes_once_or_more_with_its_outcome(webhooks: Webhooks) -> None:
    for job_id, outcome in (*JOBS.items(), *JOBS.items()):
        arrives(webhooks, job_id, *outcome)
    arrives(webhooks, "of a request whose answer was lost", "OK", FOUND)
    arrives(webhooks, "of another load", "OK", FOUND, path="/other", delivery="x")
    assert webhooks.problems("load", JOBS, 0) == []


def test_what_does_not_come_is_a_problem(webhooks: Webhooks) -> None:
    arrives(webhooks, "j1", *JOBS["j1"])
    assert webhooks.problems("load", JOBS, 0) == ["job j2 ended, and its webhook did not come in 0 s"]


@pytest.mark.parametrize("message", [[], FOUND])
def test_another_outcome_is_a_problem(webhooks: Webhooks, message: Any) -> None:
    arrives(webhooks, "j1", "NO_SIMILAR_FACE", message)
    (problem,) = webhooks.problems("load", {"j1": JOBS["j1"]}, 0)
    assert problem.startswith("job j1 ended as ('OK',")


def test_two_outcomes_of_a_job_that_nobody_looked_up_are_a_problem(webhooks: Webhooks) -> None:
    for outcome in JOBS.values():
        arrives(webhooks, "j3", *outcome)
    assert len(webhooks.problems("load", {}, 0)) == 1


def test_a_changed_body_and_another_id_are_problems(webhooks: Webhooks) -> None:
    arrives(webhooks, "j1", *JOBS["j1"], body="changed")
    assert "the webhook of job j1 has a wrong signature" in webhooks.problems("load", {}, 0)
    webhooks.receiver.got.clear()
    arrives(webhooks, "j1", *JOBS["j1"], delivery="j9")
    assert webhooks.problems("load", {}, 0) == ["the webhook of job j1 is that of j9"]
