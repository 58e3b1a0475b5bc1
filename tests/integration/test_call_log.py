"""The call log of real gateways: two processes on one port, one of them killed, and the commands about the log."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner, Result
from redis import Redis

from call_logs import write_two
from facesearch.cli.main import main
from faults.disk import disk, why_not
from homes import Home, done, refused
from portraits import hopper_jpeg
from processes import API_KEY, empty_redis, gateway_on, wait_for
from service import UNHURRIED, Service
from shared.call_log.chain import Seal
from shared.call_log.heads import HEADS

KEY = {"FACESEARCH_CALL_LOG_KEY": "a key that is kept elsewhere"}

ON = {"call_log": 1, "call_log_key": KEY["FACESEARCH_CALL_LOG_KEY"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def audit(url: str, *arguments: object, **more: str) -> Result:
    environment = {"REDIS_URL": url, **KEY, **more}
    return CliRunner().invoke(main, ["audit", *map(str, arguments)], env=environment, catch_exceptions=False)


def calls(url: str, folder: Path, *options: str) -> list[dict[str, Any]]:
    result = audit(url, "calls", folder, *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def delete(client: httpx.Client, person_id: str) -> str:
    """Delete nobody: the answer needs no worker. Returns the id of the request."""
    answer = client.post("/v1/delface", data={"person_id": person_id})
    assert answer.json()["status"] == "PERSON_ID_NOT_EXIST"
    return answer.headers["X-Request-Id"]


@contextmanager
def connections(address: httpx.URL, count: int) -> Iterator[list[httpx.Client]]:
    """Yield clients with a connection each, which the processes share out among them."""
    headers = {"X-API-Key": API_KEY}
    with ExitStack() as stack:
        yield [stack.enter_context(httpx.Client(base_url=address, headers=headers, timeout=60)) for _ in range(count)]


def heads(url: str) -> dict[bytes, int]:
    with Redis.from_url(url) as redis:
        return {chain: json.loads(head)["number"] for chain, head in redis.hgetall(HEADS).items()}


def test_every_answered_call_is_in_the_log_although_a_process_was_killed(tmp_path: Path, folder: Path) -> None:
    with empty_redis(tmp_path) as url:
        answered = []
        with gateway_on(url, gateway_processes=2, call_log_dir=folder, **ON) as client:
            wait_for(lambda: len(heads(url)) == 2)
            before = heads(url)
            with connections(client.base_url, 8) as clients:
                answered += [delete(each, f"{number}") for number in range(10) for each in clients]
            victim = _process_of(folder, min(before))
            victim.kill()
            wait_for(lambda: len(heads(url)) == 3)
            with connections(client.base_url, 4) as clients:
                answered += [delete(each, "nobody") for each in clients]
        logged = [each["request_id"] for each in calls(url, folder, "--call", "delface")]
        assert sorted(logged) == sorted(answered)
        assert all("person_id" not in each for each in calls(url, folder)), "no text of a caller that is no id"
        intact = audit(url, "verify", folder)
        assert (intact.exit_code, intact.stdout.partition(";")[0]) == (0, "no problem"), intact.output
        kept = tmp_path / "heads"
        kept.write_text(audit(url, "heads").stdout)

        assert audit(url, "verify", folder, FACESEARCH_CALL_LOG_KEY="").exit_code == 1
        former = tmp_path / "former"
        former.write_text(KEY["FACESEARCH_CALL_LOG_KEY"] + "\n")
        assert audit(url, "verify", folder, "--former-keys", former, FACESEARCH_CALL_LOG_KEY="").exit_code == 0
        first, *_, last = sorted(folder.iterdir())
        text = first.read_bytes()
        first.write_bytes(text.replace(b'"call":"delface"', b'"call":"addface"', 1))
        changed = audit(url, "verify", folder)
        assert changed.exit_code == 1
        assert f"{first}, line " in changed.stdout
        assert "is not as it was written: the hash is wrong" in changed.stdout
        first.write_bytes(text)
        last.unlink()
        with Redis.from_url(url) as redis:
            redis.delete(HEADS)
        assert "is missing: a gateway on " in audit(url, "verify", folder, "--heads", kept).stdout
        alone = audit(url, "verify", folder, "--without-broker")
        assert alone.exit_code == 0
        assert "note: without heads" in alone.stderr


def test_an_asynchronous_call_is_in_the_log_and_so_is_the_look_up_of_its_job(tmp_path: Path, folder: Path) -> None:
    with empty_redis(tmp_path) as url:
        with gateway_on(url, call_log_dir=folder, **ON) as client:
            sent = client.post(
                "/v1/delface", data={"person_id": str(uuid.uuid4())}, headers={"Prefer": "respond-async"}
            )
            job_id = sent.json()["message"]["job_id"]
            assert client.get(f"/v1/jobs/{job_id}").status_code == 202
        logged = [(each["call"], each["status"], each["job_id"]) for each in calls(url, folder)]
        assert logged == [("delface", "OK", job_id), ("getjob", "OK", job_id)]


def _process_of(folder: Path, chain: bytes) -> psutil.Process:
    """Return the process that writes a chain."""
    path = str(folder / f"{chain.decode()}-000001.jsonl")
    for process in psutil.process_iter():
        try:
            if "gateway" in " ".join(process.cmdline()) and any(file.path == path for file in process.open_files()):
                return process
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    raise LookupError(chain)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_full_disk_is_reported_and_loses_no_entry(tmp_path: Path) -> None:
    with empty_redis(tmp_path) as url, disk(tmp_path / "disk", 1) as small:
        folder = small.folder / "calls"
        with gateway_on(url, call_log_dir=folder, **ON) as client:
            small.fill(0)
            answered = [delete(client, str(uuid.uuid4().int)) for _ in range(30)]
            small.free()
            wait_for(lambda: min(heads(url).values(), default=0) > len(answered))
        assert [each["request_id"] for each in calls(url, folder)] == answered
        assert audit(url, "verify", folder).exit_code == 0


@pytest.mark.embedded("the log is in its data directory")
def test_the_log_of_a_whole_service_is_in_its_data_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Service(home, {**UNHURRIED, "FACESEARCH_CALL_LOG": "1"}) as service:
        send = service.http.post
        (added,) = send("/v1/addface", files={"img": hopper_jpeg()}, data={"name": "Grace"}).json()["message"]
        person = added["person_id"]
        assert send("/v1/searchface", files={"img": hopper_jpeg()}).json()["status"] == "OK"
        assert send("/v1/delface", data={"person_id": person}).json()["status"] == "OK"
        nothing = send("/v1/searchface", files={"img": hopper_jpeg()}, headers={"X-API-Key": "wrong"})
        assert nothing.status_code == 401
        running = CliRunner().invoke(main, ["audit", "verify", "--data-dir", str(home)], env={"REDIS_URL": ""})
        assert running.exit_code == 0, running.output
    written = "".join(path.read_text() for path in (home / "calls").iterdir())
    assert "Grace" not in written
    assert service.key not in written
    shown = CliRunner().invoke(main, ["audit", "calls", "--data-dir", str(home), "--person-id", person.upper()])
    found = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(each["call"], each["status"], each["facedb"]) for each in found] == [
        ("addface", "OK", "default"),
        ("searchface", "OK", "default"),
        ("delface", "OK", "default"),
    ]
    assert [each.get("person_ids") for each in found] == [[person], [person], None]
    assert '"event":"refused","call":"searchface","status":"INVALID_REQUEST","count":1' in written
    stopped = CliRunner().invoke(main, ["audit", "verify", "--data-dir", str(home)], env={"REDIS_URL": ""})
    assert stopped.exit_code == 0, stopped.output
    assert stopped.stdout.startswith("no problem; ")


@pytest.mark.embedded("the log is in its data directory")
def test_the_log_is_whole_after_a_restore(tmp_path: Path) -> None:
    """Its files stay, and so do their heads, although the broker is replaced."""
    home = Home(tmp_path / "home")
    calls = home.folder / "calls"
    calls.mkdir()
    written = write_two(calls, Seal())
    with home.broker() as redis:
        redis.hset(HEADS, mapping={head.chain: head.model_dump_json() for head in written})
    done("backup", tmp_path / "backup", "--data-dir", home.folder)
    done("restore", tmp_path / "backup", "--data-dir", home.folder, "--overwrite")
    assert done("audit", "verify", "--data-dir", home.folder) == "no problem; 30 entries in 2 chains\n"
    done("restore", tmp_path / "backup", "--data-dir", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "calls").exists()
    assert "cannot read the folder" in refused("audit", "verify", "--data-dir", tmp_path / "elsewhere")


def test_options_of_the_trail_are_not_lost_before_a_command() -> None:
    result = CliRunner().invoke(main, ["audit", "--data-dir", "/tmp", "verify"])  # noqa: S108 -- nothing is written
    assert result.exit_code == 2
    assert "write the options behind `verify`" in result.stderr
