"""A backup of a running service, and the answers of a restored one, as docs/backups.md promises."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from homes import done, refused
from portraits import astronaut_png, hopper_jpeg, scale
from processes import wait_for, works
from service import Service
from shared.backup_request import REQUEST, Progress, Request
from shared.worker_request import LEASE_S, progress_key

pytestmark = [pytest.mark.slow, pytest.mark.embedded("it is about a data directory of its own")]

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/backups.md").read_text().partition("## Back up and restore\n")[2].partition("\n## ")[0]

GRACE = {"img": base64.b64encode(hopper_jpeg()).decode()}
EILEEN = {"img": base64.b64encode(astronaut_png()).decode()}
SMALL = {"img": base64.b64encode(scale(hopper_jpeg(), 0.4)).decode()}


def asked(http: httpx.Client, call: str, **more: Any) -> Any:
    answer = http.post(f"/v1/{call}", **more).json()
    assert answer["status"] == "OK", answer
    return answer["message"]


def added(service: Service) -> str:
    return str(asked(service.http, "addface", data=SMALL)[0]["person_id"])


def faces_in(backup: Path) -> list[dict[str, str]]:
    """Return the faces of its only facedb."""
    (file,) = (backup / "faces").iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def names_drawn(backup: Path) -> int:
    entries = map(json.loads, (backup / "control.jsonl").read_text().splitlines())
    (counter,) = (entry["value"] for entry in entries if entry["key"].startswith("fs:names:"))
    return int(counter)


@dataclass
class Remembered:
    """The answers of a service before its backup, for comparison with those of a restored service."""

    home: Path
    backup: Path
    key: str
    second_key: str
    repeated: str
    searches: list[Any]
    usage: str


def searches(http: httpx.Client) -> list[Any]:
    return [asked(http, "searchface", data=image) for image in (GRACE, EILEEN)]


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Remembered:
    folder = tmp_path_factory.mktemp("backup")
    home, backup = folder / "home", folder / "backup"
    with Service(home) as service:
        at = ("--data-dir", home)
        done("facedbs", "create", "staff", *at)
        second = done("keys", "create", "--name", "second", *at).strip()
        repeated = uuid.uuid4().hex
        asked(service.http, "addface", data=GRACE, headers={"Idempotency-Key": repeated})
        asked(service.http, "addface", data={**EILEEN, "name": "Eileen"})
        asked(service.http, "addface", data={**EILEEN, "facedb": "staff"})
        before = searches(service.http)
        wait_for(lambda: "searchface" in done("usage", *at))
        wait_for(lambda: bool(re.search(r"searchface +OK +charged +2", done("usage", *at))))
        done("backup", backup, *at)
        return Remembered(home, backup, service.key, second, repeated, before, done("usage", *at))


@pytest.fixture(scope="module")
def restored(remembered: Remembered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("restored") / "home"
    done("restore", remembered.backup, "--data-dir", folder)
    assert "nothing is wrong" in done("verify", "--data-dir", folder)
    with Service(folder) as service:
        yield service


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that is backed up while it runs."""
    with Service(tmp_path_factory.mktemp("serving") / "home") as service:
        yield service


class TestARestoredService:
    def test_usage_continues(self, remembered: Remembered, restored: Service) -> None:
        assert done("usage", "--data-dir", restored.folder) == remembered.usage

    def test_the_same_keys_work(self, remembered: Remembered, restored: Service) -> None:
        assert restored.key == remembered.key
        for key in (remembered.key, remembered.second_key):
            answer = restored.http.post("/v1/delface", data={"person_id": "1"}, headers={"X-API-Key": key})
            assert answer.json()["status"] == "PERSON_ID_NOT_EXIST"

    def test_the_same_searches_answer_the_same(self, remembered: Remembered, restored: Service) -> None:
        assert searches(restored.http) == remembered.searches

    def test_a_repetition_gets_its_first_outcome(self, remembered: Remembered, restored: Service) -> None:
        again = asked(restored.http, "addface", data=GRACE, headers={"Idempotency-Key": remembered.repeated})
        assert again[0]["person_id"] == remembered.searches[0][0]["person_id"]
        assert searches(restored.http) == remembered.searches

    def test_automatic_names_continue_without_repetition(self, restored: Service) -> None:
        (face,) = asked(restored.http, "addface", data=GRACE)
        assert face["name"] == "ID1"
        (face,) = asked(restored.http, "addface", data={**GRACE, "facedb": "staff"})
        assert face["name"] == "ID1"


