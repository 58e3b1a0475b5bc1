"""`facesearch erase --now`: deleted data is in no file of the service, and everything else is still there.

All files below the data directory are searched for 64 bytes of the deleted vector, for its name and for its id.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homes import NOTHING, Home, done, faces, read, refused
from portraits import astronaut_png, hopper_jpeg
from processes import wait_for
from service import Service
from traces import files_with, trace, vector

pytestmark = pytest.mark.embedded("it searches the files of a data directory of its own")

PATIENT = {"FACESEARCH_DEADLINE_S": "20"}
"""For a busy machine. An erasure waits for outcomes of jobs, which are kept for 5 s longer."""

DELETED, DROPPED, KEPT = "Zebedeus4711", "Melchiades4712", "Hopperstays"
GRACE = {"img": base64.b64encode(hopper_jpeg()).decode()}
EILEEN = {"img": base64.b64encode(astronaut_png()).decode()}


def post(service: Service, call: str, *, key: str | None = None, **data: str) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return service.http.post(f"/v1/{call}", data=data, headers=headers).json()


@dataclass
class Scene:
    """A service with a face that stays, a deleted face, and a face of a dropped facedb."""

    folder: Path
    once: str = field(default_factory=lambda: uuid.uuid4().hex)

    def fill(self, service: Service) -> None:
        at = ("--data-dir", self.folder)
        done("facedbs", "create", "leaving", *at)
        assert post(service, "addface", name=KEPT, **GRACE)["status"] == "OK"
        added = post(service, "addface", key=self.once, name=DELETED, **EILEEN)["message"][0]
        self.person_id = added["person_id"]
        assert post(service, "addface", name=DROPPED, facedb="leaving", **EILEEN)["status"] == "OK"
        assert post(service, "searchface", **EILEEN)["message"][0]["name"] == DELETED
        assert post(service, "delface", person_id=self.person_id)["status"] == "OK"
        done("facedbs", "drop", "leaving", "--yes", *at)

    @property
    def traces(self) -> tuple[bytes, ...]:
        return (trace(vector(astronaut_png())), DELETED.encode(), DROPPED.encode())

    def assert_erased(self, said: str) -> None:
        assert "Removed the faces of 1 dropped facedbs." in said
        assert re.search(r"Erased [1-9]\d* answers", said)
        assert "has rewritten its append-only file" in said
        assert files_with(self.folder, *self.traces) == {some: set() for some in self.traces}

    def assert_rest_is_there(self, service: Service) -> None:
        found = post(service, "searchface", **GRACE)["message"]
        assert [(face["name"], face["confidence"]) for face in found] == [(KEPT, 100)]
        assert post(service, "searchface", **EILEEN)["status"] == "NO_SIMILAR_FACE"
        # The request of the key does not happen again, and its answer is not given any more.
        again = post(service, "addface", key=self.once, name=DELETED, **EILEEN)
        assert again["status"] == "INVALID_REQUEST"
        assert "was erased" in again["message"]
        assert post(service, "searchface", **EILEEN)["status"] == "NO_SIMILAR_FACE"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "home")


@pytest.mark.slow
def test_deleted_data_is_erased_while_the_service_runs(scene: Scene) -> None:
    with Service(scene.folder, dict(PATIENT)) as service:
        scene.fill(service)
        vector_in, deleted_in, dropped_in = files_with(scene.folder, *scene.traces).values()
        assert {path.split("/")[0] for path in vector_in} == {"faces"}, "a search that finds nothing proves nothing"
        for name_in in (deleted_in, dropped_in):
            assert {path.split("/")[0] for path in name_in} == {"faces", "valkey"}
        waits = done("erase", "--data-dir", scene.folder)
        assert "1 dropped facedbs wait" in waits
        assert "Nothing was erased" in waits
        scene.assert_erased(done("erase", "--now", "--data-dir", scene.folder))
        scene.assert_rest_is_there(service)


@pytest.mark.slow
def test_deleted_data_is_erased_while_the_service_is_stopped(scene: Scene) -> None:
    with Service(scene.folder, dict(PATIENT)) as service:
        scene.fill(service)
    left = scene.folder / "handover" / uuid.uuid4().hex / "faces"
    for folder in (left.parent.parent, left.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    left.write_bytes(vector(astronaut_png()))  # as a killed backup leaves them
    assert all(files_with(scene.folder, *scene.traces).values())
    scene.assert_erased(done("erase", "--now", "--data-dir", scene.folder))
    written = [path for path in scene.folder.rglob("*") if not path.is_symlink()]
    assert [path for path in written if path.stat().st_mode & 0o077] == []
    with Service(scene.folder, dict(PATIENT)) as service:
        scene.assert_rest_is_there(service)


@pytest.mark.slow
def test_a_killed_erasure_loses_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", faces(2000))
    gone, kept = home.points[:300], home.points[300:]
    with closing(home.store()) as store:
        for point in gone:
            store.delete(home.collection, point.person_id)
    command = [sys.executable, "-m", "facesearch", "erase", "--now", "--data-dir", str(home.folder)]
    with subprocess.Popen(command, env=os.environ | NOTHING) as process:
        wait_for(lambda: any((home.folder / "faces").glob(".tmp-*")))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with closing(home.store()) as store:
        assert read(store, home.collection) == {p.person_id: (p.person, p.vector.tobytes()) for p in kept}
    assert files_with(home.folder, trace(gone[7].vector.tobytes()))[trace(gone[7].vector.tobytes())]
    assert "Rewrote the faces of 1 facedbs" in done("erase", "--now", "--data-dir", home.folder)
    traces = [trace(point.vector.tobytes()) for point in gone]
    assert not any(files_with(home.folder, *traces).values())
    with closing(home.store()) as store:
        assert read(store, home.collection) == {p.person_id: (p.person, p.vector.tobytes()) for p in kept}
    assert not list((home.folder / "faces").glob(".tmp-*"))


def test_data_that_cannot_be_erased_is_reported(tmp_path: Path) -> None:
    said = refused("erase", "--now", "--data-dir", tmp_path / "nowhere")
    assert said.startswith(f"no service has run on {tmp_path / 'nowhere'}")
    home = Home(tmp_path / "home")
    (home.folder / "faces" / home.collection / "collection.json").write_text("{}")
    said = refused("erase", "--now", "--data-dir", home.folder)
    assert said.startswith("not everything could be erased; mend this and erase again: ")
    assert "collection.json is damaged" in said


def test_missing_servers_are_an_error(valkey_url: str) -> None:
    said = refused("erase", "--now", REDIS_URL=valkey_url, QDRANT_URL="http://127.0.0.1:1")
    assert said == "no worker runs, and a worker has the faces: start one, and erase again"
