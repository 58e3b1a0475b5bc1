"""The metrics, traces and logs of a running service."""

import base64
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from portraits import astronaut_png, faceless_png
from processes import end, python, two_free_ports, wait_for
from service import Service
from shared.calls import ADD_FACE, COMPARE_FACES, DELETE_FACE, SEARCH_FACE, Call
from shared.contract import Status

FACE = base64.b64encode(astronaut_png()).decode()
NO_FACE = base64.b64encode(faceless_png()).decode()
NOBODY = "00000000-0000-0000-0000-000000000000"


def read(port: int, name: str, **labels: str) -> float:
    """Return a value of /metrics. Raises LookupError if it is missing."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).raise_for_status().text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise LookupError(f"{name} {labels}")


class Collector(ThreadingHTTPServer):
    """Receives traces by OTLP over HTTP and keeps their spans, as (service, span)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[tuple[str, Span]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.server.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector().running() as running:
        yield running


@pytest.fixture(scope="module")
def port() -> int:
    return two_free_ports()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, collector: Collector, port: int) -> Iterator[Service]:
    """A service with metrics, traces and logs."""
    settings = {
        "FACESEARCH_METRICS_PORT": str(port),
        "FACESEARCH_TRACES_URL": collector.url,
        "FACESEARCH_LOG_LEVEL": "debug",
        "FACESEARCH_LOG_FORMAT": "json",
    }
    with Service(tmp_path_factory.mktemp("observed"), settings) as running:
        yield running


