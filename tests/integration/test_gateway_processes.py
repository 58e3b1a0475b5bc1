"""A gateway of two processes: both serve, one that dies is replaced, and together they keep the limits of one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes import API_KEY, empty_redis, end, is_ready, python, two_free_ports, wait_for
from service import UNHURRIED, Service
from shared.contract import Status
from shared.settings import Settings

TWO = {"FACESEARCH_GATEWAY_PROCESSES": "2"}
NOBODY = {"person_id": "00000000-0000-0000-0000-000000000000"}
UNKNOWN = Status.PERSON_ID_NOT_EXIST


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return two_free_ports()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Service]:
    """`facesearch up` with a gateway of two processes."""
    settings = {**UNHURRIED, **TWO, "FACESEARCH_METRICS_PORT": str(metrics_port), "FACESEARCH_ADMIN_KEY": "k" * 20}
    with Service(tmp_path_factory.mktemp("up"), settings) as running:
        yield running


IMPATIENT = "from shared import supervisor; supervisor.HUNG_LOOKS = 4; from gateway.__main__ import main; main()"
"""A program: `python -m gateway` whose processes hang after 4 s without a beat."""


@contextmanager
def python_m_gateway(
    folder: Path, program: Sequence[str] = ("-m", "gateway"), **settings: object
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start `python -m gateway` with two processes, as a container does, without a worker. Yields its process and its
    address.
    """
    port = two_free_ports()
    with empty_redis(folder) as url:
        environment = {
            **os.environ,
            **TWO,
            "REDIS_URL": url,
            "FACESEARCH_PORT": str(port),
            "FACESEARCH_API_KEY": API_KEY,
            **{f"FACESEARCH_{name.upper()}": str(value) for name, value in settings.items()},
        }
        log = folder / "log"
        with (
            log.open("wb") as said,
            subprocess.Popen([sys.executable, *program], env=environment, stderr=said) as parent,
        ):
            try:
                wait_for(lambda: "gateway_processes_started" in log.read_text())
                wait_for(lambda: is_ready(f"http://127.0.0.1:{port}"))
                yield parent, f"http://127.0.0.1:{port}"
            finally:
                end(parent)


def listeners(pid: int, port: int) -> list[psutil.Process]:
    """Return the process of that id and its children, if they listen on the port."""
    found = []
    for process in (psutil.Process(pid), *psutil.Process(pid).children()):
        try:
            connections = process.net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections):
            found.append(process)
    return found


