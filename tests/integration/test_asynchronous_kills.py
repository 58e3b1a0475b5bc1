"""What was accepted is done although the gateway that accepted it and a worker are killed."""

import signal
from pathlib import Path

import httpx
import pytest
from redis import Redis

from portraits import hopper_jpeg
from processes import API_KEY, empty_redis, gateway_on, wait_for
from service import Service
from shared.broker import UNACKED

pytestmark = pytest.mark.slow

ASYNC = {"Prefer": "respond-async"}
COUNT = 12


def test_jobs_outlive_the_gateway_that_accepted_them_and_the_worker_that_began_them(tmp_path: Path) -> None:
    with empty_redis(tmp_path) as broker:
        with gateway_on(broker) as first:
            image = {"img": hopper_jpeg()}
            answers = [first.post("/v1/addface", files=image, headers=ASYNC).json() for _ in range(COUNT)]
            ids = [answer["message"]["job_id"] for answer in answers]
        # That gateway is gone. Another one, and a worker, begin.
        settings = {"REDIS_URL": broker, "FACESEARCH_IMAGES_URL": broker, "FACESEARCH_API_KEY": API_KEY}
        with Service(tmp_path / "data", settings) as service, Redis.from_url(broker) as redis:
            wait_for(lambda: redis.hlen(UNACKED) > 0 or _ended(service.http, ids) == COUNT)
            service.child("worker").send_signal(signal.SIGKILL)
            wait_for(lambda: _ended(service.http, ids) == COUNT, 90)
            outcomes = [service.http.get(f"/v1/jobs/{job_id}").json() for job_id in ids]
            assert {outcome["status"] for outcome in outcomes} == {"OK"}
            assert sorted(outcome["message"][0]["name"] for outcome in outcomes) == sorted(
                f"ID{n}" for n in range(COUNT)
            )
            found = service.http.post("/v1/searchface", files=image).json()["message"]
            assert len(found) == COUNT
            assert not redis.keys("fs:image:*")
            assert not redis.exists("fs:async:jobs", "fs:async:out", "fs:async:counts", "fs:async:bytes")
            counters = {
                bytes(name).decode(): int(count)
                for key in redis.scan_iter("fs:usage:????-??-??")
                for name, count in redis.hgetall(key).items()
            }
            assert sum(count for name, count in counters.items() if name.endswith("|addface|OK")) == COUNT


def _ended(http: httpx.Client, ids: list[str]) -> int:
    return sum(http.get(f"/v1/jobs/{job_id}").status_code == 200 for job_id in ids)