class TestMetrics:
    def test_every_answer_is_counted_by_call_and_status(self, observed: Service, port: int) -> None:
        def counted(call: Call, status: Status) -> float:
            return read(port, "facesearch_requests_total", call=call.name, status=status)

        asked = [
            (ADD_FACE, {"img": FACE}, Status.OK),
            (ADD_FACE, {"img": NO_FACE}, Status.FACE_DETECT_FAILED),
            (SEARCH_FACE, {"img": FACE}, Status.OK),
            (SEARCH_FACE, {"img": "AAAA"}, Status.IMAGE_INVALID_FORMAT),
            (DELETE_FACE, {"person_id": NOBODY}, Status.PERSON_ID_NOT_EXIST),
            (DELETE_FACE, {}, Status.INVALID_REQUEST),
            (COMPARE_FACES, {"img1": FACE, "img2": FACE}, Status.OK),
            (COMPARE_FACES, {"img1": FACE, "img2": NO_FACE}, Status.FACE_DETECT_FAILED),
        ]
        before = [counted(call, status) for call, _, status in asked]
        for call, parameters, status in asked:
            assert observed.http.post(f"/v1/{call}", data=parameters).json()["status"] == status
        assert [counted(call, status) for call, _, status in asked] == [number + 1 for number in before]

    def test_look_ups_of_jobs_are_measured_like_calls(self, observed: Service, port: int) -> None:
        def told() -> list[float]:
            return [
                read(port, "facesearch_requests_total", call="getjob", status="INVALID_REQUEST"),
                read(port, "facesearch_request_seconds_count", call="getjob"),
                read(port, "facesearch_rejected_total", reason="unauthorized"),
            ]

        before = told()
        assert observed.http.get("/v1/jobs/none").status_code == 404
        assert httpx.get(f"{observed.address}/v1/jobs/none", headers={"X-API-Key": "wrong"}).status_code == 401
        assert told() == [before[0] + 2, before[1] + 2, before[2] + 1]

    def test_asynchronous_jobs_are_counted_as_they_are_accepted_and_done(self, observed: Service, port: int) -> None:
        def told() -> list[float]:
            return [
                read(port, "facesearch_asynchronous_accepted_total", call="delface"),
                read(port + 1, "facesearch_asynchronous_done_total", status="PERSON_ID_NOT_EXIST"),
                read(port + 1, "facesearch_asynchronous_wait_seconds_count"),
                read(port + 1, "facesearch_job_queue_seconds_count"),
            ]

        accepted, done, waited, others = told()
        headers = {"Prefer": "respond-async"}
        answer = observed.http.post("/v1/delface", data={"person_id": NOBODY}, headers=headers)
        assert answer.status_code == 202
        wait_for(lambda: told() == [accepted + 1, done + 1, waited + 1, others])

    def test_an_image_is_measured_in_all_stages_of_both_processes(self, observed: Service, port: int) -> None:
        stages = [
            *((port, "facesearch_gateway_stage_seconds_count", {"stage": s}) for s in ("limits", "upload")),
            *((port, "facesearch_gateway_stage_seconds_count", {"stage": s}) for s in ("claim_check", "dispatch")),
            (port, "facesearch_gateway_stage_seconds_count", {"stage": "outcome"}),
            (port, "facesearch_request_seconds_count", {"call": "searchface"}),
            *((port + 1, "facesearch_stage_seconds_count", {"stage": s}) for s in ("image", "decode", "detect")),
            *((port + 1, "facesearch_stage_seconds_count", {"stage": s}) for s in ("align", "embed")),
            (port + 1, "facesearch_store_seconds_count", {"operation": "search"}),
            (port + 1, "facesearch_job_seconds_count", {"task": "search"}),
            (port + 1, "facesearch_job_queue_seconds_count", {}),
            (port + 1, "facesearch_batch_faces_sum", {}),
            (port + 1, "facesearch_faces_per_image_sum", {}),
        ]
        before = [read(where, name, **labels) for where, name, labels in stages]
        observed.http.post("/v1/searchface", data={"img": FACE})
        assert [read(where, name, **labels) for where, name, labels in stages] == [number + 1 for number in before]

    def test_rejections_are_counted_by_reason(self, observed: Service, port: int) -> None:
        refusals = [
            (port, "unauthorized", {"headers": {"X-API-Key": "wrong"}, "data": {"img": FACE}}),
            (port, "parameter", {"data": {"img": FACE, "name": "no spaces"}}),
            (port, "facedb", {"data": {"img": FACE, "facedb": "nobodys"}}),
            (port, "image_size", {"data": {"img": "A" * 3_000_000}}),
            (port, "image_format", {"data": {"img": "AAAA"}}),
            (
                port,
                "body",
                {"content": b"", "headers": {"Content-Encoding": "gzip", "Content-Type": "application/json"}},
            ),
            (port + 1, "no_face", {"data": {"img": NO_FACE}}),
        ]
        for where, reason, request in refusals:
            before = read(where, "facesearch_rejected_total", reason=reason)
            assert observed.http.post("/v1/addface", **request).json()["status"] != "OK"
            assert read(where, "facesearch_rejected_total", reason=reason) == before + 1, reason

    @pytest.mark.embedded("it knows the memory limits of its own servers")
    def test_there_are_metrics_of_queue_workers_and_models(self, observed: Service, port: int) -> None:
        assert observed.process.poll() is None
        for name, value in {"broker_up": 1, "workers_alive": 1, "results_subscribed": 1, "queue_length": 0}.items():
            assert read(port, f"facesearch_{name}") == value, name
        assert read(port, "facesearch_redis_memory_max_bytes", server="images") == 512 << 20
        assert read(port, "facesearch_redis_memory_bytes", server="broker") > 0
        text = httpx.get(f"http://127.0.0.1:{port + 1}/metrics").text
        assert re.search(r'model_info\{device="cpu",digest="[0-9a-f]{64}",model="sface-2021dec-int8bq",task="emb', text)

    def test_callers_cannot_read_metrics(self, observed: Service) -> None:
        assert observed.http.get("/metrics").status_code == 404

    def test_no_label_has_data_of_a_caller(self, observed: Service, port: int) -> None:
        observed.http.post("/v1/addface", data={"img": FACE, "name": "Marie", "facedb": "secretdb"})
        for where in (port, port + 1):
            text = httpx.get(f"http://127.0.0.1:{where}/metrics").text
            for sent in ("Marie", "secretdb", observed.key, "default."):
                assert sent not in text

    @pytest.mark.slow
    @pytest.mark.embedded("it kills its broker")
    def test_a_dead_broker_is_reported_without_stale_values(self, tmp_path: Path) -> None:
        own = two_free_ports()
        with Service(tmp_path, {"FACESEARCH_METRICS_PORT": str(own)}) as service:
            assert read(own, "facesearch_workers_alive") == 1
            broker = service.child("broker.sock")
            service.process.send_signal(signal.SIGSTOP)  # so that nothing starts the broker again
            broker.kill()
            wait_for(lambda: read(own, "facesearch_broker_up") == 0)
            assert math.isnan(read(own, "facesearch_queue_length"))
            assert math.isnan(read(own, "facesearch_redis_memory_bytes", server="broker"))
            assert read(own, "facesearch_redis_memory_bytes", server="images") > 0
            service.process.send_signal(signal.SIGCONT)
            wait_for(lambda: read(own, "facesearch_broker_up") == 1)
            wait_for(lambda: read(own, "facesearch_results_subscribed") == 1)

    @pytest.mark.slow
    @pytest.mark.parametrize("process", ["gateway", "worker"])
    def test_a_port_in_use_is_reported_in_one_line(self, process: str, service: Service) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = str(other.getsockname()[1])
            environment = {
                "REDIS_URL": service.broker,
                "FACESEARCH_PORT": "0",
                "FACESEARCH_STORE": "memory",
                "FACESEARCH_METRICS_PORT": taken,
            }
            result = python("-m", process, **environment)
        assert result.returncode == 1
        assert taken in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.stderr


