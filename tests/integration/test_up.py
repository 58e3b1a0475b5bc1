"""`facesearch up` from start to stop: one command, no process left behind, no data lost."""

import base64
import json
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis

from homes import Home
from portraits import hopper_jpeg
from processes import python, wait_for
from service import UNHURRIED, Service
from shared.settings import Settings
from worker.runtime import vision_processes

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "facesearch", *arguments, **settings)


def add(service: Service) -> str:
    answer = service.http.post("/v1/addface", data=IMG).json()
    assert answer["status"] == "OK"
    return answer["message"][0]["person_id"]


def ids(service: Service) -> list[str]:
    answer = service.http.post("/v1/searchface", data=IMG).json()
    return sorted(match["person_id"] for match in answer["message"]) if answer["status"] == "OK" else []


def admin(service: Service) -> tuple[str, str]:
    """Return the printed address of the admin API, and the file of its key."""
    found = re.search(r"^  admin +(\S+)\n +its key is in (.+)$", "".join(service.said), re.MULTILINE)
    assert found
    return found[1], found[2]


ADMIN_KEY = "chosen-by-the-admin"


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an admin key of its settings, on a data directory with a long path."""
    with Service(tmp_path_factory.mktemp("chosen") / ("d" * 120), {"FACESEARCH_ADMIN_KEY": ADMIN_KEY}) as running:
        yield running


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose children tests kill."""
    with Service(tmp_path_factory.mktemp("mortal"), dict(UNHURRIED)) as running:
        yield running


def revoke_only_key(service: Service) -> None:
    """Revoke the one key that is valid, and return when the gateway knows."""
    (key,) = json.loads(command("keys", "list", "--json", "--data-dir", str(service.folder)).stdout)
    assert command("keys", "revoke", key["id"], "--data-dir", str(service.folder)).returncode == 0
    wait_for(lambda: status_with(service.key, service) == 401)


def status_with(key: str, service: Service) -> int:
    """Return the HTTP status of a request with that key."""
    headers = {"X-API-Key": key}
    return httpx.post(f"{service.address}/v1/delface", headers=headers, data={"person_id": "1"}).status_code


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def started_by_a_worker() -> int:
    """Return how many processes a worker starts here: vision processes and their fork server."""
    return vision_processes(Settings()) + 1 if Settings().has_vision_processes else 0


