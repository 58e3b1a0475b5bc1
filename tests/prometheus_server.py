"""A real Prometheus with the rules of deploy/ that scrapes processes of a test."""

import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from processes import end, wait_for
from redis_servers import free_ports

DEPLOY = Path(__file__).parents[1] / "deploy"
CONFIG = DEPLOY / "prometheus" / "prometheus.yml"
RULES = DEPLOY / "prometheus" / "alerts.yml"


def at_once(rules: dict[str, Any]) -> dict[str, Any]:
    """Change rules so that alerts fire as soon as their condition holds."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["for"] = "0s"
    return rules


def config(targets: Mapping[str, str], rules: Path, key: Path) -> dict[str, Any]:
    """Return the configuration of deploy/ with targets (by job) and files of a test, and intervals of a second."""
    given = yaml.safe_load(CONFIG.read_text())
    for job in given["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(key)
    intervals = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return {"global": intervals, "rule_files": [str(rules)], "scrape_configs": given["scrape_configs"]}


class Prometheus:
    """A Prometheus that runs from entering to leaving. targets: host and port by job, besides its own."""

    def __init__(self, folder: Path, targets: Mapping[str, str], rules: Path, key: Path) -> None:
        (port,) = free_ports(1)
        self._folder = folder
        self._config = folder / "prometheus.yml"
        self._config.write_text(
            yaml.safe_dump(config({**targets, "prometheus": f"127.0.0.1:{port}"}, rules, key), sort_keys=False)
        )
        self._address = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=log,
            )
        self._http = httpx.Client(base_url=f"http://{self._address}", timeout=30)
        try:
            wait_for(self._is_ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        end(self._process)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the present value of an expression: labels and value of each series."""
        result = self._get("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules with their state and health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {rule["name"] for rule in self.rules() if rule.get("state") == "firing"}

    def healthy_targets(self) -> set[str]:
        """Return the jobs of the targets whose last scrape succeeded."""
        targets = self._get("targets")["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = self._http.get(f"/api/v1/{what}", params=parameters)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False


class QdrantMetrics(ThreadingHTTPServer):
    """A stand-in for /metrics of a Qdrant server, which is not available as a package. It requires the key.

    Names and types are those of qdrant.tech/documentation/guides/monitoring.
    """

    TEXT = """\
# TYPE app_info gauge
app_info{name="qdrant",version="1.16.0"} 1
# TYPE app_status_recovery_mode gauge
app_status_recovery_mode 0
# TYPE collections_total gauge
collections_total 3
# TYPE collections_vector_total gauge
collections_vector_total 1200
"""

    def __init__(self, key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Metrics)
        self.key = key

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Metrics(BaseHTTPRequestHandler):
    server: QdrantMetrics

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == f"Bearer {self.server.key}" and self.path == "/metrics"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        if allowed:
            self.wfile.write(self.server.TEXT.encode())

    def log_message(self, *_: object) -> None:
        pass