class TestTraces:
    def test_one_trace_spans_gateway_and_worker(self, observed: Service, collector: Collector) -> None:
        answer = observed.http.post("/v1/addface", data={"img": FACE, "name": "Marie"})
        assert answer.json()["status"] == "OK"
        names = {
            "facesearch-gateway": {"addface", "limits", "upload", "claim_check", "dispatch", "outcome"},
            "facesearch-worker": {"add", "image", "decode", "detect", "refine", "align", "embed"},
        }

        def of_the_request() -> list[tuple[str, Span]]:
            """Return the spans of its job's trace; those of earlier requests may still come in."""
            request = answer.headers["X-Request-Id"]
            traces = {span.trace_id for _, span in collector.spans if request in str(span.attributes)}
            return [(service, span) for service, span in collector.spans if span.trace_id in traces]

        def arrived() -> bool:
            spans = of_the_request()
            return all({s.name for n, s in spans if n == service} >= wanted for service, wanted in names.items())

        wait_for(arrived)
        spans = of_the_request()
        assert len({span.trace_id for _, span in spans}) == 1
        parents = {span.span_id: span.name for _, span in spans}
        inside = {(service, span.name): parents.get(span.parent_span_id) for service, span in spans}
        assert inside["facesearch-gateway", "addface"] is None
        assert inside["facesearch-worker", "add"] == "dispatch"
        assert inside["facesearch-worker", "embed"] == "add"
        assert "Marie" not in str(collector.spans)


class TestLogs:
    def test_one_id_is_in_the_lines_of_gateway_and_worker(self, observed: Service) -> None:
        identifier = observed.http.post("/v1/searchface", data={"img": FACE}).headers["X-Request-Id"]

        def lines() -> list[dict[str, str]]:
            said = [line for line in observed.said if identifier in line]
            return [json.loads(line) for line in said]

        wait_for(lambda: {line["process"] for line in lines() if "request_id" in line} == {"gateway", "worker"})
        assert {line["request_id"] for line in lines() if "request_id" in line} == {identifier}
        assert {"request_answered", "job_answered"} <= {line["event"] for line in lines()}

    def test_no_line_has_a_key_a_name_or_an_image_even_at_the_lowest_level(self, observed: Service) -> None:
        last = observed.http.post("/v1/addface", data={"img": FACE, "name": "Hypatia"}).headers["X-Request-Id"]
        wait_for(lambda: any(last in line and "request_answered" in line for line in observed.said))
        logged = "".join(line for line in observed.said if line.startswith("{"))
        assert logged
        for secret in ("Hypatia", observed.key, FACE[100:140]):
            assert secret not in logged


class TestTheFirstKey:
    def test_a_gateway_without_keys_names_the_command_that_creates_one(self, valkey_url: str, tmp_path: Path) -> None:
        environment = {"REDIS_URL": valkey_url, "FACESEARCH_PORT": "0", "FACESEARCH_DATA_DIR": str(tmp_path)}
        with subprocess.Popen(
            [sys.executable, "-m", "gateway"], env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                line = next(line for line in process.stderr if "no_api_key" in line)
                assert "facesearch keys create --name" in line
                made = python("-m", "facesearch", "keys", "create", "--name", "first", **environment)
                assert made.stdout.startswith("fs_")
            finally:
                end(process)


class TestHealth:
    def test_the_health_check_passes_for_a_live_worker_only(self, service: Service, valkey_url: str) -> None:
        assert python("-m", "worker", "--health", REDIS_URL=service.broker).returncode == 0
        dead = python("-m", "worker", "--health", REDIS_URL=valkey_url)
        assert dead.returncode == 1
        assert dead.stderr == f"no worker of {socket.gethostname()} is alive\n"
        unreachable = python("-m", "worker", "--health", REDIS_URL="redis://:hunter2@127.0.0.1:1")
        assert unreachable.returncode == 1
        assert unreachable.stderr.startswith("the broker does not answer")
        assert "hunter2" not in unreachable.stderr
