"""A gateway is ready while it can answer callers itself; `verbose` also reports the parts behind it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from facesearch.embedded import servers
from facesearch.embedded.up import listen
from processes import API_KEY, broker, end, wait_for


@pytest.mark.slow
@pytest.mark.embedded("it starts the broker late and ends it")
def test_readiness_before_with_and_after_a_broker(tmp_path: Path) -> None:
    environment = {"REDIS_URL": servers.url(tmp_path / "v.sock"), "FACESEARCH_API_KEY": API_KEY}
    log = tmp_path / "log"
    with (
        listen("127.0.0.1", 0) as listening,
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "gateway", "--fd", str(listening.fileno())],
            env={**os.environ, **environment},
            pass_fds=[listening.fileno()],
            stderr=stderr,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as http,
    ):

        def ready(query: str = "") -> tuple[int, dict[str, str]]:
            answer = http.get(f"/readyz{query}")
            message: dict[str, str] = answer.json()["message"]
            return answer.status_code, message

        try:
            wait_for(lambda: "broker_not_reached" in log.read_text())
            assert http.get("/healthz").status_code == 200
            assert ready() == (503, {"gateway": "is starting: the broker has not answered yet"})
            assert ready("?verbose=1")[1]["broker"] == "does not answer"
            refused = http.post("/v1/delface", headers={"X-API-Key": API_KEY}, data={"person_id": "x"})
            assert (refused.status_code, refused.json()["status"]) == (503, "FAIL")
            with broker(tmp_path):
                wait_for(lambda: ready()[0] == 200)
                status, parts = ready("?verbose=1")
                assert status == 503
                assert parts == {
                    "gateway": "ok",
                    "broker": "ok",
                    "memory": "ok",
                    "results": "ok",
                    "worker": "none is alive",
                    "store": "unknown",
                    "disk": "unknown",
                    "facedbs": "unknown",
                }
                assert ready("?verbose=0") == (200, {"gateway": "ok"})
            wait_for(lambda: "results_subscription_lost" in log.read_text())
            assert ready() == (200, {"gateway": "ok"}), "all gateways would go, and callers get no JSON"
            assert ready("?verbose=1")[1]["broker"] == "does not answer"
        finally:
            end(process)
    said = log.read_text()
    for event in ("broker_not_reached", "results_subscription_lost"):
        assert said.count(event) == 1, "logged once, not with each attempt"
    assert str(tmp_path / "v.sock") in said