class TestStartAndStop:
    @pytest.mark.embedded("it looks at what a data directory keeps")
    @pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
    def test_a_service_stops_cleanly_and_keeps_its_faces(self, tmp_path: Path, number: int) -> None:
        with Service(tmp_path) as first:
            added = [add(first), add(first)]
            processes = first.processes()
            assert len(processes) == 5 + started_by_a_worker()
            assert first.stop(number) == 0
        assert still_running(processes) == []
        assert not list((tmp_path / "run").iterdir())
        with Service(tmp_path) as second:
            assert second.key == first.key
            assert ids(second) == sorted(added)
            name = second.http.post("/v1/addface", data=IMG).json()["message"][0]["name"]
            assert name == "ID2", "numbers continue"

    def test_the_printed_commands_work(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "photo.jpg").write_bytes(hopper_jpeg())
        banner = "".join(service.said).partition("in another terminal:\n")[2].partition("Ctrl-C")[0]
        lines = "\n".join(line for line in banner.splitlines() if line.startswith("  "))
        said = subprocess.run(["bash", "-ec", lines], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        answers = said.splitlines()
        assert answers[0] == '{"status": "PERSON_ID_NOT_EXIST", "message": "check input person id"}'
        assert answers[1].startswith('{"status": "OK", "message": [{"name": "me", "person_id": "')
        assert '"confidence": 100, "name": "me"' in answers[2]
        (person_id,) = ids(service)
        assert service.http.post("/v1/delface", data={"person_id": person_id}).json()["status"] == "OK"

    def test_the_key_is_not_in_redirected_output(self, service: Service) -> None:
        said = "".join(service.said)
        assert f"API key   in {service.folder / 'api-key'}\n" in said
        assert service.key not in said

    def test_the_file_of_the_key_is_for_its_owner_only(self, service: Service) -> None:
        path = service.folder / "api-key"
        assert path.read_text().strip() == service.key
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.embedded("it looks at what a data directory keeps")
    def test_no_file_of_the_data_directory_is_readable_by_others(self, service: Service) -> None:
        add(service)
        kept = [path for path in service.folder.rglob("*") if not path.is_symlink()]
        assert any(path.is_file() and "faces" in path.parts for path in kept)
        assert [str(path) for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []

    def test_the_admin_api_has_its_own_key_and_port(self, service: Service) -> None:
        path = service.folder / "admin-key"
        key = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        address, where = admin(service)
        assert where == str(path)
        assert httpx.URL(address).port != httpx.URL(service.address).port
        answer = httpx.get(f"{address}/tenants", headers={"X-Admin-Key": key})
        assert "default" in [tenant["name"] for tenant in answer.json()["message"]]
        assert httpx.get(f"{address}/tenants").status_code == 401
        assert service.http.get("/admin/v1/tenants", headers={"X-Admin-Key": key}).status_code == 404
        assert key not in "".join(service.said)

    def test_an_admin_key_of_the_settings_is_used_and_none_is_created(self, chosen: Service) -> None:
        address, where = admin(chosen)
        assert where == "FACESEARCH_ADMIN_KEY"
        answer = httpx.get(f"{address}/tenants", headers={"X-Admin-Key": ADMIN_KEY})
        assert answer.status_code == 200
        assert not (chosen.folder / "admin-key").exists()
        assert ADMIN_KEY not in "".join(chosen.said)

    @pytest.mark.slow
    @pytest.mark.embedded("it looks at what a data directory keeps")
    def test_revoked_keys_stay_revoked_and_a_key_of_the_settings_replaces_the_last(self, tmp_path: Path) -> None:
        of_settings = {"FACESEARCH_API_KEY": "chosen-by-me"}
        with Service(tmp_path) as first:
            revoke_only_key(first)
            assert not (tmp_path / "api-key").exists()
        with Service(tmp_path) as second:
            assert second.key != first.key
            assert second.key == (tmp_path / "api-key").read_text().strip()
            assert ids(second) == []
            assert status_with(first.key, second) == 401
        with Service(tmp_path, of_settings) as third:
            assert third.key == "chosen-by-me"
            assert ids(third) == []
            assert status_with(second.key, third) == 401
            revoke_only_key(third)
        with Service(tmp_path, of_settings) as fourth:
            said = "".join(fourth.said)
        assert "API key   revoked; make another with: facesearch keys create --name NAME" in said
        assert "chosen-by-me" not in said

    @pytest.mark.embedded("it looks at what a data directory keeps")
    def test_a_data_directory_with_a_long_path(self, chosen: Service) -> None:
        assert len(chosen.folder.name) == 120
        add(chosen)

    @pytest.mark.slow
    def test_a_given_broker_is_used_and_none_is_started(self, tmp_path: Path, valkey_url: str) -> None:
        with Service(tmp_path / "data", {"REDIS_URL": valkey_url}) as service:
            assert len(service.processes()) == 3 + started_by_a_worker()
            added = add(service)
            with Redis.from_url(valkey_url) as redis:
                assert redis.keys("fs:key:*")
                wait_for(lambda: not redis.keys("fs:image:*"))  # an image does not outlive its request
            assert ids(service) == [added]

    @pytest.mark.slow
    @pytest.mark.embedded("it looks at what a data directory keeps")
    def test_faces_of_another_model_are_refused_with_an_error(self, tmp_path: Path) -> None:
        with Service(tmp_path) as service:
            add(service)
            assert command("facedbs", "create", "new", "--data-dir", str(tmp_path)).returncode == 0
        (record,) = (tmp_path / "faces").glob("default.default.*/collection.json")
        record.write_text(record.read_text().replace("sface-2021dec-int8bq", "another-model"))
        which = r"the faces of default\.default\.\w+ \(facedb default of tenant default\) were made by another-model:"
        advice = "set FACESEARCH_EMBEDDER=another-model again, or add the faces again"
        with Service(tmp_path) as service:
            assert service.http.post("/v1/searchface", data=IMG).json()["status"] == "FAIL"
            assert service.http.post("/v1/addface", data=IMG | {"facedb": "new"}).json()["status"] == "OK"
            assert service.http.get("/readyz").status_code == 200
            verbose = service.http.get("/readyz?verbose=1")
            assert verbose.status_code == 503
            few = "1 hold faces of another model and are refused; `facesearch doctor` names them"
            assert verbose.json()["message"]["facedbs"] == few
            wait_for(lambda: f"Not all of it can be used: {few}." in "".join(service.said))
            assert re.search(rf"facedbs_refused.*{which}.*{advice}", "".join(service.said))
            doctor = command("doctor", FACESEARCH_DATA_DIR=str(tmp_path))
            assert doctor.returncode == 1
            assert re.search(rf"^FAIL  facedbs +{which}.*{advice}", doctor.stdout, re.MULTILINE)
            dropped = [("default", "new"), ("drop", "default", "--yes")]
            for step in dropped:
                assert command("facedbs", *step, "--data-dir", str(tmp_path)).returncode == 0
        with Service(tmp_path) as service:
            assert service.http.get("/readyz?verbose=1").status_code == 200

    @pytest.mark.slow
    @pytest.mark.embedded("it looks at what a data directory keeps")
    def test_a_service_with_only_faces_of_another_model_does_not_start(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        home.add_to_all()
        records = list((home.folder / "faces").glob("*/collection.json"))
        assert len(records) == 2
        for record in records:
            record.write_text(re.sub(r":v(\d+):", lambda found: f":v{int(found[1]) - 1}:", record.read_text()))
        result = command("up", "--port", "0", "--data-dir", str(home.folder))
        why = "were added by an earlier release, which saw faces differently: go back to that release, or add the faces"
        TestRefusingToStart.is_one_line(result, why)
        assert result.stderr.startswith("facesearch: the worker cannot start: nothing could be served: the faces of ")
        doctor = command("doctor", FACESEARCH_DATA_DIR=str(home.folder))
        assert doctor.returncode == 1
        assert re.search(r"^FAIL  facedbs +.*earlier release", doctor.stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.embedded("it kills servers of its own")
class TestDyingChildren:
    @pytest.mark.parametrize("name", ["-m worker", "-m gateway", "broker.sock", "images.sock"])
    def test_a_killed_child_is_replaced_and_nothing_acknowledged_is_lost(self, mortal: Service, name: str) -> None:
        added = [add(mortal)]
        killed = mortal.child(name)
        killed.kill()
        killed.wait(10)
        added.append(self.add_when_possible(mortal))
        assert mortal.child(name).pid != killed.pid
        assert set(added) <= set(ids(mortal))

    def test_jobs_of_a_killed_worker_are_done_once_by_the_next(self, mortal: Service) -> None:
        before = ids(mortal)
        with Redis.from_url(mortal.broker) as redis, ThreadPoolExecutor(20) as callers:
            asked = [callers.submit(add, mortal) for _ in range(20)]
            wait_for(lambda: redis.hlen("unacked") > 0)  # kombu's key of jobs that a worker has taken and not finished
            mortal.child("-m worker").kill()
            added = [answer.result() for answer in asked]
        assert ids(mortal) == sorted([*before, *added])
        assert len(set(added)) == 20

    def test_no_child_outlives_a_killed_parent(self, tmp_path: Path) -> None:
        with Service(tmp_path) as service:
            processes = service.processes()
            service.stop(signal.SIGKILL)
            wait_for(lambda: not still_running(processes))
        with Service(tmp_path) as again:
            add(again)

    @staticmethod
    def add_when_possible(service: Service) -> str:
        """Repeat the request: FAIL means that nothing was added."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                answer = service.http.post("/v1/addface", data=IMG).json()
            except httpx.TransportError:
                continue
            if answer["status"] == "OK":
                return answer["message"][0]["person_id"]
            assert answer["status"] == "FAIL"
        raise AssertionError("it never came back")


class TestRefusingToStart:
    def test_a_port_in_use_is_an_error(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            result = command("up", "--port", port, "--data-dir", str(tmp_path))
        self.is_one_line(result, f"cannot listen on 127.0.0.1 port {port}: Address already in use")

    def test_an_admin_port_in_use_is_an_error(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            result = command("up", "--port", "0", "--admin-port", port, "--data-dir", str(tmp_path))
        text = f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --admin-port"
        self.is_one_line(result, text)

    def test_a_data_directory_in_use_is_an_error(self, service: Service) -> None:
        result = command("up", "--port", "0", "--data-dir", str(service.folder))
        self.is_one_line(result, "is in use by another instance")

    def test_a_missing_model_without_network_is_an_error(self, tmp_path: Path) -> None:
        result = command(
            "up",
            *("--port", "0", "--data-dir", str(tmp_path / "data")),
            FACESEARCH_MODELS_DIR=str(tmp_path / "models"),
            FACESEARCH_DETECTOR="yunet-2023mar",  # has no source but hubs
            HTTPS_PROXY="http://127.0.0.1:9",  # nothing listens there: like no network, without a time-out
            https_proxy="http://127.0.0.1:9",
            PIP_NO_INDEX="1",
        )
        *progress, last = result.stderr.splitlines()
        reason = "cannot get the model yunet-2023mar: from here none of github.com, huggingface.co can be reached"
        assert last.startswith(f"facesearch: {reason}; without network, ")
        assert str(tmp_path / "models") in last
        assert all(line.startswith(("fetching ", "https://")) for line in progress)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr

    def test_an_unknown_model_is_an_error(self, tmp_path: Path) -> None:
        result = command("up", "--port", "0", "--data-dir", str(tmp_path), FACESEARCH_EMBEDDER="mine")
        self.is_one_line(result, "no embedding model is called 'mine'")

    def test_an_invalid_setting_is_an_error(self, tmp_path: Path) -> None:
        result = command("up", "--data-dir", str(tmp_path), FACESEARCH_DEADLINE_S="soon")
        self.is_one_line(result, "setting FACESEARCH_DEADLINE_S: ")

    def test_an_invalid_option_is_an_error(self, tmp_path: Path) -> None:
        result = command("up", "--port", "70000", "--data-dir", str(tmp_path))
        self.is_one_line(result, "facesearch: --port must be 0 to 65535\n")

    @pytest.mark.parametrize(
        ("url", "text"),
        [
            ("redis://:hunter2@h:99999", "REDIS_URL is wrong: a host or port makes no sense; "),
            (
                "redis://:hunter2@127.0.0.1:9",
                "the Redis of REDIS_URL at 127.0.0.1:9 does not answer (ConnectionError); ",
            ),
        ],
    )
    def test_a_given_redis_that_does_not_answer_is_an_error(self, tmp_path: Path, url: str, text: str) -> None:
        result = command("up", "--port", "0", "--data-dir", str(tmp_path), REDIS_URL=url)
        self.is_one_line(result, text)
        assert "hunter2" not in result.stderr

    def test_an_unknown_variable_is_named_once_without_its_value(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            result = command("up", "--port", port, "--data-dir", str(tmp_path), FACESEARCH_DEADLIN_S="hunter2")
        warning = "warning: FACESEARCH_DEADLIN_S is no setting and changes nothing; did you mean FACESEARCH_DEADLINE_S?"
        assert result.stderr.splitlines()[0] == warning
        assert result.stderr.count("\n") == 2
        assert "hunter2" not in result.stderr

    @staticmethod
    def is_one_line(result: subprocess.CompletedProcess[str], text: str) -> None:
        assert result.returncode == 1
        assert text in result.stderr
        assert result.stderr.startswith("facesearch: ")
        assert result.stderr.count("\n") == 1, result.stderr
        assert not result.stdout


class TestOtherCommands:
    def test_doctor_finds_no_failure(self, service: Service) -> None:
        port = str(httpx.URL(service.address).port)
        admin_port = str(httpx.URL(admin(service)[0]).port)
        result = command(
            "doctor",
            FACESEARCH_PORT=port,
            FACESEARCH_ADMIN_PORT=admin_port,
            FACESEARCH_DATA_DIR=str(service.folder),
        )
        assert result.returncode == 0, result.stdout
        assert "FAIL" not in result.stdout
        assert "in use by a running instance" in result.stdout
        assert re.search(r"^ok +service .* is ready$", result.stdout, re.MULTILINE)
        assert re.search(r"^ok +admin API .* is there$", result.stdout, re.MULTILINE)

    def test_doctor_reports_what_is_missing_with_hints(self, tmp_path: Path) -> None:
        result = command(
            "doctor",
            FACESEARCH_MODELS_DIR=str(tmp_path),
            REDIS_URL="redis://:hunter2@127.0.0.1:9",
            QDRANT_URL="http://127.0.0.1:9",
            FACESEARCH_PORT="9",
        )
        assert result.returncode == 1
        for line in (r"FAIL +detection .*models pull", r"FAIL +redis ", r"FAIL +qdrant ", r"no +service "):
            assert re.search(rf"^{line}", result.stdout, re.MULTILINE), result.stdout
        assert "hunter2" not in result.stdout

    def test_doctor_names_an_unknown_variable_without_its_value(self, tmp_path: Path) -> None:
        result = command(
            "doctor", FACESEARCH_DATA_DIR=str(tmp_path), FACESEARCH_PORT="9", FACESEARCH_DEADLIN_S="hunter2"
        )
        text = "FACESEARCH_DEADLIN_S is no setting and changes nothing; did you mean FACESEARCH_DEADLINE_S?"
        assert re.search(rf"^no +variable +{re.escape(text)}$", result.stdout, re.MULTILINE)
        assert "hunter2" not in result.stdout
        assert result.returncode == 0, "it runs without it"

    @pytest.mark.parametrize("process", ["gateway", "worker"])
    def test_gateway_and_worker_log_an_unknown_variable(self, process: str, tmp_path: Path) -> None:
        """They end soon after, without a broker and models."""
        url = "redis://127.0.0.1:9" if process == "worker" else ""
        ended = python(
            "-m", process, REDIS_URL=url, FACESEARCH_MODELS_DIR=str(tmp_path), FACESEARCH_DEADLIN_S="hunter2"
        )
        logged = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
        (warning,) = (line for line in logged if line["event"] == "unknown_variable")
        assert (warning["level"], warning["process"]) == ("warning", process)
        assert (warning["variable"], warning["nearest"]) == ("FACESEARCH_DEADLIN_S", "FACESEARCH_DEADLINE_S")
        assert "hunter2" not in ended.stderr + ended.stdout
        assert ended.returncode == 1

    def test_the_catalogue_is_listed_with_licences(self) -> None:
        listed = command("models", "list").stdout
        assert re.search(
            r"^sface-2021dec-int8bq \* +embedding +ready +built in +yes +Apache-2.0$", listed, re.MULTILINE
        )
        assert re.search(r"^w600k-r50 .* no ", listed, re.MULTILINE)

    def test_a_model_without_permission_to_use_is_not_fetched(self) -> None:
        result = command("models", "pull", "w600k-r50")
        TestRefusingToStart.is_one_line(result, "may not be used commercially")
        TestRefusingToStart.is_one_line(command("models", "pull", "mine"), "no model is called 'mine'")