def read(port: int, name: str, **labels: str) -> dict[str, float]:
    """Return the values of a metric by process."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).raise_for_status().text
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= labels.items()
    }


def delete(client: httpx.Client) -> str:
    status: str = client.post("/v1/delface", data=NOBODY).json()["status"]
    return status


@contextmanager
def callers(service: Service, number: int) -> Iterator[list[httpx.Client]]:
    """Yield clients that each have a connection of their own, which they keep."""
    with ExitStack() as stack:
        made = [
            stack.enter_context(httpx.Client(base_url=service.address, headers={"X-API-Key": service.key}, timeout=150))
            for _ in range(number)
        ]
        for client in made:
            client.get("/healthz")
        yield made


def begin_request(caller: socket.socket) -> None:
    """Send a request without its body, and return when the gateway reads it."""
    caller.sendall(
        f"POST /v1/delface HTTP/1.1\r\nHost: h\r\nX-API-Key: {API_KEY}\r\nContent-Length: 10\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert b" 100 Continue" in caller.recv(1000)


def finish_request(caller: socket.socket) -> None:
    """Send the body, and receive the answer."""
    caller.sendall(b"person_id=")
    assert Status.INVALID_REQUEST.encode() in caller.recv(1000)


class TestServing:
    def test_both_processes_have_callers_and_answer_them(self, up: Service, metrics_port: int) -> None:
        counted = {"call": "delface", "status": UNKNOWN}
        before = read(metrics_port, "facesearch_requests_total", **counted)
        with callers(up, 20) as clients:
            held = read(metrics_port, "facesearch_connections")
            assert set(held) == {"1", "2"}
            assert min(held.values()) >= 5, "new connections go to the one that has fewer"
            assert [delete(client) for client in clients] == [UNKNOWN] * 20
        after = read(metrics_port, "facesearch_requests_total", **counted)
        answered = {process: after[process] - before[process] for process in after}
        assert sum(answered.values()) == 20
        assert min(answered.values()) >= 5

    def test_one_port_has_the_metrics_of_both_at_every_scrape(self, up: Service, metrics_port: int) -> None:
        for _ in range(3):
            assert read(metrics_port, "facesearch_gateway_process_up") == {"1": 1, "2": 1}
        started = read(metrics_port, "process_start_time_seconds")
        assert set(started) == {"1", "2"}
        assert up.http.get("/metrics").status_code == 404, "callers see none of it"

    def test_the_limits_are_those_of_one_gateway(self, up: Service, metrics_port: int) -> None:
        assert up.process.poll() is None
        assert sum(read(metrics_port, "facesearch_connections_max").values()) == 4096
        of_bodies = sum(read(metrics_port, "facesearch_body_memory_max_bytes").values())
        assert 0 <= Settings().body_memory_bytes - of_bodies < 1 << 20

    def test_the_admin_api_counts_wrong_keys_of_an_address_once(self, up: Service) -> None:
        found = re.search(r"^  admin +(\S+)$", "".join(up.said), re.MULTILINE)
        assert found
        codes = []
        for _ in range(24):  # each on a connection of its own
            answer = httpx.get(f"{found[1]}/tenants", headers={"X-Admin-Key": "wrong"}, timeout=30)
            codes.append(answer.status_code)
        assert codes[:20] == [401] * 20
        assert 429 in codes[20:]


@pytest.mark.slow
@pytest.mark.embedded("it looks at what a data directory keeps")
def test_up_stops_both_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Service(tmp_path, dict(TWO)) as service:
        processes = service.processes()
        assert sum("--process" in process.cmdline() for process in processes) == 2
        victim = service.child("--process 2/2")
        victim.kill()
        victim.wait(10)
        assert service.stop(signal.SIGTERM) == 0
    assert not any(map(runs, processes))
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.slow
class TestDeath:
    def test_one_killed_under_load_costs_its_own_connections_and_nothing_else(
        self, up: Service, metrics_port: int
    ) -> None:
        victim = up.child("--process 2/2")
        other = up.child("--process 1/2")
        statuses: Counter[str] = Counter()
        over = threading.Event()

        def call_on(client: httpx.Client) -> int:
            broken = 0
            while not over.is_set():
                try:
                    statuses[delete(client)] += 1
                except httpx.TransportError:
                    broken += 1
            return broken

        def come_and_go() -> int:
            broken = 0
            while not over.is_set():
                try:
                    answer = httpx.post(f"{up.address}/v1/delface", data=NOBODY, headers={"X-API-Key": up.key})
                    statuses[answer.json()["status"]] += 1
                except httpx.TransportError:
                    broken += 1
            return broken

        with callers(up, 8) as clients, ThreadPoolExecutor(10) as threads:
            held = read(metrics_port, "facesearch_connections")["2"]
            calling = [threads.submit(call_on, client) for client in clients]
            coming = [threads.submit(come_and_go) for _ in range(2)]
            wait_for(lambda: statuses.total() >= 50)
            victim.kill()
            victim.wait(10)
            answered = statuses.total()
            wait_for(lambda: statuses.total() >= answered + 50)  # by the other one
            wait_for(lambda: read(metrics_port, "facesearch_gateway_process_up") == {"1": 1, "2": 1})
            over.set()
            broken = sum(each.result() for each in calling)
            broken_of_new = sum(each.result() for each in coming)
        assert set(statuses) == {UNKNOWN}, "every connection gets the right answer"
        assert 0 < broken <= held
        assert broken_of_new <= len(coming)
        assert other.is_running()
        assert up.child("--process 2/2").pid != victim.pid

    def test_counts_of_the_other_one_go_on_and_those_of_the_new_one_begin_at_0(
        self, up: Service, metrics_port: int
    ) -> None:
        with callers(up, 8) as clients:
            assert [delete(client) for client in clients] == [UNKNOWN] * 8
        before = read(metrics_port, "facesearch_requests_total", call="delface", status=UNKNOWN)
        victim = up.child("--process 2/2")
        victim.kill()
        victim.wait(10)
        wait_for(lambda: read(metrics_port, "facesearch_gateway_process_up") == {"1": 1, "2": 1})
        after = read(metrics_port, "facesearch_requests_total", call="delface", status=UNKNOWN)
        assert before["2"] > 0
        assert after == {"1": before["1"], "2": 0}

    def test_without_the_first_one_calls_are_answered_and_then_the_admin_api_and_metrics_are_back(
        self, up: Service, metrics_port: int
    ) -> None:
        with callers(up, 4) as clients:
            victim = up.child("--process 1/2")
            victim.kill()
            victim.wait(10)
            left = []
            for client in clients:
                try:
                    left.append(delete(client))
                except httpx.TransportError:
                    continue
            assert set(left) == {UNKNOWN}

        def is_back() -> bool:
            try:
                return read(metrics_port, "facesearch_gateway_process_up") == {"1": 1, "2": 1}
            except httpx.TransportError:
                return False

        wait_for(is_back)


class TestPythonMGateway:
    @pytest.mark.slow
    def test_the_limit_of_connections_is_a_total(self, tmp_path: Path) -> None:
        with python_m_gateway(tmp_path, connections=6, connections_per_address=6) as (_, address), ExitStack() as stack:
            port = int(address.rpartition(":")[2])
            waiting = []
            for _ in range(6):
                busy = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                begin_request(busy)
                waiting.append(busy)
            refused = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            assert b" 503 " in refused.recv(1000)
            for busy in waiting:
                finish_request(busy)

    def test_sigterm_lets_both_finish_their_requests_and_end(self, tmp_path: Path) -> None:
        with python_m_gateway(tmp_path) as (parent, address), ExitStack() as stack:
            port = int(address.rpartition(":")[2])
            children = psutil.Process(parent.pid).children()
            assert len(children) == 2
            asked = []
            for _ in range(6):
                caller = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                begin_request(caller)
                asked.append(caller)
            parent.terminate()
            wait_for(lambda: not listeners(parent.pid, port))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=60)
            for caller in asked:
                finish_request(caller)
            assert parent.wait(60) == 0
            assert not any(child.is_running() for child in children)

    @pytest.mark.slow
    def test_no_process_outlives_a_killed_parent(self, tmp_path: Path) -> None:
        with python_m_gateway(tmp_path) as (parent, _):
            children = psutil.Process(parent.pid).children()
            parent.kill()
            assert len(children) == 2
            wait_for(lambda: not any(map(runs, children)))

    @pytest.mark.slow
    def test_a_killed_process_is_replaced(self, tmp_path: Path) -> None:
        with python_m_gateway(tmp_path) as (parent, address):
            victim, other = psutil.Process(parent.pid).children()
            victim.kill()
            wait_for(lambda: len(listeners(parent.pid, int(address.rpartition(":")[2]))) == 3)
            now = {child.pid for child in psutil.Process(parent.pid).children()}
            assert other.pid in now
            assert victim.pid not in now
            assert is_ready(address)

    @pytest.mark.slow
    def test_a_hanging_process_is_replaced(self, tmp_path: Path) -> None:
        with python_m_gateway(tmp_path, ("-c", IMPATIENT)) as (parent, address):
            victim = psutil.Process(parent.pid).children()[1]
            victim.send_signal(signal.SIGSTOP)
            wait_for(lambda: not victim.is_running())
            wait_for(lambda: len(listeners(parent.pid, int(address.rpartition(":")[2]))) == 3)
            assert is_ready(address)
            assert "child_hung" in (tmp_path / "log").read_text()

    def test_a_port_in_use_is_an_error(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            ended = python("-m", "gateway", REDIS_URL="redis://127.0.0.1:9", FACESEARCH_PORT=port, **TWO)
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
        assert "gateway cannot start: " in ended.stderr
        assert "address already in use" in ended.stderr.lower()

    def test_what_only_one_process_cannot_have_is_an_error_of_the_whole(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            ended = python(
                "-m",
                "gateway",
                REDIS_URL="redis://127.0.0.1:9",
                FACESEARCH_PORT=str(two_free_ports()),
                FACESEARCH_METRICS_PORT=port,
                **TWO,
            )
        assert ended.returncode == 1
        *logged, last = ended.stderr.splitlines()
        assert last.startswith("gateway cannot start: the gateway 1 cannot start: ")
        assert "address already in use" in last.lower()
        assert all(json.loads(line)["level"] != "error" for line in logged)

    def test_limits_that_do_not_suffice_are_an_error(self) -> None:
        ended = python("-m", "gateway", REDIS_URL="redis://127.0.0.1:9", FACESEARCH_IN_FLIGHT="1", **TWO)
        assert ended.returncode == 1
        assert ended.stderr == (
            "gateway cannot start: FACESEARCH_GATEWAY_PROCESSES is 2, but FACESEARCH_IN_FLIGHT, which they share, "
            "suffices for 1; lower the one or raise the other\n"
        )

    def test_log_lines_name_the_process(self, tmp_path: Path) -> None:
        with (
            empty_redis(tmp_path) as url,
            subprocess.Popen(
                [sys.executable, "-m", "gateway"],
                env={**os.environ, **TWO, "REDIS_URL": url, "FACESEARCH_PORT": str(two_free_ports())},
                stderr=subprocess.PIPE,
                text=True,
            ) as parent,
        ):
            assert parent.stderr is not None
            said = []
            try:
                for line in parent.stderr:
                    said.append(json.loads(line))
                    if said[-1]["event"] == "gateway_processes_started":
                        parent.send_signal(signal.SIGTERM)
            finally:
                end(parent)
        assert {line["process"] for line in said if line["event"] == "gateway_started"} == {"gateway 1", "gateway 2"}


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