class TestWhileItServes:
    def test_a_backup_during_changes_has_every_face_acknowledged_before(self, serving: Service, tmp_path: Path) -> None:
        with ThreadPoolExecutor(3) as callers:
            before = {added(serving) for _ in range(5)}
            stop = threading.Event()

            def go_on() -> int:
                """Add faces, and delete every other one of them. Returns how many were added."""
                made = 0
                while not stop.is_set():
                    face = added(serving)
                    made += 1
                    if made % 2:
                        asked(serving.http, "delface", data={"person_id": face})
                return made

            going_on = [callers.submit(go_on) for _ in range(3)]
            try:
                for number in range(3):
                    backup = tmp_path / f"backup{number}"
                    done("backup", backup, "--data-dir", serving.folder)
                    assert before <= {face["person_id"] for face in faces_in(backup)}
                    assert names_drawn(backup) > max(int(face["name"].removeprefix("ID")) for face in faces_in(backup))
                    assert "nothing is wrong" in done("verify", backup)
                    before.add(added(serving))
            finally:
                stop.set()
                made = [going.result() for going in going_on]
            assert all(made), "faces were added during each backup"
        done("restore", backup, "--data-dir", tmp_path / "new")
        assert "nothing is wrong" in done("verify", "--data-dir", tmp_path / "new")

    def test_an_interrupted_backup_is_invalid_and_does_not_prevent_the_next(
        self, serving: Service, tmp_path: Path
    ) -> None:
        with Redis.from_url(serving.broker) as redis:
            added(serving)
            worker = serving.child("-m worker")
            worker.send_signal(signal.SIGSTOP)
            command = [sys.executable, "-m", "facesearch", "backup", tmp_path / "b", "--data-dir", serving.folder]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting:
                wait_for(lambda: bool(redis.exists(REQUEST)))
                assert "another backup" in refused("backup", tmp_path / "c", "--data-dir", serving.folder)
                waiting.send_signal(signal.SIGINT)
                assert waiting.wait(30) == 1
            assert not redis.exists(REQUEST), "nobody waits any more"
            worker.send_signal(signal.SIGCONT)
            assert "cut short" in refused("backup", tmp_path / "b", "--data-dir", serving.folder)
            assert "cut short" in refused("restore", tmp_path / "b", "--data-dir", tmp_path / "new")
            done("backup", tmp_path / "d", "--data-dir", serving.folder)

    def test_a_backup_succeeds_after_the_worker_died_during_one(self, serving: Service, tmp_path: Path) -> None:
        with Redis.from_url(serving.broker) as redis:
            added(serving)
            worker = serving.child("-m worker")
            worker.send_signal(signal.SIGSTOP)
            folder = serving.folder / "handover" / "x"
            request = Request(id=uuid.uuid4().hex, folder=str(folder), collections=["default.default.00000000"])
            redis.set(progress_key(REQUEST, request.id), Progress(faces=7).model_dump_json())
            redis.set(REQUEST, request.model_dump_json(), ex=LEASE_S)
            worker.kill()
            wait_for(lambda: redis.exists(REQUEST) == 0)
            wait_for(lambda: works(serving.address), 60)
            assert not folder.exists(), "it is not continued by another worker"
            done("backup", tmp_path / "b", "--data-dir", serving.folder)

    def test_a_restore_refuses_the_data_directory_of_a_running_service(
        self, remembered: Remembered, restored: Service
    ) -> None:
        said = refused("restore", remembered.backup, "--data-dir", restored.folder, "--overwrite")
        assert "in use by another instance" in said
        assert "`facesearch backup DIR`" in refused("verify", "--data-dir", restored.folder)


def test_the_commands_of_the_document_work(tmp_path: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) == 5
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = tmp_path / "home"
    with Service(home) as service:
        added(service)
        environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "FACESEARCH_DATA_DIR": str(home)}
        for command in commands[:2]:
            run(command, environment, tmp_path)
    for command in commands[2:]:
        run(command, environment, tmp_path)


def run(command: str, environment: dict[str, str], folder: Path) -> None:
    said = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
